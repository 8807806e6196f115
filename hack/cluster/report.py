"""What a person sees when the cluster is up: addresses, invitations, and what to try next."""

import json
import re
import time
import urllib.request
from collections.abc import Sequence
from typing import Any

from hack.cluster.kubectl import Object
from hack.cluster.shell import say

MAIL_SECONDS = 30.0
_LINK = re.compile(r"https?://[^\s<>\"']+")


def invitations(tenants: Sequence[Object], port: int, *, patient: bool) -> dict[str, str]:
    """The newest link mailed to each tenant's admin, by the tenant's name; `patient` waits for mail on its way."""
    deadline = time.monotonic() + (MAIL_SECONDS if patient else 0)
    wanted = {item["metadata"]["name"]: item["spec"]["admin"]["email"].lower() for item in tenants}
    while True:
        messages = _messages(port)
        found = {name: _link_to(address, messages) for name, address in wanted.items()}
        if all(found.values()) or time.monotonic() > deadline:
            return found
        time.sleep(1)


def show(tenants: Sequence[Object], links: dict[str, str], port: int) -> None:
    """Print the table and the next things to try."""
    say("\nHOA Connect is up.\n")
    rows = [("TENANT", "TIER", "URL")]
    rows += [
        (item["metadata"]["name"], str(item["status"].get("tier")), str(item["status"].get("url"))) for item in tenants
    ]
    for line in table(rows):
        say(f"  {line}")
    say(f"\n  Every mail:  http://mail.localhost:{port}\n")
    say("  Invitations of the tenants' admins (each opens once):")
    for name, link in links.items():
        say(f"    {name}: {link or 'no mail of theirs; see the page of every mail'}")
    say(
        "\n  Next:\n"
        '    eval "$(make -s env)"              kubectl and helm for this cluster in your shell\n'
        "    kubectl -n hoa-connect get hoat    the tenants; add -w to follow them\n"
        "    kubectl -n hoa-connect describe hoat seabreeze\n"
        "    make status, make logs C=operator, make down\n"
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _link_to(address: str, messages: Sequence[dict[str, Any]]) -> str:
    for message in messages:
        if address in (recipient.lower() for recipient in message["recipients"]):
            match = _LINK.search(message["text"])
            if match:
                return match.group()
    return ""


def _messages(port: int) -> list[dict[str, Any]]:
    """What the mail catcher holds, newest first; nothing when it does not answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/messages", headers={"Host": "mail.localhost"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return list(json.load(answer))
    except (OSError, ValueError):
        return []
