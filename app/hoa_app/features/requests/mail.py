"""Mail about requests: queued in the transaction that changes the request, written and sent by the worker afterwards.

What is queued names things by id. The text is made when the mail leaves, so that nothing private lies in the queue.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from hoa_app.db.session import Tx
from hoa_app.features.requests import store
from hoa_app.features.requests.model import Request
from hoa_app.features.requests.workflow import STATES, State
from hoa_app.jobs.context import JobContext
from hoa_app.jobs.outbox import enqueue

KIND = "requests.mail"


async def notify_reporter(tx: Tx, request: Request, news: str, comment_id: UUID | None) -> None:
    """Tell whoever filed a request what happened to it."""
    if request.reporter_user_id is not None:
        await _queue(tx, request, request.reporter_user_id, news, comment_id)


async def notify_assignee(tx: Tx, request: Request, assignee_id: UUID | None, news: str) -> None:
    """Tell whoever looks after a request what happened to it."""
    if assignee_id is not None:
        await _queue(tx, request, assignee_id, news, None)


async def send(context: JobContext, tx: Tx, payload: Mapping[str, Any]) -> None:
    """The worker's part: one mail to one user, unless the account or the request is gone by now."""
    request = await store.request(tx, UUID(payload["request_id"]), None)
    to = await store.address(tx, UUID(payload["user_id"]))
    if request is None or to is None:
        return
    comment_id = payload.get("comment_id")
    said = [one for one in await store.comments(tx, request.id, internal=False) if str(one.id) == comment_id]
    await context.services.mailer.send(
        context,
        to=to["email"],
        subject=f"#{request.number} {request.title}: {payload['news']}",
        template="requests/mail/update",
        values={
            "name": to["name"],
            "news": payload["news"],
            "request": request,
            "state": STATES[State(request.state)].label,
            "comment": said[0] if said else None,
            "link": context.tenant.url(f"/requests/{request.id}"),
        },
    )


async def _queue(tx: Tx, request: Request, user_id: UUID, news: str, comment_id: UUID | None) -> None:
    await enqueue(
        tx,
        KIND,
        {
            "request_id": str(request.id),
            "user_id": str(user_id),
            "news": news,
            "comment_id": str(comment_id) if comment_id else None,
        },
    )
