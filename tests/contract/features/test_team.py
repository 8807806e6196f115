"""Employees who come, change what they do, and leave: as an owner sees to it on the Team page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tests.contract.features.office import Office, shown
from tests.contract.features.pages import faults

if TYPE_CHECKING:
    from tests.contract.features.office import Visitor


def user_id(office: Office, name: str) -> UUID:
    (row,) = office.rows("SELECT id FROM users WHERE email = %s", f"{name}@{office.tenant.slug}.example")
    found: UUID = row[0]
    return found


async def change(who: Visitor, member: UUID, role: str, access: str = "open") -> str:
    assert await who.done(f"/team/{member}", {"role": role, "access": access}) == "/team"
    return shown(await who.see("/team"))


async def test_an_employee_who_left_is_locked_out_at_once(office: Office) -> None:
    gone, member = await office.admit("gone", "manager"), user_id(office, "gone")
    assert (await gone.get("/people")).status_code == 200
    told = await change(office.owner, member, "manager", "closed")
    assert "Manager of seabreeze cannot sign in any more, and is signed out everywhere." in told
    assert "gone@seabreeze.example Manager Cannot sign in" in told
    assert (await gone.get("/people")).headers["location"].startswith("/sign-in")
    assert (await office.programs["gone"].get("/api/v1/people")).status_code == 401
    again = await office.site.browser(office.tenant).sign_in("gone@seabreeze.example")
    assert again.status_code == 401
    await change(office.owner, member, "board", "open")
    back = await office.site.browser(office.tenant).sign_in("gone@seabreeze.example")
    assert back.status_code == 303


async def test_a_role_counts_from_the_next_click(office: Office) -> None:
    visitor, member = await office.admit("promoted", "board"), user_id(office, "promoted")
    assert (await visitor.get("/team")).status_code == 403
    assert "is manager now." in await change(office.owner, member, "manager")
    assert (await visitor.get("/team")).status_code == 200


async def test_what_may_not_be_done_is_refused_in_words(office: Office) -> None:
    page = await office.owner.see("/team")
    assert faults(page) == []
    me, homeowner = user_id(office, "owner"), user_id(office, "homeowner")
    assert f'action="/team/{me}"' not in page
    assert 'action="/team/' not in (await office.manager.see("/team")).replace("/team/invitations", "")
    myself = await office.owner.post(f"/team/{me}", {"role": "manager", "access": "open"})
    assert myself.status_code == 409
    assert "Another owner has to change what you may do." in shown(myself.text)
    assert (await office.owner.post(f"/team/{homeowner}", {"role": "manager", "access": "open"})).status_code == 404
    board = user_id(office, "board")
    nonsense = await office.owner.post(f"/team/{board}", {"role": "homeowner", "access": "open"})
    assert nonsense.status_code == 422
    assert "Choose what they do." in shown(nonsense.text)
    assert (await office.manager.post(f"/team/{board}", {"role": "owner", "access": "open"})).status_code == 403
