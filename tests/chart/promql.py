"""Metrics and labels that a PromQL expression names; whether it is well formed, promtool says."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])")


@dataclass(frozen=True)
class Named:
    """What one expression names. `matched` is the labels matched on per metric, `grouped` those of by, on and so on."""

    metrics: frozenset[str]
    matched: frozenset[tuple[str, str]]
    grouped: frozenset[str]


def values(expression: str) -> set[tuple[str, str]]:
    """Return each label and word that an expression matches on, the alternatives of a pattern one by one."""
    return {
        (label, word)
        for label, text in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"", expression)
        for word in text.split("|")
        if re.fullmatch(r"[A-Za-z]+", word)
    }


def named(expression: str) -> Named:
    """Read an expression."""
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", '""', expression)
    grouped = {part.strip() for _, inside in _GROUPING.findall(bare) for part in inside.split(",") if part.strip()}
    matched = {
        (name, label) for name, inside in _SELECTOR.findall(bare) for label in re.findall(r"(\w+)\s*[=!]", inside)
    }
    rest = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", _GROUPING.sub(" ", bare))
    metrics = {name for name in _NAME.findall(rest) if name not in _WORDS}
    return Named(frozenset(metrics), frozenset(matched), frozenset(grouped))
