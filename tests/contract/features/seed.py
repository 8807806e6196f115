"""A company that has been at work for a while, to look at: communities, homeowners, and requests in every state."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from tests.contract.features.office import hidden

if TYPE_CHECKING:
    from tests.contract.features.office import Office, Visitor

FIRST = "Ana Bob Carla Dmitri Elena Femi Grace Hiro Ines Jonas Keiko Liam Maya Noor Oscar Priya Quinn Rosa Samir Tess"
LAST = "Torres Stone Diaz Petrov Rossi Adeyemi Chen Tanaka Silva Berg Mori Walsh Patel Haddad Lind"
NAMES = {"owner": "Olive Owens", "manager": "Mara Lane", "board": "Bo Park", "ana": "Ana Torres", "bob": "Bob Stone"}
PLACES = (
    ("Harbor Point", "Harbor Way", 24),
    ("Palm Court", "Palm Avenue", 16),
    ("Seabreeze Dunes Homeowners Association", "Dune Road", 30),
)


@dataclass(frozen=True)
class Seeded:
    """Paths of what is worth a look."""

    request: str
    good_import: str
    bad_import: str


async def seed(office: Office) -> Seeded:
    """Fill a company."""
    ana, bob = await office.admit("ana", "homeowner"), await office.admit("bob", "homeowner")
    for login, name in NAMES.items():
        office.rows(
            "UPDATE users SET name = %s WHERE email = %s RETURNING 1", name, f"{login}@{office.tenant.slug}.example"
        )
    done = await office.preview(homeowners(office))
    await office.owner.done(f"{done}/confirm")
    office.rows("UPDATE people SET user_id = users.id FROM users WHERE users.email = people.email RETURNING 1")
    await _invite(office)
    request = await _requests(office, ana, bob)
    bad = "community,unit,name,email\n" + "\n".join(f"Harbor Point,{n},Person {n},bad-{n}" for n in range(150))
    known = f"Harbor Point;1B;Ana Maria Torres;ana@{office.tenant.slug}.example;"
    good = f"community;unit;name;email;notes\nNew Place;1;Zoë Müller;zoe@example.com;x\n{known}"
    return Seeded(request, await office.preview(good), await office.preview(bad))


def homeowners(office: Office) -> str:
    """A spreadsheet of some seventy homeowners; Ana owns two units."""
    rows = ["community,unit,unit_address,name,email,phone,owner_since,primary_contact"]
    number = 0
    for community, street, units in PLACES:
        for unit in range(1, units + 1):
            number += 1
            first, last = FIRST.split()[(number - 1) % 20], LAST.split()[(number * 7 - 7) % 15]
            known = {1: "Ana", 2: "Bob", 30: "Ana"}.get(number)
            mail = (
                f"{known.lower()}@{office.tenant.slug}.example"
                if known
                else f"{first}.{last}.{number}@example.com".lower()
            )
            name = {"Ana": "Ana Torres", "Bob": "Bob Stone"}.get(known or "", f"{first} {last}")
            phone = "" if number == 30 else f"(555) 010-{4000 + number}"
            since = f"20{10 + number % 15}-0{1 + number % 9}-1{number % 9}"
            rows.append(
                f'{community},{unit}{"AB"[number % 2]},"{unit} {street}, Seabreeze FL 32118",{name},{mail},{phone},{since},yes'
            )
    rows.append(
        "The Residences at Upper Saint Augustine Beach and Marina Village Condominium Association,Penthouse 1204-B,,"
        "Maximiliana Wolfeschlegelsteinhausenbergerdorff-Longname de la Cruz,"
        "maximiliana.wolfeschlegelsteinhausenbergerdorff.longname@correspondence.example.com,(555) 010-9999,2020-01-01,yes"
    )
    return "\n".join(rows) + "\n"


async def _invite(office: Office) -> None:
    people = await office.api("GET", "/people?q=Carla")
    await office.owner.done(f"/people/{people['items'][0]['id']}/invite")
    await office.owner.done(
        "/team/invitations", {"name": "Noor Haddad", "email": "noor@example.com", "role": "manager"}
    )


async def _requests(office: Office, ana: Visitor, bob: Visitor) -> str:
    photos = [
        ("photos", ("gate.jpg", scene((120, 160, 200), (230, 200, 150)), "image/jpeg")),
        ("photos", ("latch.jpg", scene((60, 110, 80), (200, 220, 170), (720, 960)), "image/jpeg")),
    ]
    text = "Since Monday the latch of the north gate no longer catches, so children can walk in.\n\nIt helps to lift it a little."
    gate = await _ask(ana, "Maintenance", "The gate at the pool does not close", text, photos)
    solar = await _ask(
        bob, "Architectural", "Solar panels on the south roof", "Twelve black panels by a licensed installer."
    )
    meeting = await _ask(ana, "Question", "When is the next board meeting?", "And may owners take part by video?")
    light = await _ask(bob, "Maintenance", "Street light in front of 2 is out", "It has been dark for a week.")
    await _ask(
        ana,
        "Maintenance",
        "Sprinkler head broken by the mailbox cluster near the entrance",
        "Water runs over the walkway. https://example.com/a/very/long/address/that/no/browser/breaks/by/itself/because-it-has-no-space-in-it",
    )
    await say(
        office.manager, gate, "Thank you Ana, that is dangerous. Our locksmith comes tomorrow at 9.", "InProgress"
    )
    await say(office.manager, gate, "Sure Locks, 180 dollars, approved by the board.", visibility="Internal")
    await say(ana, gate, "Wonderful, I will leave the side door open.")
    await say(office.manager, meeting, "On December 3 at 6 pm in the clubhouse.", "Answered")
    await say(office.owner, solar, "", "InReview")
    await say(office.manager, light, "Fixed this morning.", "Resolved")
    return gate


async def _ask(
    visitor: Visitor,
    category: str,
    title: str,
    text: str,
    photos: list[tuple[str, tuple[str, bytes, str]]] | None = None,
) -> str:
    page = await visitor.see("/requests/new")
    fields = {
        "category": category,
        "title": title,
        "description": text,
        "submission_key": hidden(page, "submission_key"),
    }
    if 'name="unit_id" required' in page:
        fields["unit_id"] = page.split('<option value="')[2].split('"')[0]
    return await visitor.done("/requests", fields, photos)


async def say(visitor: Visitor, path: str, body: str, state: str = "", visibility: str = "Public") -> None:
    """Reply to a request."""
    version = hidden(await visitor.see(path), "version")
    await visitor.done(f"{path}/reply", {"body": body, "state": state, "version": version, "visibility": visibility})


def scene(sky: tuple[int, int, int], ground: tuple[int, int, int], size: tuple[int, int] = (960, 720)) -> bytes:
    """A JPEG of one color running into another."""
    image = Image.new("RGB", size)
    for y in range(size[1]):
        color = tuple(round(a + (b - a) * y / size[1]) for a, b in zip(sky, ground, strict=True))
        image.paste(color, (0, y, size[0], y + 1))
    out = BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()
