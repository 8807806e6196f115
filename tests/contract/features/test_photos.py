"""Photos of a request: what is taken, what is refused in words, and what is left of them in the storage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.contract.app.conftest import serving
from tests.contract.features.office import PNG, Office, id_of
from tests.unit.app_features.pictures import opened, picture, snapshot

if TYPE_CHECKING:
    from tests.contract.app.platform import MadeTenant, Platform

FILED = {"category": "Maintenance", "title": "The gate is broken", "description": "Since Monday."}


def files_of(platform: Platform, part: str = "") -> list[Path]:
    """Stored files whose path holds ``part``."""
    return [path for path in Path(platform.folder / "files").rglob("*") if path.is_file() and part in str(path)]


def stored_files(platform: Platform) -> int:
    return len(files_of(platform))


async def test_photos_are_served_so_that_a_browser_only_shows_them(office: Office) -> None:
    path = await office.manager.done("/requests", FILED, [("photos", ('a"b\r\n.png', PNG, "image/png"))])
    (place,) = re.findall(rf'src="({path}/photos/[^"]+)"', await office.manager.see(path))
    answer = await office.manager.get(place)
    assert opened(answer.content).size == opened(PNG).size
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("inline; filename=")
    assert '"' not in answer.headers["content-disposition"].removeprefix('inline; filename="').removesuffix('"')
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"].startswith("private")
    again = await office.manager.client.get(place, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_where_a_photo_was_taken_stays_with_the_phone(office: Office, platform: Platform) -> None:
    ana, _, _ = await office.homeowner("ana.gps")
    path = await ana.done("/requests", FILED, [("photos", ("gate.jpg", snapshot(6), "image/jpeg"))])
    photo = snapshot(1, "PNG")
    program = office.programs["ana.gps"]
    added = await program.post(
        f"/api/v1{path}/photos?filename=b.png", content=photo, headers={"content-type": "image/png"}
    )
    assert added.status_code == 201, added.text
    kept = {file.suffix: file.read_bytes() for file in files_of(platform, str(id_of(path)))}
    assert set(kept) == {".jpg", ".png"}
    for data in kept.values():
        assert b"SecretPhone" not in data
        assert dict(opened(data).getexif()) == {}
    assert opened(kept[".jpg"]).size == (30, 40)
    lied = await program.post(f"/api/v1{path}/photos", content=photo, headers={"content-type": "image/jpeg"})
    assert lied.status_code == 422
    assert "photo says it is a JPEG photo, but it is a PNG" in lied.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([("x.png", b"<svg onload=alert(1)>")], "x.png is not a JPEG, PNG or WebP photo"),
        ([("x.png", b"")], "x.png is empty"),
        ([("x.png", PNG[:40])], "x.png begins like a PNG photo, but it is damaged"),
        ([("x.png", snapshot())], "x.png says it is a PNG photo, but it is a JPEG"),
        ([("x.heic", b"\0\0\0\x18ftypheic0000")], "x.heic is a HEIC photo, which cannot be read here"),
        ([(f"{n}.png", PNG) for n in range(6)], "Choose at most 5 photos; you chose 6."),
        ([(f"{n}.png", PNG) for n in range(40)], "Choose at most 5 photos; you chose 40."),
        ([("big.png", PNG + b"0" * (10 * 1024 * 1024))], "big.png is larger than 10 MB"),
        ([("a.png", b"x"), ("b.png", PNG), ("c.png", b"")], "a.png is not a JPEG, PNG or WebP photo. c.png is empty."),
        ([(f"{n}.png", PNG + bytes(4_999_000)) for n in range(4)], "Together the photos are larger than 19 MB."),
    ],
)
async def test_other_files_are_refused_and_the_words_kept(
    office: Office, platform: Platform, files: list[tuple[str, bytes]], says: str
) -> None:
    before, there = stored_files(platform), office.rows("SELECT count(*) FROM requests")
    answer = await office.manager.post(
        "/requests", FILED, [("photos", (name, data, "image/png")) for name, data in files]
    )
    assert answer.status_code == 422
    assert says in answer.text
    assert "please choose the photos again" in answer.text or "at most 5" in answer.text
    assert 'value="The gate is broken"' in answer.text
    assert "Since Monday." in answer.text
    assert stored_files(platform) == before
    assert office.rows("SELECT count(*) FROM requests") == there


async def test_five_photos_of_ten_megabytes_are_taken_where_a_request_may_be_that_large(
    platform: Platform, seabreeze: MadeTenant
) -> None:
    large = picture("JPEG", (4000, 3000))
    photo = large + bytes(10 * 1024 * 1024 - len(large))
    async with serving(platform, HOA_MAX_BODY_BYTES=str(64 * 1024 * 1024)) as site:
        company = await Office.open(site, seabreeze)
        assert "all together at most 50 MB" in await company.manager.see("/requests/new")
        files = [("photos", (f"{n}.jpg", photo, "image/jpeg")) for n in range(5)]
        path = await company.manager.done("/requests", FILED, files)
        assert (await company.manager.see(path)).count(f'<img src="{path}/photos/') == 5
        assert company.rows("SELECT max(bytes) < 1000000 FROM request_photos WHERE request_id = %s", id_of(path)) == [
            (True,)
        ]
        refused = await company.manager.post("/requests", FILED, [*files, ("photos", ("6.jpg", PNG, "image/png"))])
        assert refused.status_code == 422
        assert "Together the photos are larger than 50 MB." in refused.text
        assert "Since Monday." in refused.text


async def test_a_form_cut_short_is_no_servers_fault(office: Office) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n' + office.manager.token.encode()
    for rest in (b"\r\n--x\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--x--\r\n", b"\r\n--x\r\n: \r\n"):
        answer = await office.manager.client.post(
            "/requests", content=head + rest, headers={"content-type": "multipart/form-data; boundary=x"}
        )
        assert answer.status_code == 400
        assert "The form did not arrive whole" in answer.text


async def test_a_request_that_fails_leaves_no_file_behind(office: Office, platform: Platform) -> None:
    before = stored_files(platform)
    data = {**FILED, "unit_id": str(uuid4())}
    answer = await office.manager.post("/requests", data, [("photos", ("a.png", PNG, "image/png"))])
    assert answer.status_code == 404
    assert stored_files(platform) == before


async def test_photos_can_be_added_up_to_five(office: Office) -> None:
    path = await office.manager.done("/requests", FILED, [("photos", ("a.png", PNG, "image/png"))] * 3)
    added = await office.manager.post(f"{path}/photos", files=[("photos", ("b.png", PNG, "image/png"))] * 2)
    assert added.status_code == 303
    assert "Add photos" not in await office.manager.see(path)
    refused = await office.manager.post(f"{path}/photos", files=[("photos", ("c.png", PNG, "image/png"))])
    assert refused.status_code == 422
    assert "A request holds 5 photos." in refused.text
