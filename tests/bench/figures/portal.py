"""A person at the portal without a browser: follow a mailed invitation, sign in, keep the cookie and a token."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from tests.bench.figures.fleet import Wait, until

if TYPE_CHECKING:
    from tests.bench.figures.fleet import HOATenant

PASSWORD = "figures lantern quiet maple"
INPUT = re.compile(r"<input\b[^>]*>")
ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
LINK = re.compile(r"https?://[^\s\"'<>]+/invitation/[^\s\"'<>]+")


@dataclass(frozen=True)
class Visitor:
    """Someone signed in: what a load generator must send along."""

    host: str
    cookie: str
    token: str


class Portal:
    """The local cluster's front door on loopback; tenants are chosen by the Host header."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.base = f"http://127.0.0.1:{port}"

    def become_owner(self, tenant: HOATenant) -> Visitor:
        """Accept the admin's invitation and sign in."""
        host = f"{tenant.name}.localhost:{self.port}"
        email = tenant.obj["spec"]["admin"]["email"]
        path = "/invitation/" + self._mailed_link(email).rpartition("/")[2]
        with httpx.Client(base_url=self.base, headers={"Host": host}, timeout=30) as client:
            page = client.get(path).raise_for_status()
            accepted = client.post(path, data=_filled(page.text), headers={"Cookie": _cookie(page)})
            if accepted.status_code != 303:
                raise RuntimeError(f"the invitation of {host} was not accepted: HTTP {accepted.status_code}")
            # A program has no cookies; with the browser's, the API would ask for a form's token too.
            client.cookies.clear()
            answer = client.post("/api/v1/session", json={"email": email, "password": PASSWORD}).raise_for_status()
            return Visitor(host, _cookie(accepted), str(answer.json()["token"]))

    def _mailed_link(self, address: str) -> str:
        found: list[str] = []

        def look() -> bool:
            answer = httpx.get(f"{self.base}/api/messages", headers={"Host": f"mail.localhost:{self.port}"}, timeout=15)
            for message in answer.raise_for_status().json():
                if address in message["recipients"]:
                    found.extend(LINK.findall(message["text"]))
            return bool(found)

        until(look, f"the invitation mailed to {address}", Wait(limit=120, every=0.5))
        return found[0]


def _filled(page: str) -> dict[str, str]:
    """The form's own fields with a password in them, as a person would send it."""
    sent: dict[str, str] = {}
    for tag in INPUT.findall(page):
        attributes = dict(ATTRIBUTE.findall(tag))
        if "name" in attributes:
            kind = attributes.get("type", "text")
            sent[attributes["name"]] = PASSWORD if kind == "password" else html.unescape(attributes.get("value", "on"))
    return sent


def _cookie(response: httpx.Response) -> str:
    """Cookies of one answer. By hand, because a jar keys them by 127.0.0.1 and not by the tenant's host."""
    return "; ".join(value.partition(";")[0] for value in response.headers.get_list("set-cookie"))
