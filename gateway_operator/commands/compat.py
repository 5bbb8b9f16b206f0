"""`gateway-operator compat`: what of a cluster's, or of files', ingress-nginx would work with this gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gateway_operator.commands.compat_rules import Finding, Result, of_config, of_hosts, of_ingress, of_workload
from gateway_operator.commands.compat_sources import Material, from_cluster, from_files
from gateway_operator.commands.output import say, say_json, table
from gateway_operator.commands.session import Session

_ORDER = {result: number for number, result in enumerate(Result)}
_HEADS = ("RESULT", "KIND", "OBJECT", "WHAT", "NOTE")
_SUMMARY_HEADS = ("RESULT", "WHAT", "USES", "OBJECTS", "NOTE")


async def run(session: Session, files: Sequence[Path], *, everything: bool = False) -> int:
    """Print the report; returns 1 when something isn't supported, else 0. Raises ConfigError, ApiError."""
    if files:
        material = from_files(files, session.namespace)
    else:
        async with session.connected() as api:
            material = await from_cluster(api, session.namespace)
    findings = list(judged(material))
    if session.json:
        say_json(plain(material, findings))
    else:
        markdown = session.output == "markdown"
        say("\n".join(report(material, findings, everything=everything, markdown=markdown)))
    return 1 if any(finding.result is Result.UNSUPPORTED for finding in findings) else 0


def judged(material: Material) -> Iterator[Finding]:
    """Yield all findings, object by object; an object of an odd form is a finding, too."""
    lifted = [config for config in material.configs if _dig(config, "data", "strict-validate-path-type") == "false"]
    ingress = partial(of_ingress, strict_paths=not lifted)
    whole = []
    kinds = ((material.workloads, of_workload), (material.configs, of_config), (material.ingresses, ingress))
    for objects, judge in kinds:
        for obj in objects:
            try:
                yield from list(judge(obj))
                whole.append(obj)
            except (AttributeError, KeyError, TypeError, ValueError):
                name = str(obj["metadata"].get("name", "?"))
                yield Finding(
                    str(obj["kind"]), ascii(name)[1:-1], "field", "", Result.UNSUPPORTED, "it has no valid form"
                )
    yield from of_hosts([obj for obj in whole if obj["kind"] == "Ingress"])


def _dig(obj: Any, *keys: str) -> Any:
    for key in keys:
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def report(material: Material, findings: Sequence[Finding], *, everything: bool, markdown: bool) -> Iterator[str]:
    """Yield the lines for people: a sentence, the summary, and then each object's findings."""
    draw = _markdown if markdown else table
    title = "## {}" if markdown else "{}"
    yield _sentence(material, findings)
    if findings:
        yield from ("", title.format("Summary"), "", draw(_SUMMARY_HEADS, _summary(findings)))
    told = [f for f in findings if everything or f.result is not Result.WORKS]
    if told:
        rows = [(f.result, f.kind, f.object, f.name, f.note) for f in sorted(told, key=lambda f: (f.object, f.kind))]
        yield from ("", title.format("By object"), "", draw(_HEADS, rows))
    for text in material.unread:
        yield from ("", f"not looked at: {text}")


def plain(material: Material, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return everything as JSON; `findings` hold what works, too."""
    counts = Counter(finding.result for finding in findings)
    summary = [dict(zip(("result", "name", "uses", "objects", "note"), row, strict=True)) for row in _summary(findings)]
    return {
        "ingresses": len(material.ingresses),
        "configMaps": len(material.configs),
        "controllers": len(material.workloads),
        "counts": {result.value: counts[result] for result in Result},
        "summary": summary,
        "findings": [vars(finding) for finding in findings],
        "unread": material.unread,
    }


def _sentence(material: Material, findings: Sequence[Finding]) -> str:
    counts = Counter(finding.result for finding in findings)
    looked = (
        f"{len(material.ingresses)} Ingresses, {len(material.configs)} ConfigMaps and "
        f"{len(material.workloads)} controllers looked at"
    )
    return f"{looked}. " + ", ".join(f"{result}: {counts[result]}" for result in Result)


def _summary(findings: Sequence[Finding]) -> list[tuple[str, str, int, int, str]]:
    """Return a row for each annotation, key, flag or field and result: the worst first, then the most used."""
    groups: dict[tuple[Result, str], list[Finding]] = {}
    for finding in findings:
        name = {"field": "fields", "host": "hosts with regular expressions"}.get(finding.topic, finding.name)
        groups.setdefault((finding.result, name), []).append(finding)
    ordered = sorted(groups.items(), key=lambda item: (_ORDER[item[0][0]], -len(item[1]), item[0][1]))
    return [
        (result.value, name, len(some), len({(f.kind, f.object) for f in some}), _note(some))
        for (result, name), some in ordered
    ]


def _note(findings: Sequence[Finding]) -> str:
    """Return what the findings say when all say the same."""
    notes = {finding.note for finding in findings}
    return notes.pop() if len(notes) == 1 else "see each object"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = " ".join(str(value).split()) or "-"
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
