"""SQL of requests. Row-level security keeps it within the tenant; ``viewer`` narrows to one homeowner's own."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, kwargs_row, scalar_row
from psycopg.types.json import Jsonb

from hoa_app.db.session import Tx
from hoa_app.features.requests.model import Comment, Event, Filters, NewRequest, PhotoInfo, Request
from hoa_app.features.requests.workflow import Category, State

_REQUEST = """
SELECT r.id, r.number, r.category, r.title, r.description, r.state, r.community_id, c.name AS community, r.unit_id,
       u.label AS unit, r.person_id, coalesce(p.name, creator.name) AS reporter, r.created_by,
       coalesce(p.user_id, CASE WHEN r.person_id IS NULL THEN r.created_by END) AS reporter_user_id,
       r.assignee_id, assignee.name AS assignee, changer.name AS changed_by, r.version, r.created_at, r.updated_at
  FROM requests r
  JOIN users creator ON creator.id = r.created_by
  LEFT JOIN people p ON p.id = r.person_id
  LEFT JOIN communities c ON c.id = r.community_id
  LEFT JOIN units u ON u.id = r.unit_id
  LEFT JOIN users assignee ON assignee.id = r.assignee_id
  LEFT JOIN users changer ON changer.id = r.changed_by
"""
OWN = "(r.created_by = %(viewer)s OR r.person_id = (SELECT id FROM people WHERE user_id = %(viewer)s))"

# Each table is gone through once for all requests, with the pattern made small beforehand.
_SMALL = "(SELECT lower(%(like)s))"
_HOLDS = f"""
(lower(r.title) LIKE {_SMALL} OR lower(r.description) LIKE {_SMALL} OR r.number::text = %(exact)s
 OR r.person_id IN (SELECT id FROM people WHERE lower(name) LIKE {_SMALL})
 OR (r.person_id IS NULL AND r.created_by IN (SELECT id FROM users WHERE lower(name) LIKE {_SMALL}))
 OR r.unit_id IN (SELECT id FROM units WHERE lower(label) LIKE {_SMALL})
 OR r.community_id IN (SELECT id FROM communities WHERE lower(name) LIKE {_SMALL}))
"""  # noqa: S608 - constants


def _request(category: str, state: str, **columns: Any) -> Request:
    return Request(category=Category(category), state=State(state), **columns)


def _conditions(filters: Filters, *, with_states: bool) -> tuple[str, dict[str, Any]]:
    """WHERE of a list, and its values."""
    parts = ["true"]
    if filters.viewer is not None:
        parts.append(OWN)
    if with_states:
        parts.append("r.state = ANY(%(states)s)")
    if filters.category:
        parts.append("r.category = %(category)s")
    if filters.community_id is not None:
        parts.append("r.community_id = %(community)s")
    if filters.unassigned:
        parts.append("r.assignee_id IS NULL")
    elif filters.assignee_id is not None:
        parts.append("r.assignee_id = %(assignee)s")
    if filters.search:
        parts.append(_HOLDS)
    like = filters.search.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    values = {
        "viewer": filters.viewer,
        "states": [state.value for state in filters.states],
        "category": filters.category,
        "community": filters.community_id,
        "assignee": filters.assignee_id,
        "like": f"%{like}%",
        "exact": filters.search.lstrip("#"),
    }
    return " AND ".join(parts), values


async def requests(tx: Tx, filters: Filters, after: int | None, limit: int) -> list[Request]:
    """Requests, the newest first; one more than ``limit``."""
    where, values = _conditions(filters, with_states=True)
    async with tx.cursor(row_factory=kwargs_row(_request)) as cursor:
        await cursor.execute(
            f"{_REQUEST} WHERE {where} AND (%(after)s::bigint IS NULL OR r.number < %(after)s)"
            " ORDER BY r.number DESC LIMIT %(limit)s",
            {**values, "after": after, "limit": limit + 1},
        )
        return await cursor.fetchall()


async def counts(tx: Tx, filters: Filters) -> dict[str, int]:
    """How many requests each state holds under the other filters."""
    where, values = _conditions(filters, with_states=False)
    cursor = await tx.execute(f"SELECT r.state, count(*) AS n FROM requests r WHERE {where} GROUP BY r.state", values)  # noqa: S608 - constants
    return {row["state"]: row["n"] for row in await cursor.fetchall()}


async def ages(tx: Tx) -> dict[str, int]:
    """Open requests by how long they have waited: under two days, under a week, longer."""
    cursor = await tx.execute(
        "SELECT count(*) FILTER (WHERE age < interval '2 days') AS fresh,"
        " count(*) FILTER (WHERE age >= interval '2 days' AND age < interval '7 days') AS waiting,"
        " count(*) FILTER (WHERE age >= interval '7 days') AS late"
        " FROM (SELECT now() - created_at AS age FROM requests"
        "        WHERE state IN ('Submitted', 'InReview', 'InProgress', 'Reopened')) open"
    )
    row = await cursor.fetchone() or {}
    return {name: int(row.get(name, 0)) for name in ("fresh", "waiting", "late")}


async def request(tx: Tx, request_id: UUID, viewer: UUID | None, *, lock: bool = False) -> Request | None:
    """One request, if the viewer may see it; ``lock`` holds it until the transaction ends."""
    where = "r.id = %(id)s" + (f" AND {OWN}" if viewer is not None else "")
    async with tx.cursor(row_factory=kwargs_row(_request)) as cursor:
        await cursor.execute(
            f"{_REQUEST} WHERE {where}" + (" FOR UPDATE OF r" if lock else ""), {"id": request_id, "viewer": viewer}
        )
        return await cursor.fetchone()


async def by_submission(tx: Tx, created_by: UUID, key: UUID) -> UUID | None:
    """The request that this form has already filed."""
    return await _scalar(tx, "SELECT id FROM requests WHERE created_by = %s AND submission_key = %s", created_by, key)


async def insert(tx: Tx, request_id: UUID, created_by: UUID, form: NewRequest) -> bool:
    """Whether the request is new: the same form sent twice files one."""
    cursor = await tx.execute(
        "INSERT INTO requests (id, created_by, changed_by, person_id, community_id, unit_id, category, title,"
        " description, submission_key) VALUES (%(id)s, %(by)s, %(by)s, %(person)s,"
        " (SELECT community_id FROM units WHERE id = %(unit)s),"
        " %(unit)s, %(category)s, %(title)s, %(description)s, %(key)s)"
        " ON CONFLICT (created_by, submission_key) WHERE submission_key IS NOT NULL DO NOTHING",
        {
            "id": request_id,
            "by": created_by,
            "person": form.person_id,
            "unit": form.unit_id,
            "category": form.category.value,
            "title": form.title,
            "description": form.description,
            "key": form.submission_key,
        },
    )
    return cursor.rowcount == 1


async def set_state(tx: Tx, request_id: UUID, state: str, changed_by: UUID) -> None:
    """Move a locked request."""
    await tx.execute(
        "UPDATE requests SET state = %s, changed_by = %s, version = version + 1, updated_at = now() WHERE id = %s",
        (state, changed_by, request_id),
    )


async def changed_by(tx: Tx, request_id: UUID, user_id: UUID) -> bool:
    """Whether it was this user who changed the request last."""
    cursor = await tx.execute("SELECT FROM requests WHERE id = %s AND changed_by = %s", (request_id, user_id))
    return await cursor.fetchone() is not None


async def set_assignee(tx: Tx, request_id: UUID, assignee_id: UUID | None, changed_by: UUID) -> None:
    """Give a locked request to someone."""
    await tx.execute(
        "UPDATE requests SET assignee_id = %s, changed_by = %s, version = version + 1,"
        " updated_at = now() WHERE id = %s",
        (assignee_id, changed_by, request_id),
    )


async def touch(tx: Tx, request_id: UUID) -> None:
    """Note that something was said."""
    await tx.execute("UPDATE requests SET updated_at = now() WHERE id = %s", (request_id,))


async def insert_comment(
    tx: Tx, request_id: UUID, author_id: UUID, visibility: str, body: str, key: UUID | None
) -> UUID | None:
    """The comment's id; None when this form was sent before."""
    return await _scalar(
        tx,
        "INSERT INTO request_comments (request_id, author_id, visibility, body, submission_key)"
        " VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (author_id, submission_key) WHERE submission_key IS NOT NULL DO NOTHING RETURNING id",
        request_id,
        author_id,
        visibility,
        body,
        key,
    )


async def insert_event(tx: Tx, request_id: UUID, actor_id: UUID, kind: str, detail: Mapping[str, Any]) -> UUID | None:
    """Note what happened."""
    return await _scalar(
        tx,
        "INSERT INTO request_events (request_id, actor_id, kind, detail) VALUES (%s, %s, %s, %s) RETURNING id",
        request_id,
        actor_id,
        kind,
        Jsonb(dict(detail)),
    )


async def comments(tx: Tx, request_id: UUID, *, internal: bool) -> list[Comment]:
    """What was said, oldest first."""
    async with tx.cursor(row_factory=class_row(Comment)) as cursor:
        await cursor.execute(
            "SELECT m.id, a.name AS author, a.role AS author_role, m.visibility, m.body, m.created_at"
            " FROM request_comments m JOIN users a ON a.id = m.author_id"
            " WHERE m.request_id = %s AND (%s OR m.visibility = 'Public') ORDER BY m.created_at, m.id",
            (request_id, internal),
        )
        return await cursor.fetchall()


async def events(tx: Tx, request_id: UUID) -> list[Event]:
    """What happened, oldest first."""
    async with tx.cursor(row_factory=class_row(Event)) as cursor:
        await cursor.execute(
            "SELECT e.id, a.name AS actor, e.kind, e.detail, e.created_at FROM request_events e"
            " JOIN users a ON a.id = e.actor_id WHERE e.request_id = %s ORDER BY e.created_at, e.id",
            (request_id,),
        )
        return await cursor.fetchall()


async def photos(tx: Tx, request_id: UUID) -> list[PhotoInfo]:
    """A request's photos, oldest first."""
    async with tx.cursor(row_factory=class_row(PhotoInfo)) as cursor:
        await cursor.execute(
            "SELECT id, filename, media_type, bytes, created_at, storage_key FROM request_photos WHERE request_id = %s"
            " ORDER BY created_at, id",
            (request_id,),
        )
        return await cursor.fetchall()


async def insert_photo(tx: Tx, request_id: UUID, photo: PhotoInfo, created_by: UUID) -> None:
    """Remember a photo that the storage already holds."""
    await tx.execute(
        "INSERT INTO request_photos (id, request_id, storage_key, filename, media_type, bytes, created_by)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (photo.id, request_id, photo.storage_key, photo.filename, photo.media_type, photo.bytes, created_by),
    )


async def delete_photo(tx: Tx, photo_id: UUID) -> None:
    """Forget a photo."""
    await tx.execute("DELETE FROM request_photos WHERE id = %s", (photo_id,))


async def known_keys(tx: Tx, keys: Sequence[str]) -> set[str]:
    """Those of the storage keys that belong to a photo."""
    cursor = await tx.execute("SELECT storage_key FROM request_photos WHERE storage_key = ANY(%s)", (list(keys),))
    return {row["storage_key"] for row in await cursor.fetchall()}


async def stored_bytes(tx: Tx) -> int:
    """Bytes of all photos, which count against the tier's storage."""
    return int(await _value(tx, "SELECT coalesce(sum(bytes), 0)::bigint FROM request_photos"))


async def staff(tx: Tx) -> list[tuple[UUID, str]]:
    """Users a request can be given to."""
    cursor = await tx.execute(
        "SELECT id, name FROM users WHERE role IN ('owner', 'manager', 'board') AND disabled_at IS NULL"
        " ORDER BY lower(name), id"
    )
    return [(row["id"], row["name"]) for row in await cursor.fetchall()]


async def managers(tx: Tx) -> list[UUID]:
    """Users who run the company's requests, whether or not one of them looks after this one."""
    cursor = await tx.execute("SELECT id FROM users WHERE role IN ('owner', 'manager') AND disabled_at IS NULL")
    return [row["id"] for row in await cursor.fetchall()]


async def address(tx: Tx, user_id: UUID) -> dict[str, Any] | None:
    """Where mail for a user goes, unless the account is closed."""
    cursor = await tx.execute("SELECT email, name FROM users WHERE id = %s AND disabled_at IS NULL", (user_id,))
    return await cursor.fetchone()


async def _scalar(tx: Tx, statement: str, *values: object) -> UUID | None:
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(statement, values)
        found: UUID | None = await cursor.fetchone()
        return found


async def _value(tx: Tx, statement: str) -> Any:
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(statement)
        return await cursor.fetchone()
