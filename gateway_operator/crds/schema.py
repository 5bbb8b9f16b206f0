"""Turns a pydantic model into a CustomResourceDefinition with a structural schema.

The JSON schema of pydantic has references, `anyOf` with null and free maps, none of which a structural schema may
have; this module rewrites them and nothing else, so that what a model says is what the API server checks.
"""

from __future__ import annotations

from typing import Any

from gateway_operator.crds.base import CATEGORY, Crd, Kind

Schema = dict[str, Any]
# Marks a CRD as ours, however it got into the cluster.
PART_OF = {"app.kubernetes.io/part-of": "gateway-operator"}
_DROPPED = frozenset({"title", "default", "additionalProperties", "anyOf", "$defs", "$ref", "allOf", "examples"})
_TYPE_META: dict[str, Schema] = {
    "apiVersion": {"type": "string", "description": "The group and version that this object is written in."},
    "kind": {"type": "string", "description": "The kind of this object."},
    "metadata": {"type": "object"},
}


def crd_manifest(model: type[Kind]) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    crd = model.crd
    singular = crd.kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": crd.name, "labels": dict(PART_OF)},
        "spec": {
            "group": crd.group,
            "names": {
                "kind": crd.kind,
                "listKind": f"{crd.kind}List",
                "plural": crd.plural,
                "singular": singular,
                "shortNames": [crd.short_name],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced" if crd.namespaced else "Cluster",
            "versions": [_version(model)],
        },
    }


def structural_schema(model: type[Kind]) -> Schema:
    """Return the structural schema of a kind."""
    raw = model.model_json_schema(by_alias=True)
    schema = _structural(raw, raw.get("$defs", {}))
    schema["properties"] = {**_TYPE_META, **schema["properties"]}
    return schema


def _version(model: type[Kind]) -> dict[str, Any]:
    crd = model.crd
    version: dict[str, Any] = {
        "name": crd.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": structural_schema(model)},
        "subresources": _subresources(crd),
        "additionalPrinterColumns": [
            {
                "name": column.name,
                "type": column.type,
                "jsonPath": column.path,
                "description": column.description,
                **({"priority": column.priority} if column.priority else {}),
            }
            for column in crd.columns
        ],
    }
    if crd.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in crd.selectable]
    return version


def _subresources(crd: Crd) -> dict[str, Any]:
    if crd.scale is None:
        return {"status": {}}
    spec, status, selector = crd.scale
    return {
        "status": {},
        "scale": {"specReplicasPath": spec, "statusReplicasPath": status, "labelSelectorPath": selector},
    }


def _structural(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _resolve(node, definitions)
    if node.get("x-kubernetes-int-or-string"):
        return {key: value for key, value in node.items() if key != "title"}
    result = {key: value for key, value in node.items() if key not in _DROPPED}
    if node.get("default") is not None:  # what json_schema_extra says; fields themselves default to None
        result["default"] = node["default"]
    if "properties" in node:
        result["properties"] = {name: _structural(child, definitions) for name, child in node["properties"].items()}
    if "items" in node:
        result["items"] = _structural(node["items"], definitions)
    extra = node.get("additionalProperties")
    if isinstance(extra, dict) and extra:
        result["additionalProperties"] = _structural(extra, definitions)
    elif extra in ({}, True):
        result["x-kubernetes-preserve-unknown-fields"] = True
    return result


def _resolve(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Follow references and drop the null of optional fields; what stands beside a reference wins."""
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _resolve({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if len(options) == 1:
        beside = {key: value for key, value in node.items() if key not in {"anyOf", "title"}}
        return _resolve({**_resolve(options[0], definitions), **beside}, definitions)
    return node
