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
from hoa_app.main import create_app
from hoa_app.settings import Settings
from tests.contract.app.browser import PASSWORD, Site, eventually
from tests.contract.app.platform import Platform
from tests.contract.features.office import Office
from tests.contract.features.seed import Seeded, seed
from tests.fix_postgres import PostgresServer

if TYPE_CHECKING:
    from playwright.async_api import Browser as Chromium

PORT = 8123
SCREENS = {"phone": ViewportSize(width=390, height=844), "desktop": ViewportSize(width=1280, height=800)}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


async def shots(office: Office, seeded: Seeded, folder: Path) -> None:
    """Every page as a picture; tells of pages wider than the screen and of errors in the browser's console."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for who, path, name in await pages(office, seeded):
            for screen, size in SCREENS.items():
                await shot(chromium, office, who, path, size, folder / f"{name}-{screen}.png")
        await chromium.close()


async def shot(chromium: Chromium, office: Office, who: str, path: str, size: ViewportSize, file: Path) -> None:
    """One picture."""
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
    await page.goto(base + path)
    await page.wait_for_load_state("networkidle")
    if await page.evaluate("document.documentElement.scrollWidth") > size["width"]:
        sys.stdout.write(f"{file.stem}: wider than the screen\n")
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
        "/imports",
        "/team",
        "/settings",
        "/audit",
        "/account",
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
        *(("owner", path, "staff" + path.replace("/", "-").rstrip("-")) for path in staff),
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
    return found[0] if found else path


async def main(folder: Path | None) -> None:
    """Start everything, and leave nothing behind."""
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
            await shots(office, seeded, folder)
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
