"""SQL of communities and units. Row-level security keeps every statement within the tenant."""

from uuid import UUID

from psycopg.rows import class_row, scalar_row

from hoa_app.db.session import Tx
from hoa_app.features.communities.model import Community, CommunityForm, Unit, UnitForm, Workload

_OPEN = "state IN ('Submitted', 'InReview', 'InProgress', 'Reopened')"
# Counted for the whole page at once: counted per community, each would read every ownership again.
_COMMUNITIES = f"""
WITH page AS MATERIALIZED (SELECT c.id, c.name, c.address, c.time_zone, c.version, c.created_at
                             FROM communities c {{where}}
                            ORDER BY lower(c.name), c.id LIMIT %(limit)s),
     u AS (SELECT community_id, count(*) AS n FROM units
            WHERE community_id IN (SELECT id FROM page) GROUP BY community_id),
     h AS (SELECT units.community_id, count(DISTINCT o.person_id) AS n
             FROM ownerships o JOIN units ON units.id = o.unit_id JOIN page ON page.id = units.community_id,
                  LATERAL (SELECT (now() AT TIME ZONE page.time_zone)::date AS today) its
            WHERE o.valid_from <= its.today AND (o.valid_to IS NULL OR o.valid_to > its.today)
            GROUP BY units.community_id),
     r AS (SELECT community_id, count(*) AS n FROM requests
            WHERE {_OPEN} AND community_id IN (SELECT id FROM page)
            GROUP BY community_id)
SELECT page.*, coalesce(u.n, 0) AS units, coalesce(h.n, 0) AS homeowners, coalesce(r.n, 0) AS open_requests
  FROM page LEFT JOIN u ON u.community_id = page.id LEFT JOIN h ON h.community_id = page.id
  LEFT JOIN r ON r.community_id = page.id ORDER BY lower(page.name), page.id
"""  # noqa: S608 - a constant
_UNIT = """
SELECT u.id, u.community_id, c.name AS community, u.label, u.address, u.version, u.sort_key,
       ARRAY(SELECT p.name FROM ownerships o JOIN people p ON p.id = o.person_id,
                    LATERAL (SELECT (now() AT TIME ZONE c.time_zone)::date AS today) its
              WHERE o.unit_id = u.id AND o.valid_from <= its.today AND (o.valid_to IS NULL OR o.valid_to > its.today)
              ORDER BY o.is_primary DESC, p.name) AS owners
  FROM units u JOIN communities c ON c.id = u.community_id
"""


async def communities(tx: Tx, after: list[str] | None, limit: int) -> list[Community]:
    """Communities by name; one more than ``limit``, to see whether more follow."""
    where = "" if after is None else "WHERE (lower(c.name), c.id) > (%(name)s, %(id)s)"
    name, key = after or ("", None)
    return await _communities(tx, where, {"name": name, "id": key, "limit": limit + 1})


async def community(tx: Tx, community_id: UUID) -> Community | None:
    """One community."""
    found = await _communities(tx, "WHERE c.id = %(id)s", {"id": community_id, "limit": 1})
    return found[0] if found else None


async def _communities(tx: Tx, where: str, values: dict[str, object]) -> list[Community]:
    async with tx.cursor(row_factory=class_row(Community)) as cursor:
        await cursor.execute(_COMMUNITIES.format(where=where), values)
        return await cursor.fetchall()


async def names(tx: Tx) -> list[tuple[UUID, str]]:
    """Every community's id and name, for lists to choose from."""
    cursor = await tx.execute("SELECT id, name FROM communities ORDER BY lower(name)")
    return [(row["id"], row["name"]) for row in await cursor.fetchall()]


async def busiest(tx: Tx, limit: int) -> list[Workload]:
    """Communities by how many of their requests are open, then by name."""
    async with tx.cursor(row_factory=class_row(Workload)) as cursor:
        await cursor.execute(
            "SELECT c.id, c.name, c.address, coalesce(r.n, 0) AS open_requests FROM communities c"  # noqa: S608 - as above
            " LEFT JOIN (SELECT community_id, count(*) AS n FROM requests"
            f"             WHERE {_OPEN} GROUP BY community_id) r"
            " ON r.community_id = c.id ORDER BY open_requests DESC, lower(c.name), c.id LIMIT %s",
            (limit,),
        )
        return await cursor.fetchall()


async def insert_community(tx: Tx, form: CommunityForm) -> UUID | None:
    """The new community's id; None when the name is taken."""
    return await _scalar(
        tx,
        "INSERT INTO communities (name, address, time_zone) VALUES (%s, %s, %s)"
        " ON CONFLICT (tenant_id, lower(name)) DO NOTHING RETURNING id",
        form.name,
        form.address,
        form.time_zone,
    )


async def same_community(tx: Tx, form: CommunityForm) -> UUID | None:
    """The community that is just as the form says."""
    return await _scalar(
        tx,
        "SELECT id FROM communities WHERE name = %s AND address = %s AND time_zone = %s",
        form.name,
        form.address,
        form.time_zone,
    )


async def update_community(tx: Tx, community_id: UUID, form: CommunityForm) -> bool:
    """Whether the community was still at the version that the form was made from."""
    cursor = await tx.execute(
        "UPDATE communities SET name = %s, address = %s, time_zone = %s, version = version + 1, updated_at = now()"
        " WHERE id = %s AND version = %s",
        (form.name, form.address, form.time_zone, community_id, form.version),
    )
    return cursor.rowcount == 1


async def units(tx: Tx, community_id: UUID, search: str, after: list[str] | None, limit: int) -> list[Unit]:
    """A community's units in the order people count doors; one more than ``limit``."""
    conditions: list[str] = ["u.community_id = %s"]
    values: list[object] = [community_id]
    if search:
        conditions.append("(u.label ILIKE %s OR u.address ILIKE %s)")
        values += [f"%{escaped(search)}%"] * 2
    if after is not None:
        conditions.append('(u.sort_key COLLATE "C", u.id) > (%s, %s)')
        values += after
    async with tx.cursor(row_factory=class_row(Unit)) as cursor:
        await cursor.execute(
            f'{_UNIT} WHERE {" AND ".join(conditions)} ORDER BY u.sort_key COLLATE "C", u.id LIMIT %s',
            (*values, limit + 1),
        )
        return await cursor.fetchall()


async def unit(tx: Tx, unit_id: UUID) -> Unit | None:
    """One unit."""
    async with tx.cursor(row_factory=class_row(Unit)) as cursor:
        await cursor.execute(f"{_UNIT} WHERE u.id = %s", (unit_id,))
        return await cursor.fetchone()


async def insert_unit(tx: Tx, community_id: UUID, form: UnitForm) -> UUID | None:
    """The new unit's id; None when the community has one of that label."""
    return await _scalar(
        tx,
        "INSERT INTO units (community_id, label, address) VALUES (%s, %s, %s)"
        " ON CONFLICT (community_id, lower(label)) DO NOTHING RETURNING id",
        community_id,
        form.label,
        form.address,
    )


async def same_unit(tx: Tx, community_id: UUID, form: UnitForm) -> UUID | None:
    """The unit that is just as the form says."""
    return await _scalar(
        tx,
        "SELECT id FROM units WHERE community_id = %s AND label = %s AND address = %s",
        community_id,
        form.label,
        form.address,
    )


async def update_unit(tx: Tx, unit_id: UUID, form: UnitForm) -> bool:
    """Whether the unit was still at the version that the form was made from."""
    cursor = await tx.execute(
        "UPDATE units SET label = %s, address = %s, version = version + 1, updated_at = now()"
        " WHERE id = %s AND version = %s",
        (form.label, form.address, unit_id, form.version),
    )
    return cursor.rowcount == 1


async def delete_unit(tx: Tx, unit_id: UUID) -> bool:
    """Whether the unit could go: nothing may remember it."""
    cursor = await tx.execute(
        "DELETE FROM units u WHERE id = %s AND NOT EXISTS (SELECT FROM ownerships WHERE unit_id = u.id)"
        " AND NOT EXISTS (SELECT FROM requests WHERE unit_id = u.id)",
        (unit_id,),
    )
    return cursor.rowcount == 1


def escaped(search: str) -> str:
    """Text for LIKE in which no character is a wildcard."""
    return search.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


async def _scalar(tx: Tx, statement: str, *values: object) -> UUID | None:
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(statement, values)
        found: UUID | None = await cursor.fetchone()
        return found
