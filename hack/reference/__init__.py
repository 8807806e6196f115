"""docs/reference, written from the code. Unlike the rest of hack/ it imports the operator, the app and PyYAML: it runs in .venv."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
