"""`python -m hack.reference [--check]`: write docs/reference, or say which page is not current."""

import argparse
import sys
from pathlib import Path

from hack.reference import FOLDER, metrics, resources


def pages() -> dict[str, str]:
    """The text of every page, by file name."""
    return {"metrics.md": metrics.page(), "resources.md": resources.page()}


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(prog="python -m hack.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a page is not current; write nothing")
    check = parser.parse_args(arguments).check
    folder.mkdir(parents=True, exist_ok=True)
    behind = [name for name, text in pages().items() if _text(folder / name) != text]
    if check:
        for name in behind:
            print(f"{name} of docs/reference is not what the code says: run make reference and commit it")
        return 1 if behind else 0
    for name in behind:
        (folder / name).write_text(pages()[name])
        print(f"wrote {name}")
    return 0


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
