"""Every form that changes something begins with its token: the gate reads only the first 64 KiB, and files are longer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hoa_app

APP = Path(hoa_app.__file__).parent
TEMPLATES = sorted(APP.rglob("templates/**/*.html"))
POST_FORM = re.compile(
    r'<form\b[^>]*method="post"(?:[^>]|\{\{.*?\}\})*?>(?P<inside>.*?)</form>', re.DOTALL | re.IGNORECASE
)
TOKEN_FIRST = re.compile(r"\s*\{\{ csrf_field\(\) \}\}")


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: str(file.relative_to(APP)))
def test_a_form_that_posts_begins_with_its_token(file: Path) -> None:
    text = file.read_text()
    forms = list(POST_FORM.finditer(text))
    assert len(forms) == text.lower().count('method="post"')
    for form in forms:
        line = text.count("\n", 0, form.start()) + 1
        assert TOKEN_FIRST.match(form["inside"]), f"line {line}: put {{{{ csrf_field() }}}} right after <form>"


def test_there_are_forms_to_look_at() -> None:
    assert sum(file.read_text().count('method="post"') for file in TEMPLATES) > 20
    assert any('type="file"' in file.read_text() for file in TEMPLATES)
