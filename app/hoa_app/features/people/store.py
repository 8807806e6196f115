"""SQL of people and ownerships. Row-level security keeps every statement within the tenant."""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row, scalar_row, tuple_row

from hoa_app.db.session import Tx
from hoa_app.features.people.model import Ownership, OwnershipForm, Person, PersonForm

# Of an ownership o of a unit in community c: the calendar day is the one where the home stands, not the server's.
_TODAY = "(now() AT TIME ZONE c.time_zone)::date"
_NOW = f"o.valid_from <= {_TODAY} AND (o.valid_to IS NULL OR o.valid_to > {_TODAY})"
_PERSON = f"""
SELECT p.id, p.name, p.email, p.phone, p.mailing_address, p.version, p.user_id,
       CASE WHEN p.user_id IS NOT NULL THEN 'Active'
            WHEN EXISTS (SELECT FROM invitations i WHERE i.person_id = p.id AND i.accepted_at IS NULL
                          AND i.revoked_at IS NULL AND i.expires_at > now()) THEN 'Invited'
            ELSE 'None' END AS portal,
       (SELECT x.email FROM users x WHERE x.id = p.user_id) AS signs_in_as,
       ARRAY(SELECT c.name || ' ' || u.label FROM ownerships o JOIN units u ON u.id = o.unit_id
               JOIN communities c ON c.id = u.community_id WHERE o.person_id = p.id AND {_NOW}
              ORDER BY lower(c.name), u.sort_key COLLATE "C") AS units
  FROM people p
"""  # noqa: S608 - only constants are put in
# The root collation sorts as people do. And an index serves it where the list goes on: row-level security lets no index
# answer for a function such as lower, which might tell of other tenants' rows.
BY_NAME = 'p.name COLLATE "und-x-icu", p.id'
# A pattern is made small once, as ILIKE does for each row; a community is looked at once, not for each of its units.
_SMALL = "(SELECT lower(%s))"
_HOLDS = f"""
(lower(p.name) LIKE {_SMALL} OR p.email LIKE {_SMALL} OR lower(p.phone COLLATE "C") LIKE {_SMALL}
 OR EXISTS (SELECT FROM ownerships o JOIN units u ON u.id = o.unit_id JOIN communities c ON c.id = u.community_id
             WHERE o.person_id = p.id AND {_NOW} AND (' ' || lower(u.label) LIKE {_SMALL}
                OR u.community_id IN (SELECT id FROM communities WHERE lower(name) LIKE {_SMALL}))))
"""  # noqa: S608 - as above
_OWNERSHIP = f"""
SELECT o.id, o.person_id, p.name AS person, o.unit_id, u.label AS unit, u.address AS unit_address, c.id AS community_id,
       c.name AS community, o.valid_from, o.valid_to, o.is_primary, ({_NOW}) AS current
  FROM ownerships o JOIN people p ON p.id = o.person_id JOIN units u ON u.id = o.unit_id
  JOIN communities c ON c.id = u.community_id
"""  # noqa: S608 - as above


async def people(tx: Tx, search: str, community_id: UUID | None, after: list[str] | None, limit: int) -> list[Person]:
    """People by name; one more than ``limit``, to see whether more follow."""
    conditions, values = ["true"], []
    for word in search.split()[:6]:
        like = f"%{_escaped(word)}%"
        conditions.append(_HOLDS)
        values += [like, like, like, f"% {like[1:]}", like]
    if community_id is not None:
        conditions.append(
            "EXISTS (SELECT FROM ownerships o JOIN units u ON u.id = o.unit_id"
            " JOIN communities c ON c.id = u.community_id"
            f" WHERE o.person_id = p.id AND c.id = %s AND {_NOW})"
        )
        values.append(str(community_id))
    if after is not None:
        conditions.append(f"({BY_NAME}) > (%s, %s)")
        values += after
    async with tx.cursor(row_factory=class_row(Person)) as cursor:
        await cursor.execute(
            f"{_PERSON} WHERE {' AND '.join(conditions)} ORDER BY {BY_NAME} LIMIT %s", (*values, limit + 1)
        )
        return await cursor.fetchall()


async def person(tx: Tx, person_id: UUID) -> Person | None:
    """One person."""
    async with tx.cursor(row_factory=class_row(Person)) as cursor:
        await cursor.execute(f"{_PERSON} WHERE p.id = %s", (person_id,))
        return await cursor.fetchone()


async def person_of_user(tx: Tx, user_id: UUID) -> UUID | None:
    """Id of the person who signs in as this user."""
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT id FROM people WHERE user_id = %s", (user_id,))
        found: UUID | None = await cursor.fetchone()
        return found


async def insert_person(tx: Tx, person_id: UUID, form: PersonForm) -> bool:
    """Whether the person is new: neither the id nor the address is taken."""
    cursor = await tx.execute(
        "INSERT INTO people (id, name, email, phone, mailing_address) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (person_id, form.name, form.email, form.phone, form.mailing_address),
    )
    return cursor.rowcount == 1


async def update_person(tx: Tx, person_id: UUID, form: PersonForm) -> bool:
    """Whether the person was still at the version that the form was made from."""
    cursor = await tx.execute(
        "UPDATE people SET name = %s, email = %s, phone = %s, mailing_address = %s, version = version + 1,"
        " updated_at = now() WHERE id = %s AND version = %s",
        (form.name, form.email, form.phone, form.mailing_address, person_id, form.version),
    )
    return cursor.rowcount == 1


async def link_user(tx: Tx, person_id: UUID, user_id: UUID) -> bool:
    """Let a person sign in as a user; False when either is taken already."""
    cursor = await tx.execute(
        "UPDATE people SET user_id = %(user)s, updated_at = now() WHERE id = %(person)s AND user_id IS NULL"
        " AND NOT EXISTS (SELECT FROM people WHERE user_id = %(user)s)",
        {"person": person_id, "user": user_id},
    )
    return cursor.rowcount == 1


async def ownerships(
    tx: Tx, *, person_id: UUID | None = None, unit_id: UUID | None = None, only_current: bool = False
) -> list[Ownership]:
    """Ownerships of a person or of a unit: current ones first, then the latest."""
    async with tx.cursor(row_factory=class_row(Ownership)) as cursor:
        await cursor.execute(
            f"{_OWNERSHIP} WHERE (%(person)s::uuid IS NULL OR o.person_id = %(person)s)"
            f" AND (%(unit)s::uuid IS NULL OR o.unit_id = %(unit)s) AND (NOT %(current)s OR ({_NOW}))"
            ' ORDER BY current DESC, o.valid_from DESC, lower(c.name), u.sort_key COLLATE "C", o.id LIMIT 500',
            {"person": person_id, "unit": unit_id, "current": only_current},
        )
        return await cursor.fetchall()


async def ownership(tx: Tx, ownership_id: UUID) -> Ownership | None:
    """One ownership."""
    async with tx.cursor(row_factory=class_row(Ownership)) as cursor:
        await cursor.execute(f"{_OWNERSHIP} WHERE o.id = %s", (ownership_id,))
        return await cursor.fetchone()


async def hold_person(tx: Tx, person_id: UUID) -> None:
    """Let one change of what a person owns go at a time: two inserts that overlap would wait for each other for ever."""
    await tx.execute("SELECT FROM people WHERE id = %s FOR UPDATE", (person_id,))


async def hold_unit(tx: Tx, unit_id: UUID) -> bool:
    """Let one change of who owns a unit go at a time: of two new primary contacts the later one stays. False: no such unit."""
    cursor = await tx.execute("SELECT FROM units WHERE id = %s FOR NO KEY UPDATE", (unit_id,))
    return await cursor.fetchone() is not None


async def same_ownership(tx: Tx, person_id: UUID, form: OwnershipForm) -> UUID | None:
    """The ownership that says just what the form says."""
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT id FROM ownerships WHERE person_id = %s AND unit_id = %s AND valid_from = %s"
            " AND valid_to IS NOT DISTINCT FROM %s AND is_primary = %s",
            (person_id, form.unit_id, form.valid_from, form.valid_to, form.is_primary),
        )
        found: UUID | None = await cursor.fetchone()
        return found


async def yield_primary(tx: Tx, unit_id: UUID) -> None:
    """Make room for another primary contact of a unit."""
    await tx.execute(
        "UPDATE ownerships SET is_primary = false, updated_at = now()"
        " WHERE unit_id = %s AND is_primary AND valid_to IS NULL",
        (unit_id,),
    )


async def insert_ownership(tx: Tx, person_id: UUID, form: OwnershipForm) -> UUID:
    """A new ownership's id; the database refuses one that overlaps another of the same person and unit."""
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO ownerships (person_id, unit_id, valid_from, valid_to, is_primary) VALUES (%s, %s, %s, %s, %s)"
            " RETURNING id",
            (person_id, form.unit_id, form.valid_from, form.valid_to, form.is_primary),
        )
        made: UUID | None = await cursor.fetchone()
        if made is None:
            raise RuntimeError("INSERT ... RETURNING gave no row")
        return made


async def end_ownership(tx: Tx, ownership_id: UUID, valid_to: date) -> bool:
    """Whether there was an open ownership to end."""
    cursor = await tx.execute(
        "UPDATE ownerships SET valid_to = %s, is_primary = false, updated_at = now()"
        " WHERE id = %s AND valid_to IS NULL",
        (valid_to, ownership_id),
    )
    return cursor.rowcount == 1


async def set_primary(tx: Tx, ownership_id: UUID) -> None:
    """Make an open ownership its unit's primary contact."""
    await tx.execute("UPDATE ownerships SET is_primary = true, updated_at = now() WHERE id = %s", (ownership_id,))


_COUNT = """
WITH c AS MATERIALIZED (SELECT id, (now() AT TIME ZONE time_zone)::date AS today FROM communities),
     d AS MATERIALIZED (SELECT min(today) AS first, max(today) AS last FROM c)
SELECT count(DISTINCT o.person_id) FROM ownerships o
 WHERE o.valid_from <= (SELECT last FROM d) AND (o.valid_to IS NULL OR o.valid_to > (SELECT first FROM d))
   AND (o.valid_from <= (SELECT first FROM d) AND (o.valid_to IS NULL OR o.valid_to > (SELECT last FROM d))
        OR EXISTS (SELECT FROM units u JOIN c ON c.id = u.community_id
                    WHERE u.id = o.unit_id AND o.valid_from <= c.today AND (o.valid_to IS NULL OR o.valid_to > c.today)))
"""


async def count_current(tx: Tx) -> int:
    """People who own a unit today: what the tier counts. Where a unit stands is looked up only for what begins or ends on a day
    that has come in one of the communities and not yet in another."""
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_COUNT)
        return int(await cursor.fetchone() or 0)


async def exported(tx: Tx) -> AsyncIterator[tuple[object, ...]]:
    """Every current ownership, in the columns of the import's template."""
    async with tx.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            "SELECT c.name, u.label, u.address, p.name, p.email, p.phone, p.mailing_address, o.valid_from,"  # noqa: S608 - as above
            " CASE WHEN o.is_primary THEN 'yes' ELSE '' END FROM ownerships o JOIN people p ON p.id = o.person_id"
            f" JOIN units u ON u.id = o.unit_id JOIN communities c ON c.id = u.community_id WHERE {_NOW}"
            ' ORDER BY lower(c.name), u.sort_key COLLATE "C", p.name'
        )
        async for row in cursor:
            yield row


async def invitation(tx: Tx, person_id: UUID) -> dict[str, Any] | None:
    """The last invitation of a person."""
    async with tx.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT id, email, created_at, sent_at, expires_at, accepted_at, revoked_at FROM invitations"
            " WHERE person_id = %s ORDER BY created_at DESC LIMIT 1",
            (person_id,),
        )
        return await cursor.fetchone()


async def open_invitations(tx: Tx, person_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Invitations that wait for their answer, with whom they are for."""
    cursor = await tx.execute(
        "SELECT id, person_id FROM invitations WHERE person_id = ANY(%s) AND accepted_at IS NULL AND revoked_at IS NULL",
        (list(person_ids),),
    )
    return {row["id"]: row["person_id"] for row in await cursor.fetchall()}


_UNINVITED = f"""
  FROM people p WHERE p.user_id IS NULL AND p.email <> ''
   AND NOT EXISTS (SELECT FROM users x WHERE lower(x.email) = p.email)
   AND NOT EXISTS (SELECT FROM invitations i WHERE lower(i.email) = p.email AND i.accepted_at IS NULL
                    AND i.revoked_at IS NULL AND i.expires_at > now())
   AND EXISTS (SELECT FROM ownerships o JOIN units u ON u.id = o.unit_id JOIN communities c ON c.id = u.community_id
                WHERE o.person_id = p.id AND (%(community)s::uuid IS NULL OR c.id = %(community)s) AND {_NOW})
"""  # noqa: S608 - as above


async def count_uninvited(tx: Tx, community_id: UUID | None) -> int:
    """Owners of today who could be invited by mail."""
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(f"SELECT count(*) {_UNINVITED}", {"community": community_id})
        return int(await cursor.fetchone() or 0)


async def hold_invitations(tx: Tx) -> None:
    """Let one invite many at a time."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('invite many ' || current_tenant(), 0))")


async def uninvited(tx: Tx, community_id: UUID | None, limit: int) -> list[tuple[UUID, str, str]]:
    """So many of them: id, name, address. Each is held, so that two who press the button invite each once."""
    async with tx.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            f"SELECT p.id, p.name, p.email {_UNINVITED} ORDER BY lower(p.name), p.id LIMIT %(limit)s"
            " FOR UPDATE OF p SKIP LOCKED",
            {"community": community_id, "limit": limit},
        )
        return await cursor.fetchall()


def _escaped(search: str) -> str:
    return search.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
