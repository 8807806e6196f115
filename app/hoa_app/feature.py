"""The plug between the spine and its features: a feature states what it adds, the spine never imports one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from starlette.routing import BaseRoute

if TYPE_CHECKING:
    from hoa_app.api import Operation
    from hoa_app.db.session import Tx
    from hoa_app.jobs.context import JobContext

# (context, transaction, payload): runs inside the transaction that will mark the row done.
JobHandler = Callable[["JobContext", "Tx", Mapping[str, Any]], Awaitable[None]]
# (transaction, invitation, user id): runs inside the transaction that made the user.
InvitationHook = Callable[["Tx", "AcceptedInvitation", UUID], Awaitable[None]]


@dataclass(frozen=True)
class NavItem:
    """A link in the navigation, shown to those who hold `permission` (None: to everyone signed in)."""

    label: str
    href: str
    permission: str | None = None
    order: int = 100
    icon: str = ""


@dataclass(frozen=True)
class AcceptedInvitation:
    """What a feature may need to know of an invitation that has just become a user."""

    id: UUID
    email: str
    name: str
    role: str
    person_id: UUID | None


@dataclass(frozen=True)
class Feature:
    """Everything one feature adds. `templates` is its own folder, reached under the prefix `name`/.

    `daily` names those of its jobs that the worker queues by itself, once a day and tenant, with an empty payload.
    """

    name: str
    routes: Sequence[BaseRoute] = ()
    nav: Sequence[NavItem] = ()
    operations: Sequence[Operation] = ()
    jobs: Mapping[str, JobHandler] = field(default_factory=dict)
    daily: Sequence[str] = ()
    templates: Path | None = None
    on_invitation_accepted: InvitationHook | None = None
