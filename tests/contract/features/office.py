"""A company at work: browsers and programs for every role, and short ways to what tests need."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.contract.app.browser import Browser, Site, add_user
from tests.unit.app_features.pictures import picture

if TYPE_CHECKING:
    import httpx

    from tests.contract.app.platform import MadeTenant

ROLES = ("owner", "manager", "board", "homeowner")
PNG = picture("PNG")
UUID_IN_PATH = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass
class Visitor:
    """Someone signed in, in a browser; the token of the forms is the session's, so that one page shows it for all."""

    browser: Browser
    token: str

    @property
    def client(self) -> httpx.AsyncClient:
        return self.browser.client

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def post(self, path: str, data: dict[str, str] | None = None, files: Any = None) -> httpx.Response:
        return await self.client.post(path, data={"csrf_token": self.token, **(data or {})}, files=files)

    async def done(self, path: str, data: dict[str, str] | None = None, files: Any = None) -> str:
        """Post, expect to be sent on, and say where to."""
        answer = await self.post(path, data, files)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def see(self, path: str) -> str:
        """The text of a page that must be there."""
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text


@dataclass
class Office:
    """One tenant with its people."""

    site: Site
    tenant: MadeTenant
    visitors: dict[str, Visitor] = field(default_factory=dict)
    programs: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    counter: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    async def open(cls, site: Site, tenant: MadeTenant) -> Office:
        made = cls(site, tenant)
        for role in ROLES:
            await made.admit(role, role)
        return made

    async def admit(self, name: str, role: str) -> Visitor:
        """Sign someone in, in a browser and with a program."""
        email = add_user(self.tenant, role, f"{name}@{self.tenant.slug}.example")
        browser = await self.site.signed_in(self.tenant, email)
        self.visitors[name] = Visitor(browser, await browser.token("/"))
        self.programs[name] = await self.site.program(self.tenant, email)
        return self.visitors[name]

    @property
    def owner(self) -> Visitor:
        return self.visitors["owner"]

    @property
    def manager(self) -> Visitor:
        return self.visitors["manager"]

    def unique(self, word: str) -> str:
        """A name that no other test uses."""
        return f"{word} {next(self.counter)}"

    async def api(self, method: str, path: str, body: Any = None, *, role: str = "owner", status: int = 200) -> Any:
        """Ask the API and expect an answer of this status."""
        answer = await self.programs[role].request(method, f"/api/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def community(self) -> dict[str, Any]:
        body = {"name": self.unique("Community"), "timeZone": "America/New_York"}
        made: dict[str, Any] = await self.api("POST", "/communities", body, status=201)
        return made

    async def unit(self, community: dict[str, Any] | None = None) -> dict[str, Any]:
        place = community or await self.community()
        body = {"label": self.unique("Unit")}
        made: dict[str, Any] = await self.api("POST", f"/communities/{place['id']}/units", body, status=201)
        return made

    async def person(self, **facts: str) -> dict[str, Any]:
        body = {"name": self.unique("Person"), **facts}
        made: dict[str, Any] = await self.api("POST", "/people", body, status=201)
        return made

    async def homeowner(self, name: str) -> tuple[Visitor, dict[str, Any], dict[str, Any]]:
        """Someone who owns a unit and signs in: the visitor, the person, the unit."""
        visitor = await self.admit(name, "homeowner")
        person, unit = await self.person(email=f"{name}@{self.tenant.slug}.example"), await self.unit()
        await self.own(person, unit)
        with self.tenant.as_admin() as connection:
            connection.execute(
                "UPDATE people SET user_id = (SELECT id FROM users WHERE email = %s) WHERE id = %s",
                (f"{name}@{self.tenant.slug}.example", person["id"]),
            )
        return visitor, person, unit

    async def own(self, person: dict[str, Any], unit: dict[str, Any], **facts: Any) -> dict[str, Any]:
        body = {"unitId": unit["id"], "validFrom": "2020-01-01", **facts}
        made: dict[str, Any] = await self.api("POST", f"/people/{person['id']}/ownerships", body, status=201)
        return made

    async def request(self, role: str = "manager", **facts: Any) -> dict[str, Any]:
        body = {"category": "Maintenance", "title": self.unique("Gate"), "description": "It does not close.", **facts}
        made: dict[str, Any] = await self.api("POST", "/requests", body, role=role, status=201)
        return made

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database holds."""
        with self.tenant.as_admin() as connection:
            return connection.execute(query, values).fetchall()

    async def upload(self, text: str | bytes, community: str = "", who: str = "owner") -> httpx.Response:
        """Send a file to the import."""
        data = text if isinstance(text, bytes) else text.encode()
        return await self.visitors[who].post(
            "/imports", {"community": community}, {"file": ("homeowners.csv", data, "text/csv")}
        )

    async def preview(self, text: str | bytes, community: str = "") -> str:
        """Upload a file that can be read; the path of its preview."""
        answer = await self.upload(text, community)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]


def id_of(path: str) -> UUID:
    """The id in a path."""
    found = UUID_IN_PATH.search(path)
    assert found, path
    return UUID(found[0])


def shown(page: str) -> str:
    """The words of a page's main part, in one line."""
    main = page.split("<main", 1)[-1]
    return " ".join(re.sub(r"<[^>]+>", " ", main).replace("&#39;", "'").split())


def hidden(page: str, name: str) -> str:
    """The value of a page's hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return found[1]
