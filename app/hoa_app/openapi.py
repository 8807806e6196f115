"""The OpenAPI 3.1 document, made from the registered operations, so that it cannot say anything else than the code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from hoa_app.api import PREFIX, Operation

CONVERTOR = re.compile(r"\{(\w+)(?::(\w+))?\}")
SCHEMAS: dict[str, dict[str, str]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer"},
    "str": {"type": "string"},
    "path": {"type": "string"},
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string"},
                    "field": {"type": "string"},
                    "parameter": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
PROBLEM_RESPONSE = {
    "description": "What went wrong",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The whole document."""
    types = [
        kind for operation in operations for kind in (operation.request, operation.response, operation.query) if kind
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = CONVERTOR.sub(r"{\1}", PREFIX + operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, by_type, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "HOA Connect",
            "version": version,
            "summary": "Every host is one management company's portal.",
        },
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**components, "Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in sorted({operation.tag for operation in operations})],
    }


def _operation(operation: Operation, schemas: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": _responses(operation, schemas),
    }
    if operation.permission:
        found["description"] = f"Needs the permission `{operation.permission}`."
    if operation.anonymous:
        found["security"] = []
    parameters = _path_parameters(operation) + _query_parameters(operation, schemas, components)
    if parameters:
        found["parameters"] = parameters
    if operation.request is not None:
        content = {"application/json": {"schema": schemas[id(operation.request)]}}
        found["requestBody"] = {"required": True, "content": content}
    elif operation.consumes:
        found["requestBody"] = {"required": True, "content": _bytes(operation.consumes)}
    return found


def _bytes(kinds: Sequence[str]) -> dict[str, Any]:
    """Content that is not JSON: in OpenAPI 3.1 the media type says all there is to say."""
    return {kind: {} for kind in kinds}


def _responses(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
    if operation.produces:
        done = {"description": operation.summary, "content": _bytes(operation.produces)}
        return {str(operation.status): done, "default": PROBLEM_RESPONSE}
    if operation.response is None:
        status = 204 if operation.status == 200 else operation.status
        return {str(status): {"description": "Done"}, "default": PROBLEM_RESPONSE}
    content = {"application/json": {"schema": schemas[id(operation.response)]}}
    return {str(operation.status): {"description": operation.summary, "content": content}, "default": PROBLEM_RESPONSE}


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": SCHEMAS[convertor or "str"]}
        for name, convertor in CONVERTOR.findall(operation.path)
    ]


def _query_parameters(
    operation: Operation, schemas: dict[int, Any], components: dict[str, Any]
) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = schemas[id(operation.query)]
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": part}
        for name, part in schema.get("properties", {}).items()
    ]
