"""How much one homeowner may send: more than anyone has to say, and few enough that nobody's mail drowns in it."""

from uuid import UUID

from hoa_app.db.session import Tx
from hoa_app.features.kit.answers import TooMany
from hoa_app.features.requests.store import OWN
from hoa_app.identity.actor import Actor

ANSWER = "requests:answer"
FILED_PER_HOUR, SAID_PER_TEN_MINUTES = 20, 20
_SENT = f"""
SELECT (SELECT count(*) FROM requests WHERE created_by = %(viewer)s AND created_at > now() - interval '1 hour') AS filed,
       (SELECT count(*) FROM request_comments m WHERE m.author_id = %(viewer)s
           AND m.created_at > now() - interval '10 minutes'
           AND m.request_id IN (SELECT r.id FROM requests r WHERE {OWN})) AS said
"""  # noqa: S608 - constants


async def in_turn(tx: Tx, actor: Actor) -> None:
    """Let a homeowner send one thing at a time, so that what they sent can be counted."""
    if not actor.can(ANSWER):
        key = f"requests of {actor.user_id}"
        await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (key,))


async def check_pace(tx: Tx, actor: Actor, name: str) -> None:
    """Raise once a homeowner has sent too much; what they sent last is among what is counted."""
    if actor.can(ANSWER):
        return
    filed, said = await _sent_lately(tx, actor.user_id)
    if filed > FILED_PER_HOUR:
        raise TooMany(
            name, f"You filed {FILED_PER_HOUR} requests within an hour. Your text is kept here: send it later.", 60
        )
    if said > SAID_PER_TEN_MINUTES:
        raise TooMany(
            name, "You wrote very often within ten minutes. Your text is kept here: send it a little later.", 10
        )


async def _sent_lately(tx: Tx, user_id: UUID) -> tuple[int, int]:
    row = await (await tx.execute(_SENT, {"viewer": user_id})).fetchone() or {}
    return row["filed"], row["said"]
