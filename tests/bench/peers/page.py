"""The page of people that everyone renders: the app's own template, with what never changes known once and for all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

if TYPE_CHECKING:
    from pathlib import Path

_LINKS: Final = ("/", "/requests", "/people", "/communities", "/imports", "/team", "/account")


def environment(package: Path) -> Environment:
    """Return an environment whose `list.html` needs only people, communities, actor and path."""
    loader = FileSystemLoader([package / "templates", package / "features" / "people" / "templates"])
    made = Environment(loader=loader, autoescape=select_autoescape(("html",)), auto_reload=False)
    made.globals.update(
        tenant=SimpleNamespace(display_name="Bench Management"),
        branding=SimpleNamespace(primary_color="#123456", logo_url="", support_email="help@bench.example"),
        nav=[SimpleNamespace(href=href, icon="", label=href) for href in _LINKS],
        portal={"Active": "Has an account", "Invited": "Invited", "None": "Not invited"},
        csrf_field=lambda: Markup('<input type="hidden" name="csrf_token" value="none">'),
        can=lambda _permission: True,
        undelivered=set(),
        flashes=[],
        read_only=False,
        q="",
        community=None,
        after=None,
    )
    return made
