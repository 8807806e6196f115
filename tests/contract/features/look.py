"""To look at the app while working on it: a temporary Postgres, a seeded company, and either a server or screenshots.

python -m tests.contract.features.look             serves http://seabreeze.localhost:8123 until interrupted
python -m tests.contract.features.look FOLDER      writes every page, phone and desktop, as PNG files into FOLDER
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from playwright.async_api import ConsoleMessage, ViewportSize, async_playwright

from hoa_app.features import FEATURES
from hoa_app.logs import configure_logging
from hoa_app.main import create_app
from hoa_app.settings import Settings
from tests.contract.app.browser import PASSWORD, Site, eventually, invite
from tests.contract.app.platform import Platform
from tests.contract.features.office import Office
from tests.contract.features.seed import Seeded, seed
from tests.fix_postgres import PostgresServer

if TYPE_CHECKING:
    from playwright.async_api import Browser as Chromium

PORT = 8123
SCREENS = {"phone": ViewportSize(width=390, height=844), "desktop": ViewportSize(width=1280, height=800)}
CUT_OFF = """[...document.querySelectorAll("main *")].filter((one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1
  && getComputedStyle(one).overflowX !== "visible" && !one.matches(".visually-hidden, thead, .tabs, input"))
  .map((one) => one.className + " " + one.textContent.trim().slice(0, 40))"""
FIRST_DAY = [
    *(("owner", path, "first" + path.replace("/", "-").rstrip("-")) for path in ("/", "/people", "/communities")),
    *(
        ("owner", path, "first" + path.replace("/", "-"))
        for path in ("/imports", "/requests", "/team", "/people/invite")
    ),
    ("board", "/", "first-board"),
    ("homeowner", "/", "first-homeowner"),
    ("homeowner", "/requests", "first-homeowner-requests"),
    ("", "/invitation/look", "first-invitation"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


async def shots(office: Office, fresh: Office, seeded: Seeded, folder: Path) -> None:
    """Every page as a picture; tells of pages wider than the screen and of errors in the browser's console."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        wanted = [(office, *one) for one in await pages(office, seeded)] + [(fresh, *one) for one in FIRST_DAY]
        for company, who, path, name in wanted:
            for screen, size in SCREENS.items():
                await shot(chromium, company, who, path, size, folder / f"{name}-{screen}.png")
        for path, html in (await refusals(office, seeded)).items():
            name = "refused" + path.split("?")[0].replace("/", "-")[:30]
            for screen, size in SCREENS.items():
                await shot(chromium, office, "owner", path, size, folder / f"{name}-{screen}.png", html)
        await chromium.close()


async def refusals(office: Office, seeded: Seeded) -> dict[str, str]:
    """What forms answer that cannot be taken."""
    long = "A very long sentence without much to say in it. " * 5
    forms: dict[str, dict[str, str]] = {
        "/requests": {"title": long, "description": "Kept."},
        "/people": {"name": "", "email": "not an address", "phone": "1"},
        "/communities": {"name": "Harbor Point", "time_zone": "America/New_York"},
        "/team/invitations": {"name": "", "email": "owner@seabreeze.example", "role": "manager"},
        "/imports": {},
        f"{seeded.request}/reply": {"version": "1", "state": "Closed", "body": "Words that took an hour."},
    }
    return {path: (await office.owner.post(path, data)).text for path, data in forms.items()}


async def shot(  # noqa: PLR0917 - a picture has that many sides
    chromium: Chromium, office: Office, who: str, path: str, size: ViewportSize, file: Path, html: str = ""
) -> None:
    """One picture, of a page or of an answer that is at hand."""
    base = f"http://{office.tenant.host}:{PORT}"
    context = await chromium.new_context(viewport=size)
    if who:
        cookies = office.visitors[who].client.cookies
        await context.add_cookies([{"name": name, "value": value, "url": base} for name, value in cookies.items()])
    page = await context.new_page()

    def tell(message: ConsoleMessage) -> None:
        if message.type == "error":
            sys.stdout.write(f"{file.stem}: {message.text}\n")

    page.on("console", tell)
    if html:
        await page.route(base + path, lambda route: route.fulfill(body=html, content_type="text/html"))
    await page.goto(base + path)
    await page.wait_for_load_state("networkidle")
    if await page.evaluate("document.documentElement.scrollWidth") > size["width"]:
        sys.stdout.write(f"{file.stem}: wider than the screen\n")
    for cut in await page.evaluate(CUT_OFF):
        sys.stdout.write(f"{file.stem}: does not fit: {cut}\n")
    await page.screenshot(path=file, full_page=True)
    await context.close()


async def pages(office: Office, seeded: Seeded) -> list[tuple[str, str, str]]:
    """Who looks at what, and what the picture is called."""
    community = await _first(office, "/communities", r"/communities/[0-9a-f-]{36}")
    unit = await _first(office, community, r"/units/[0-9a-f-]{36}")
    person = await _first(office, "/people?q=ana+torres+harbor", r"/people/[0-9a-f-]{36}")
    staff = [
        "/",
        "/requests",
        "/requests/new",
        "/people",
        "/people/new",
        "/communities",
        "/people/invite",
        "/imports",
        "/team",
        "/settings",
        "/audit",
        "/account",
        "/people?q=longname",
        "/requests?q=sprinkler",
    ]
    things = {
        "request": seeded.request,
        "person": person,
        "community": community,
        "community-edit": f"{community}/edit",
        "unit": unit,
        "import-good": seeded.good_import,
        "import-bad": seeded.bad_import,
        "missing": "/nowhere",
    }
    return [
        *(("owner", path, "staff" + re.sub(r"\W+", "-", path).rstrip("-")) for path in staff),
        *(("owner", path, name) for name, path in things.items()),
        *(
            ("ana", path, "homeowner" + path.replace("/", "-").rstrip("-"))
            for path in ("/", "/requests", "/requests/new")
        ),
        ("ana", seeded.request, "homeowner-request"),
        *(
            ("", path, "door" + path.replace("/", "-"))
            for path in ("/sign-in", "/forgot-password", "/invitation/unknown")
        ),
    ]


async def _first(office: Office, path: str, pattern: str) -> str:
    found = re.search(pattern, await office.owner.see(path))
    if found is None:
        raise LookupError(f"{path} leads to nothing like {pattern}")
    return found[0]


async def main(folder: Path | None) -> None:
    """Start everything, and leave nothing behind."""
    configure_logging("ERROR", "look", "dev")
    postgres = PostgresServer.create().start()
    with tempfile.TemporaryDirectory() as place:
        platform = Platform(postgres.access, Path(place))
        tenant = platform.make_tenant("seabreeze", limits={"homeownersMax": 100})
        app = create_app(
            Settings.from_env(platform.environment(HOA_URL_PORT=str(PORT), HOA_LOG_LEVEL="ERROR")), FEATURES
        )
        server = uvicorn.Server(uvicorn.Config(app, port=PORT, log_level="error"))
        serving = asyncio.create_task(server.serve())
        await eventually(lambda: server.started)
        await app.state.services.registry.loaded.wait()
        office = await Office.open(Site(app), tenant)
        seeded = await seed(office)
        if folder:
            new = platform.make_tenant("pinnacle")
            await eventually(lambda: app.state.services.registry.get(new.id) is not None)
            invite(new, "ina@pinnacle.example", "owner", "look")
            await shots(office, await Office.open(office.site, new), seeded, folder)
            server.should_exit = True
        else:
            sys.stdout.write(
                f"http://{tenant.host}:{PORT}  owner@, manager@, board@, ana@{tenant.slug}.example, password: {PASSWORD}\n"
            )
        await serving
        await office.site.close()
    postgres.destroy()


if __name__ == "__main__":
    wanted = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if wanted:
        wanted.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(wanted))
