"""From the split config to rules that the fold takes beside those of Ingresses: each text checked by its own grammar.

What is wrong in a path leaves out that path alone, with a problem that goes back to the policy by `/applied`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from gateway_operator.ingress import grammar
from gateway_operator.ingress.annotations import NOTHING
from gateway_operator.ingress.parse import BackendRef, IngressRules, PathRule
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.snapshot import Key
from gateway_operator.ingress.split_types import POLICY, SplitPath
from gateway_operator.traffic.config import Path, Policy, SplitConfig

_NOBODY = BackendRef("", "")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
DEFAULT, EXACT, PLAIN = "Default", "Exact", "ImplementationSpecific"
Grants = Mapping[str, tuple[str, ...]]  # owner's namespace → namespaces that may use its hosts, too; "*" is all


@dataclass(frozen=True)
class PolicyRules(IngressRules):
    """The paths of a policy. `default_split` takes what no path of its hosts matches."""

    default_split: SplitPath | None = None
    grants: Grants = field(default_factory=dict)

    @property
    def age_key(self) -> tuple[str, str]:
        """The older one wins; at the same age a policy before an Ingress, then namespace and name."""
        return (self.created, f" {self.ref.namespace}/{self.ref.name}")


def changed_policies(
    config: SplitConfig | None, known: Mapping[Key, tuple[Policy, PolicyRules]]
) -> Iterator[tuple[Key, tuple[Policy, PolicyRules]]]:
    """Yield the rules of each policy; those of one that is equal to the known one are the very same."""
    grants: Grants = config.grants if config else {}
    for policy in config.policies if config else ():
        old = known.get(policy.key)
        if old is not None and old[0] == policy and old[1].grants == grants:
            yield policy.key, old
        else:
            yield policy.key, (policy, policy_rules(policy, grants))


def policy_rules(policy: Policy, grants: Grants) -> PolicyRules:
    """Check a policy path by path."""
    ref = Ref(POLICY, policy.namespace, policy.name, policy.uid, "k8s.nginx.org/v1")
    problems: list[Problem] = []
    default: SplitPath | None = None
    paths: list[PathRule] = []
    for item in policy.paths:
        if item.type == DEFAULT:
            default = default or SplitPath(policy.namespace, policy.name, item)
        else:
            paths.extend(_path(ref, item, problems))
    hosts = dict.fromkeys(path.host for path in paths)
    if default is not None:
        hosts[""] = None
    return PolicyRules(
        ref=ref,
        version="",
        created=policy.created,
        annotations=NOTHING,
        hosts=tuple(hosts),
        paths=tuple(paths),
        tls=(),
        default_backend=None,
        problems=tuple(problems),
        default_split=default,
        grants=grants,
    )


def _path(ref: Ref, item: Path, problems: list[Problem]) -> Iterator[PathRule]:
    split = SplitPath(ref.namespace, ref.name, item)
    try:
        host = grammar.host(item.host.lower())
    except grammar.FieldError as error:
        problems.append(Problem(ref, "InvalidHost", item.where, f"{error}; the path is left out"))
        return
    try:
        path = grammar.path(_BEYOND_ASCII.sub(lambda found: quote(found[0]), item.path), strict=False)
    except grammar.FieldError as error:
        problems.append(Problem(ref, "InvalidPath", item.where, f"{error}; the path is left out"))
        return
    plain = item.type == PLAIN and path != "/"
    if item.type not in {EXACT, PLAIN}:
        path = path.rstrip("/") or "/"
    yield PathRule(host, path, item.type == EXACT, _NOBODY, item.where, raw=item.path, split=split, plain=plain)
