"""The JSON that COMMENT ON carries: whose a database or role is, and what became of it. Unreadable means: not ours."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from hoa_operator.postgres.model import DatabaseIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TENANT_ID: Final = "hoaconnect.com/tenant-id"
UID: Final = "hoaconnect.com/uid"
INSTALLATION: Final = "hoaconnect.com/installation"
DELETED_AT: Final = "hoaconnect.com/deleted-at"
EXTENSIONS: Final = "hoaconnect.com/extensions"
TEMPLATE: Final = "hoaconnect.com/template"
SEALED: Final = "hoaconnect.com/sealed"


def parse(comment: str | None) -> Mapping[str, Any]:
    """Return the comment's object; empty when there is none or it is something else."""
    if not comment:
        return {}
    try:
        value = json.loads(comment)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def identity(comment: str | None) -> DatabaseIdentity | None:
    """Return the identity a comment carries, or None when any part is missing or malformed."""
    value = parse(comment)
    try:
        return DatabaseIdentity(UUID(value[TENANT_ID]), UUID(value[UID]), str(value[INSTALLATION]))
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def deleted_at(comment: str | None) -> datetime | None:
    """Return when a tombstone was made, or None."""
    try:
        return datetime.fromisoformat(parse(comment)[DELETED_AT])
    except (KeyError, ValueError, TypeError):
        return None


def extensions(comment: str | None) -> tuple[str, ...]:
    """Return the extensions that were installed on request."""
    value = parse(comment).get(EXTENSIONS)
    return tuple(str(name) for name in value) if isinstance(value, list) else ()


def render(owner: DatabaseIdentity, *, extensions: Sequence[str] = (), deleted_at: datetime | None = None) -> str:
    """Return the comment of a tenant's database or role."""
    value: dict[str, Any] = {
        TENANT_ID: str(owner.tenant_id),
        UID: str(owner.uid),
        INSTALLATION: owner.installation,
    }
    if extensions:
        value[EXTENSIONS] = sorted(extensions)
    if deleted_at is not None:
        value[DELETED_AT] = deleted_at.isoformat()
    return json.dumps(value, sort_keys=True)


def render_template(installation: str, revision: str | None, *, sealed: bool = False) -> str:
    """Return the comment of a template database, or of the templates' roles when `revision` is None."""
    value: dict[str, Any] = {INSTALLATION: installation}
    if revision is not None:
        value[TEMPLATE] = revision
        value[SEALED] = sealed
    return json.dumps(value, sort_keys=True)
