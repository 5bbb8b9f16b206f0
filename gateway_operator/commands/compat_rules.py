"""What becomes of one object when it moves from ingress-nginx to this gateway: pure, from the tables that serve, too.

Nothing is known here that the controller doesn't go by: annotations come from its annotation table, ConfigMap keys and
flags from their own readers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway_operator.commands.compat_flags import MISSING, NEEDLESS
from gateway_operator.crds.config_keys import KEYS, SNIPPET_KEYS, parse_config
from gateway_operator.errors import ConfigError
from gateway_operator.ingress.annotation_rows import Support
from gateway_operator.ingress.annotation_table import PREFIXES, find, is_relevant
from gateway_operator.ingress.grammar import shown
from gateway_operator.ingress.options import REFUSED, UNHONOURED, parse_flags
from gateway_operator.ingress.parse import ParseRules, parse_ingress

Object = Mapping[str, Any]
CONFIG_NOTES = {
    "proxy-connect-timeout": "without it 1 s holds, where upstream has 5 s",
    "use-forwarded-headers": "only peers within proxy-real-ip-cidr are believed; upstream believes everybody",
}
_FLAG = re.compile(r"--?([A-Za-z][\w-]*)(?:=(.*))?", re.DOTALL)
_COMMAND = "nginx-ingress-controller"


class Result(StrEnum):
    """The three answers; their order is that of the summary."""

    UNSUPPORTED = "not supported"
    DIFFERS = "works differently"
    WORKS = "works"


@dataclass(frozen=True)
class Finding:
    """One annotation, field, ConfigMap key or flag of one object, and what to expect of it."""

    kind: str
    object: str
    topic: str  # annotation, field, host, key or flag
    name: str
    result: Result
    note: str = ""


def of_ingress(obj: Object, *, strict_paths: bool = True) -> Iterator[Finding]:
    """Say what becomes of an Ingress: each of its annotations, and fields that would be left out."""
    name, annotations = _name(obj), obj["metadata"].get("annotations") or {}
    for key in sorted(annotations):
        if key.startswith(PREFIXES[0]) or is_relevant(key):
            result, note = _annotation(str(key), str(annotations[key]).strip())
            yield Finding("Ingress", name, "annotation", _plain(key), result, note)
    for problem in parse_ingress(obj, ParseRules(strict_paths=strict_paths)).problems:
        if not problem.field.startswith("metadata.annotations"):
            yield Finding("Ingress", name, "field", problem.field, Result.UNSUPPORTED, problem.message)


def _annotation(key: str, text: str) -> tuple[Result, str]:
    row = find(key)
    if row is None:
        return Result.UNSUPPORTED, "ingress-nginx 1.15 doesn't know it either, or it is of a fork; remove it"
    if row.support is Support.UNSUPPORTED or row.read is None:
        return Result.UNSUPPORTED, row.note
    try:
        if text:
            row.read(text)
    except ValueError as error:
        return Result.UNSUPPORTED, f"the value {shown(text)}: {error}"
    return (Result.DIFFERS, row.note) if row.support is Support.DIFFERS else (Result.WORKS, "")


def of_hosts(ingresses: Iterable[Object]) -> Iterator[Finding]:
    """Name the Ingresses whose paths upstream reads as regular expressions because another one of their host asks."""
    everyone = [(obj, set(_hosts(obj))) for obj in ingresses]
    asked: dict[str, str] = {}
    for obj, hosts in everyone:
        if _is_regex(obj):
            asked |= {host: _name(obj) for host in hosts if host not in asked}
    for obj, hosts in everyone:
        for host in sorted(hosts & set(asked)) if not _is_regex(obj) else ():
            note = (
                f"Ingress {asked[host]} has use-regex or rewrite-target, so upstream reads these paths as regular "
                "expressions in any case, too; here they keep their meaning"
            )
            yield Finding("Ingress", _name(obj), "host", _plain(host or "*"), Result.DIFFERS, note)


def _is_regex(obj: Object) -> bool:
    annotations = obj["metadata"].get("annotations") or {}
    rewritten = str(annotations.get(f"{PREFIXES[0]}rewrite-target") or "").strip()
    return bool(rewritten) or str(annotations.get(f"{PREFIXES[0]}use-regex", "")).strip() == "true"


def _hosts(obj: Object) -> Iterator[str]:
    for rule in (obj.get("spec") or {}).get("rules") or ():
        if (rule.get("http") or {}).get("paths"):
            yield str(rule.get("host") or "")


def of_config(obj: Object) -> Iterator[Finding]:
    """Say what becomes of each key of a controller's ConfigMap."""
    data = {str(key): str(value) for key, value in (obj.get("data") or {}).items()}
    wrong = {problem.key: problem.message.removeprefix(f"{problem.key}: ") for problem in parse_config(data)[1]}
    for key in sorted(data):
        if key in wrong:
            found = Result.UNSUPPORTED, wrong[key]
        elif key in SNIPPET_KEYS or key not in KEYS:
            found = Result.WORKS, ""  # an empty snippet asks for nothing
        else:
            note = CONFIG_NOTES.get(key, "")
            found = (Result.DIFFERS if note else Result.WORKS), note
        yield Finding("ConfigMap", _name(obj), "key", _plain(key), *found)


def is_controller(obj: Object) -> bool:
    """Tell whether a workload runs an ingress-nginx controller, upstream's or ours."""
    return any(_is_controller(container) for container in _containers(obj))


def of_workload(obj: Object) -> Iterator[Finding]:
    """Say what becomes of each flag of a controller's workload."""
    for container in _containers(obj):
        if _is_controller(container):
            for flag, value in _flags(container):
                yield Finding(str(obj["kind"]), _name(obj), "flag", f"--{_plain(flag)}", *_flag(flag, value))


def config_of(obj: Object) -> set[tuple[str, str]]:
    """Return (namespace, name) of the ConfigMaps that a controller's workload reads its settings from."""
    namespace = obj["metadata"].get("namespace") or ""
    found = set()
    for container in _containers(obj):
        for flag, value in _flags(container) if _is_controller(container) else ():
            if flag == "configmap" and value and "/" in value:
                where, _, name = value.replace("$(POD_NAMESPACE)", namespace).partition("/")
                found.add((where, name))
    return found


def _flag(name: str, value: str | None) -> tuple[Result, str]:
    off = value == "false" or (name == "annotations-prefix" and value == PREFIXES[0].rstrip("/"))
    if name in UNHONOURED | REFUSED:
        if off or name in NEEDLESS:
            return (Result.WORKS, "") if off else (Result.DIFFERS, NEEDLESS[name])
        return Result.UNSUPPORTED, MISSING.get(name, "it has no effect; remove it")
    try:
        parse_flags([f"--{name}" if value is None else f"--{name}={_filled(value)}"], {})
    except ConfigError as error:
        return Result.UNSUPPORTED, str(error)
    return Result.WORKS, ""


def _filled(value: str) -> str:
    """Put something in the place of the pod's own names, which kubelet fills in."""
    return re.sub(r"\$\((\w+)\)", "x", value)


def _flags(container: Object) -> Iterator[tuple[str, str | None]]:
    """Yield names and values; a value may be a word of its own."""
    words = [str(word) for word in [*(container.get("command") or ()), *(container.get("args") or ())]]
    for number, word in enumerate(words):
        if match := _FLAG.fullmatch(word):
            name, value = match[1], match[2]
            follows = words[number + 1 : number + 2]
            if value is None and follows and not follows[0].startswith("-") and _takes_value(name):
                value = follows[0]
            yield name, value


def _takes_value(name: str) -> bool:
    try:
        parse_flags([f"--{name}"], {})
    except ConfigError:
        return name not in REFUSED
    return name in UNHONOURED


def _is_controller(container: Object) -> bool:
    words = [str(word) for word in [*(container.get("command") or ()), *(container.get("args") or ())]]
    if any(word.rpartition("/")[2] == _COMMAND for word in words):
        return True
    ours = any(word.rpartition("/")[2] == "gateway-operator" for word in words[:1]) and "ingress" in words[1:2]
    image = str(container.get("image") or "").partition("@")[0]
    return ours or (image.rpartition(":")[0] or image).endswith(("ingress-nginx/controller", _COMMAND))


def _containers(obj: Object) -> list[Object]:
    found: Any = obj
    for key in ("spec", "template", "spec", "containers"):
        found = found.get(key) if isinstance(found, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _name(obj: Object) -> str:
    meta = obj["metadata"]
    name = _plain(str(meta.get("name") or meta.get("generateName") or "?"))
    return f"{_plain(str(meta['namespace']))}/{name}" if meta.get("namespace") else name


def _plain(text: str) -> str:
    """Return a name from a file in a form that is safe on a terminal."""
    return shown(str(text), 200)[1:-1]
