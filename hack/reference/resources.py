"""The page of custom resources: every field with its type, default, meaning and rules, from crds/."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).resolve().parents[2] / "crds"
HEAD = """\
# Resources

Written by `make reference` from [crds](../../crds); a test compares. All are of `hoaconnect.com/v1alpha1`, in the namespace
of the installation. `kubectl explain hoat.spec` says the same on a cluster; rules are worded as the API server answers them.
A `status` is written by the operator only.
"""
_BOUNDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("maxLength", "at most {} characters"),
    ("maxItems", "at most {}"),
)

Schema = dict[str, Any]


def page() -> str:
    """The whole page."""
    crds = [
        yaml.safe_load((CRDS / f"{name}.yaml").read_text()) for name in ("hoatenants", "hoatiers", "hoadatabaseservers")
    ]
    return "\n".join([HEAD, *(part for crd in crds for part in _kind(crd))])


def _kind(crd: Schema) -> Iterator[str]:
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    short = ", ".join(f"`{name}`" for name in [names["plural"], *names.get("shortNames", ())])
    columns = ", ".join(column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority"))
    yield f"## {names['kind']}\n\n{schema['description']} {short}; `kubectl get` shows {columns}.\n"
    rules = schema.get("x-kubernetes-validations", ())
    yield "".join(
        f"* `{rule.get('fieldPath', '.').lstrip('.') or names['kind']}`: {rule['message']}\n" for rule in rules
    )
    for part in ("spec", "status"):
        if part in schema["properties"]:
            rows = "\n".join(_rows(part, schema["properties"][part], required=False))
            yield f"### {names['kind']} {part}\n\n| field | type | default | meaning and rules |\n|---|---|---|---|\n{rows}\n"


def _rows(path: str, schema: Schema, *, required: bool) -> Iterator[str]:
    if "." in path:
        yield f"| `{path}` | {_type(schema)} | {_default(schema, required=required)} | {_meaning(schema)} |"
    inner, prefix = (schema["items"], f"{path}[]") if schema.get("type") == "array" else (schema, path)
    for name, field in inner.get("properties", {}).items():
        yield from _rows(f"{prefix}.{name}", field, required=name in inner.get("required", ()))


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("format", schema.get("type", "any")))


def _default(schema: Schema, *, required: bool) -> str:
    if "default" in schema:
        return f"`{yaml.safe_dump(schema['default'], default_flow_style=True, width=1000).splitlines()[0]}`"
    return "required" if required else ""


def _meaning(schema: Schema) -> str:
    said = [schema.get("description", "").rstrip(".")]
    bounds = [words.format(schema[key]) for key, words in _BOUNDS if key in schema]
    said += [", ".join(bounds)] if bounds else []
    rules = [*schema.get("x-kubernetes-validations", ()), *_items(schema).get("x-kubernetes-validations", ())]
    said += [rule["message"].rstrip(".") for rule in rules]
    return ". ".join(part[0].upper() + part[1:] for part in said if part).replace("|", "\\|").replace("<", "&lt;")


def _items(schema: Schema) -> Schema:
    items: Schema = schema.get("items", {})
    return items
