"""The page that every contestant renders, under Django."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jinja2 import Environment

from tests.bench.peers.page import environment as shared


def environment(**_options: Any) -> Environment:
    """Django's Jinja backend asks for it once."""
    return shared(Path(os.environ["TEMPLATES_OF"]))
