"""The first hour of a company: what to do, in which order, and what of it is done, read off the records themselves."""

from dataclasses import dataclass

from psycopg.types.json import Jsonb

from hoa_app.db.session import Tx
from hoa_app.identity.actor import Actor

_HIDDEN = "guide_hidden"
_DONE = """
SELECT EXISTS (SELECT FROM settings WHERE key = %s) AS hidden,
       EXISTS (SELECT FROM settings WHERE key = 'looked_over') AS look,
       EXISTS (SELECT FROM communities) AS community,
       EXISTS (SELECT FROM ownerships) AS homeowners,
       EXISTS (SELECT FROM invitations WHERE role = 'homeowner') AS invited,
       EXISTS (SELECT FROM invitations WHERE role <> 'homeowner' AND invited_by IS NOT NULL) AS team
"""


@dataclass(frozen=True)
class Step:
    """One thing to do: where, and who may."""

    key: str
    title: str
    text: str
    href: str
    action: str
    permission: str
    done: bool = False


_STEPS = (
    Step(
        "look",
        "See how your portal looks",
        "Check your name and color, and set the time zone that your days begin in.",
        "/settings",
        "Look it over",
        "settings:write",
    ),
    Step(
        "community",
        "Name your first community",
        "The association you know best. Others follow by hand, or along with a spreadsheet.",
        "/communities/new",
        "Add a community",
        "communities:write",
    ),
    Step(
        "homeowners",
        "Bring in your homeowners",
        "From the spreadsheet you have. You see what it would do before anything is saved.",
        "/imports",
        "Import homeowners",
        "imports:run",
    ),
    Step(
        "invited",
        "Invite them",
        "Each gets a mail, chooses a password, and can send you a request from a phone.",
        "/people/invite",
        "Invite homeowners",
        "users:invite",
    ),
    Step(
        "team",
        "Invite your team",
        "Managers and board members answer requests with you.",
        "/team",
        "Invite someone",
        "users:invite",
    ),
)


async def steps(tx: Tx, actor: Actor) -> list[Step]:
    """The steps this person may take; none once all are done, or the company has put the guide away."""
    row = await (await tx.execute(_DONE, (_HIDDEN,))).fetchone() or {}
    found = [
        Step(one.key, one.title, one.text, one.href, one.action, one.permission, bool(row[one.key]))
        for one in _STEPS
        if actor.can(one.permission)
    ]
    return [] if row["hidden"] or all(step.done for step in found) else found


async def hide(tx: Tx) -> None:
    """Put the guide away, for everyone."""
    await tx.execute(
        "INSERT INTO settings (key, value) VALUES (%s, %s) ON CONFLICT (tenant_id, key) DO NOTHING",
        (_HIDDEN, Jsonb(True)),
    )
