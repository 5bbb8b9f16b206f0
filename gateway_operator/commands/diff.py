"""`gateway-operator diff`: shows what the engine would do for an object now, or for a changed one from a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from gateway_operator.commands.operators import gateway_settings
from gateway_operator.commands.output import say, say_json, table
from gateway_operator.commands.plan import Difference, Plan, Planner
from gateway_operator.commands.session import Session
from gateway_operator.commands.targets import KindRef, Object, Target, find, kinds, resolve, with_rows
from gateway_operator.errors import ConfigError
from gateway_operator.kube import Api
from gateway_operator.releases.diff import ABSENT, Change
from gateway_operator.releases.gateways import register_kinds
from gateway_operator.releases.helm import HelmOptions, open_helm

_VALUE_LIMIT = 100
_DOING = {
    "nothing": "helm has nothing to do",
    "refused": "it is refused",
    "paused": "it is paused, and nothing is done",
    "held": "it is held at a revision (`gateway-operator rollback ... --resume` ends that)",
    "deleted": "it is being deleted",
}


async def run(
    session: Session,
    kind: str,
    name: str,
    *,
    file: Path | None,
    watches_file: Path | None,
    config: Path | None,
    helm: str,
) -> int:
    """Print the plans; returns 1 when there is something to do, else 0."""
    register_kinds()
    refs = kinds(watches_file)
    with_rows(refs)
    options = HelmOptions(executable=helm, kubeconfig=session.kubeconfig, context=session.context)
    async with session.connected() as api, open_helm(options) as runner:
        settings, source = await gateway_settings(api, config)
        target = await _target(api, refs, kind, name, session.where(), file)
        plans = await Planner(api, runner, refs, settings).plans(target)
    if session.json:
        say_json({"settings": source, "plans": [_plain(plan) for plan in plans]})
    else:
        say("\n\n".join(_text(plan) for plan in plans))
        say(f"\nsettings: {source}")
    return 1 if any(plan.differs for plan in plans) else 0


async def _target(
    api: Api, refs: tuple[KindRef, ...], kind: str, name: str, namespace: str, file: Path | None
) -> Target:
    if file is None:
        return await find(api, refs, kind, name, namespace)
    ref, resource = await resolve(api, refs, kind)
    changed = _read(file, ref, name)
    where = (changed["metadata"].get("namespace") or namespace) if resource.namespaced else None
    live = await api.find(resource, name, where)
    if live is None:
        body = {**changed, "metadata": {**changed["metadata"], "name": name, **({"namespace": where} if where else {})}}
        made = await api.raw("POST", resource.path(where), query={"dryRun": "All"}, body=body)
        return Target(ref, resource, made)
    meta = {**live["metadata"], **{k: changed["metadata"].get(k) or {} for k in ("labels", "annotations")}}
    body = {**{k: v for k, v in changed.items() if k != "status"}, "metadata": meta}
    made = await api.raw("PUT", resource.path(where, name), query={"dryRun": "All"}, body=body)
    return Target(ref, resource, made)


def _read(file: Path, ref: KindRef, name: str) -> Object:
    """Return the object of that kind and name in a file of YAML documents. Raises ConfigError."""
    try:
        documents = [d for d in yaml.safe_load_all(file.read_text(encoding="utf-8")) if isinstance(d, dict)]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: can't be read as YAML: {error}") from error
    for found in documents:
        if found.get("kind") == ref.kind and (found.get("metadata") or {}).get("name") == name:
            return found
    raise ConfigError(f"{file}: holds no {ref.kind} {name}")


def _text(plan: Plan) -> str:
    doing = _DOING.get(plan.action, f"helm would {plan.action}")
    lines = [f"{plan.target}, release {plan.release}: {doing}"]
    lines += [f"  because {reason}" for reason in plan.reasons]
    if plan.problem:
        lines.append(f"  problem: {plan.problem}")
    lines += [f"  remark: {remark}" for remark in plan.remarks]
    if plan.action in {"install", "upgrade"} and not plan.problem:
        lines += ["", "Ports and addresses"]
        rows = [(m.object, m.what, m.old, m.new) for m in plan.ports]
        lines.append(_indented(table(("OBJECT", "WHAT", "NOW", "THEN"), rows)) if rows else "  stay as they are")
        lines += _section("Values", [_change(c) for c in plan.values])
        lines += _section("Manifest", [line for d in plan.objects for line in _difference(d)])
    lines += _section("Drift (what is there differs from the release)", [x for d in plan.drift for x in _difference(d)])
    return "\n".join(lines)


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _difference(one: Difference) -> list[str]:
    return [f"{one.object} {one.what}", *(f"  {_change(c)}" for c in one.changes)]


def _change(change: Change) -> str:
    return f"{change.pointer}: {_value(change.old)} -> {_value(change.new)}"


def _value(value: Any) -> str:
    if value is ABSENT:
        return "(none)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= _VALUE_LIMIT else f"{text[: _VALUE_LIMIT - 1]}…"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def plain_changes(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Return changes as JSON; one without `old` or `new` had or gets no value."""
    pairs = [(change, {"old": change.old, "new": change.new}) for change in changes]
    return [{"pointer": one.pointer, **{k: v for k, v in pair.items() if v is not ABSENT}} for one, pair in pairs]


def plain_difference(one: Difference) -> dict[str, Any]:
    """Return how an object differs as JSON."""
    return {"object": one.object, "what": one.what, "changes": plain_changes(one.changes)}


def _plain(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON."""
    return {
        "object": plan.target,
        "release": plan.release,
        "action": plan.action,
        "reasons": plan.reasons,
        "problem": plan.problem,
        "remarks": plan.remarks,
        "digest": {"recorded": plan.digest[0], "wanted": plan.digest[1]},
        "ports": [vars(m) for m in plan.ports],
        "values": plain_changes(plan.values),
        "objects": [plain_difference(d) for d in plan.objects],
        "drift": [plain_difference(d) for d in plan.drift],
    }
