"""The libraries of a program are what it imports and is not ours, in the order in which it begins them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.images import Laid, weight

if TYPE_CHECKING:
    from pathlib import Path


def test_the_libraries_of_a_program(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    names = [f"part_{number:03}" for number in range(120)]
    for name in names:
        (packages / f"{name}.py").touch()
    (packages / "whole.py").write_text("".join(f"import {name}\n" for name in names))
    own = tmp_path / "own"
    own.mkdir()
    (own / "hoa_thing.py").write_text("import hoa_other, whole\n")
    (own / "hoa_other.py").touch()
    name = Laid(own, packages).libraries_of("hoa_thing")
    said = (own / f"{name}.py").read_text().splitlines()
    assert [line for line in said if "whole" in line or "part_" in line or "hoa" in line] == [
        f"import {each}" for each in ("whole", *names)
    ]


def test_a_folder_weighs_what_its_files_hold(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "one").write_bytes(bytes(1024**2))
    (tmp_path / "below" / "two").write_bytes(bytes(2 * 1024**2))
    assert weight(tmp_path) == 3
