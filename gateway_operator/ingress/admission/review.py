"""AdmissionReview v1 in and out; whoever sends something else is told what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gateway_operator.ingress.admission.judge import Verdict

API_VERSION = "admission.k8s.io/v1"
_JUDGED = frozenset({"CREATE", "UPDATE"})


class BadReview(ValueError):
    """A request that is no AdmissionReview of an Ingress; the text is for its sender."""


@dataclass(frozen=True)
class Review:
    """One question. `new` is None when there is nothing to judge, as at a deletion."""

    uid: str
    new: dict[str, Any] | None
    old: dict[str, Any] | None


def read_review(body: bytes) -> Review:
    """Read a request's body. Raises BadReview."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise BadReview("the body is no JSON") from None
    if not isinstance(document, dict) or document.get("kind") != "AdmissionReview":
        raise BadReview("the body is no AdmissionReview")
    if document.get("apiVersion") != API_VERSION:
        raise BadReview(f"only {API_VERSION} is understood")
    request = document.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str) or not request["uid"]:
        raise BadReview("the AdmissionReview holds no request with a uid")
    if request.get("operation") not in _JUDGED or request.get("subResource"):
        return Review(request["uid"], None, None)
    kind = request.get("kind")
    if kind != {"group": "networking.k8s.io", "version": "v1", "kind": "Ingress"}:
        raise BadReview("only Ingresses of networking.k8s.io/v1 are judged here")
    new, old = request.get("object"), request.get("oldObject")
    if not _is_object(new) or not (old is None or _is_object(old)):
        raise BadReview("the request holds no Ingress")
    return Review(request["uid"], new, old)


def _is_object(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return False
    return isinstance(value["metadata"].get("name"), str) and isinstance(value.get("spec", {}), dict)


def answer(uid: str, verdict: Verdict) -> dict[str, Any]:
    """Return the AdmissionReview that says it."""
    response: dict[str, Any] = {"uid": uid, "allowed": verdict.allowed}
    if not verdict.allowed:
        response["status"] = {"code": 422, "reason": "Invalid", "message": verdict.message}
    if verdict.warnings:
        response["warnings"] = list(verdict.warnings)
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
