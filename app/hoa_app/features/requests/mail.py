"""Mail about requests: queued in the transaction that changes the request, written and sent by the worker afterwards.

What is queued names things by id. The text is made when the mail leaves, so that nothing private lies in the queue.
Nobody is written to about what they did themselves, and nobody twice about one thing.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from hoa_app.db.session import Tx
from hoa_app.features.requests import store
from hoa_app.features.requests.model import Request
from hoa_app.features.requests.workflow import CATEGORIES, STATES, Category, State
from hoa_app.identity.actor import Actor
from hoa_app.jobs.context import JobContext
from hoa_app.jobs.outbox import enqueue_all

KIND = "requests.mail"
TOLD = 10
WAITING = (
    "SELECT id, payload FROM outbox WHERE state = 'queued' AND kind = %s AND payload->>'request_id' = %s"
    " AND payload->>'user_id' = ANY(%s) ORDER BY created_at DESC FOR UPDATE SKIP LOCKED"
)


async def tell_of_new(tx: Tx, actor: Actor, request: Request) -> None:
    """A request was filed: its managers hear of it, and the homeowner, if someone else filed it for them."""
    news = f"New request from {request.reporter}."
    homeowner = request.reporter_user_id
    managers = [each for each in await store.managers(tx) if each not in (actor.user_id, homeowner)]
    await _queue(tx, request, managers, news, whole=True)
    if homeowner not in (None, actor.user_id):
        await _queue(tx, request, [homeowner], f"{actor.name} noted this request for you.", whole=True)


async def tell_of_reply(tx: Tx, actor: Actor, request: Request, state: State | None, comment_id: UUID | None) -> None:
    """Something was said or done: the homeowner hears of it from staff, whoever looks after it from the homeowner."""
    homeowner = request.reporter_user_id
    if homeowner not in (None, actor.user_id):
        news = f"Your request is now {STATES[state].label.lower()}." if state else f"{actor.name} wrote to you."
        await _queue(tx, request, [homeowner], news, comment_id)
    moved = f" and moved it to {STATES[state].label.lower()}" if state else ""
    news = f"{actor.name} replied{moved}." if comment_id else f"{actor.name} moved it to {_label(state)}."
    if request.assignee_id is not None:
        if request.assignee_id not in (actor.user_id, homeowner) and actor.user_id in (homeowner, request.created_by):
            await _queue(tx, request, [request.assignee_id], news, comment_id)
    elif actor.user_id == homeowner:
        managers = [each for each in await store.managers(tx) if each != actor.user_id]
        await _queue(tx, request, managers, news, comment_id)


async def tell_of_task(tx: Tx, actor: Actor, request: Request, assignee_id: UUID | None) -> None:
    """A request was given to someone: they hear of it."""
    if assignee_id not in (None, actor.user_id):
        await _queue(tx, request, [assignee_id], f"{actor.name} asked you to look after this request.", whole=True)


async def send(context: JobContext, tx: Tx, payload: Mapping[str, Any]) -> None:
    """The worker's part: one mail to one user, unless the account or the request is gone by now."""
    request = await store.request(tx, UUID(payload["request_id"]), None)
    to = await store.address(tx, UUID(payload["user_id"]))
    if request is None or to is None:
        return
    earlier = payload.get("earlier", [])
    written = {payload.get("comment_id"), *(one["comment_id"] for one in earlier)}
    said = [one for one in await store.comments(tx, request.id, internal=False) if str(one.id) in written]
    await context.services.mailer.send(
        context,
        to=to["email"],
        subject=f"#{request.number} {request.title}: {payload['news']}",
        template="requests/mail/update",
        values={
            "name": to["name"],
            "news": payload["news"],
            "request": request,
            "category": CATEGORIES[Category(request.category)],
            "state": STATES[State(request.state)].label,
            "before": [news for news in dict.fromkeys(one["news"] for one in earlier) if news != payload["news"]],
            "comments": said[-TOLD:],
            "untold": len(said[:-TOLD]),
            "whole": payload.get("whole", False),
            "photos": len(await store.photos(tx, request.id)) if payload.get("whole") else 0,
            "link": context.tenant.url(f"/requests/{request.id}"),
        },
    )


def _label(state: State | None) -> str:
    return STATES[state].label.lower() if state else "another state"


async def _queue(
    tx: Tx,
    request: Request,
    user_ids: Sequence[UUID],
    news: str,
    comment_id: UUID | None = None,
    *,
    whole: bool = False,
) -> None:
    """``whole`` mails tell the request itself too, to people who have not read it.

    While a mail about the request still waits for the same person, the news joins it. One that is being sent just now
    is locked, and no longer takes any.
    """
    told = {"news": news, "comment_id": str(comment_id) if comment_id else None}
    cursor = await tx.execute(WAITING, (KIND, str(request.id), [str(each) for each in user_ids]))
    # The oldest comes last, and counts.
    waiting = {row["payload"]["user_id"]: row for row in await cursor.fetchall()}
    new = []
    for user_id in map(str, user_ids):
        payload: dict[str, Any] = {"request_id": str(request.id), "user_id": user_id, **told, "whole": whole}
        if user_id not in waiting:
            new.append(payload)
            continue
        before = waiting[user_id]["payload"]
        earlier = [*before.get("earlier", []), {"news": before["news"], "comment_id": before.get("comment_id")}]
        payload |= {"whole": whole or before.get("whole", False), "earlier": earlier}
        await tx.execute("UPDATE outbox SET payload = %s WHERE id = %s", (Jsonb(payload), waiting[user_id]["id"]))
    await enqueue_all(tx, KIND, new)
