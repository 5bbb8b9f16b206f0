"""The catalogue of load balancers' options: data that an administrator writes, and that nobody puts into a gateway.

KubeSphere's console filled in the annotations of one vendor, which were wrong for all others (kubesphere/console#3139).
Here a client shows what the file says, and sends what its user chose.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway_operator.telemetry import get_logger

log = get_logger(__name__)
Text = Annotated[str, Field(max_length=500)]
_KEY = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_BYTES = 1 << 20  # what a ConfigMap can hold
_ENTRIES = 200


class Option(BaseModel):
    """One annotation of the Service, and what it is for; `values` are those to choose from, if not any text is."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str = Field(pattern=_KEY, examples=["service.beta.kubernetes.io/aws-load-balancer-scheme"])
    description: Text = Field("", examples=["Who reaches it; internal unless this says otherwise."])
    values: tuple[Annotated[str, Field(max_length=253)], ...] = Field((), max_length=50)
    example: Text = ""


class Provider(BaseModel):
    """One kind of load balancer: the type of the Service, and annotations that mean something to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", examples=["aws-nlb"])
    title: str = Field(min_length=1, max_length=100, examples=["AWS Network Load Balancer"])
    description: Text = ""
    documentation: str = Field("", max_length=500, pattern=r"^(https://[^\s\"<>]+)?$")
    serviceType: Literal["LoadBalancer", "NodePort", "ClusterIP"] = "LoadBalancer"  # noqa: N815 - a client's word
    annotations: tuple[Option, ...] = Field((), max_length=100)


class Broken(BaseModel):
    """An entry that was left out: its place in the list, its name if it has one, and what is wrong."""

    index: int
    name: str = ""
    problem: str


class Catalogue(BaseModel):
    """What can be chosen from; `left_out` tells an administrator what of it is wrong."""

    items: tuple[Provider, ...] = ()
    totalItems: int = 0  # noqa: N815 - KubeSphere's word
    leftOut: tuple[Broken, ...] = ()  # noqa: N815


class Providers:
    """The catalogue of a file, which is read again when it has changed; without a file it is empty."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._catalogue = Catalogue()

    def catalogue(self) -> Catalogue:
        """Return the catalogue; a file that can't be read is an empty one that says so."""
        if self._path is None:
            return self._catalogue
        try:
            stat = self._path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._catalogue, self._seen = read(_content(self._path)), seen
                for one in self._catalogue.leftOut:
                    log.warning("an entry of the providers is left out", entry=one.index, problem=one.problem)
        except (OSError, ValueError) as error:
            log.warning("the providers can't be read", error=str(error))
            return Catalogue(leftOut=(Broken(index=-1, problem="the file can't be read; the API's log says why"),))
        return self._catalogue


def read(text: str) -> Catalogue:
    """Read a list of providers, without the entries that are wrong. Pure."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f"line {where.line + 1}" if where else "the file"
        return Catalogue(leftOut=(Broken(index=-1, problem=f"{line} is no YAML"),))
    if not isinstance(content, list | None) or len(content or ()) > _ENTRIES:
        return Catalogue(leftOut=(Broken(index=-1, problem=f"must be a list of at most {_ENTRIES} providers"),))
    found: dict[str, Provider] = {}
    broken: list[Broken] = []
    for index, entry in enumerate(content or ()):
        name = str(entry.get("name") or "")[:63] if isinstance(entry, dict) else ""
        problem = _take(entry, found)
        if problem:
            broken.append(Broken(index=index, name=name, problem=problem))
    return Catalogue(items=tuple(found.values()), totalItems=len(found), leftOut=tuple(broken))


def _take(entry: Any, found: dict[str, Provider]) -> str:
    """Put an entry into what was found, or say what is wrong with it."""
    try:
        provider = Provider.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(str(step) for step in first['loc']) or 'the entry'}: {first['msg']}"
    if provider.name in found:
        return f"name: {provider.name} is there twice"
    found[provider.name] = provider
    return ""


def _content(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_BYTES + 1)
    if len(content) > _BYTES:
        raise ValueError(f"{path} is larger than {_BYTES} bytes")
    return content.decode()
