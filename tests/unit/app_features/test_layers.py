"""A feature knows another only by its service, and the spine knows none of them by name."""

from __future__ import annotations

import ast
from pathlib import Path

import hoa_app

APP = Path(hoa_app.__file__).parent
FEATURES = APP / "features"
STARTS = {APP / "__main__.py", APP / "worker.py"}


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("hoa_app.")}


def test_features_meet_at_their_services() -> None:
    broken = []
    for file in FEATURES.rglob("*.py"):
        own = file.relative_to(FEATURES).parts[0]
        for name in imported(file):
            parts = name.split(".")
            if parts[:2] != ["hoa_app", "features"] or len(parts) < 4 or own == "__init__.py":
                continue
            if parts[2] not in (own, "kit") and parts[3] != "service":
                broken.append(f"{file.relative_to(APP)} imports {name}")
    assert broken == []


def test_the_spine_names_no_feature() -> None:
    spine = [file for file in APP.rglob("*.py") if FEATURES not in file.parents and file not in STARTS]
    assert [file.name for file in spine if any(name.startswith("hoa_app.features") for name in imported(file))] == []


def test_the_kit_knows_no_feature() -> None:
    for file in (FEATURES / "kit").glob("*.py"):
        assert not {name for name in imported(file) if name.startswith("hoa_app.features.") and ".kit" not in name}
