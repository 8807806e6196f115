"""What a tenant's roles have outside its database. What is theirs there stops the drop: it may be the only copy of somebody's
data, such as the tenant's database under another name or a dump that was restored with its owners. What others merely granted
them is taken from them: the owner of any database may grant, and so keep them for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from hoa_operator.errors import WorldError
from hoa_operator.postgres.provision import ident, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hoa_operator.postgres.connections import Connection, Connections

#: Shared objects stand under database 0: of a database that a role owns, its own oid tells which it is.
_OWNED: Final = """
SELECT DISTINCT coalesce('database ' || d.datname, pg_describe_object(s.classid, s.objid, 0)) AS place,
    r.rolname::text AS role
FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid AND s.refclassid = 'pg_authid'::regclass
LEFT JOIN pg_database d ON d.oid = CASE WHEN s.classid = 'pg_database'::regclass THEN s.objid ELSE s.dbid END
WHERE s.deptype = 'o' AND r.rolname = ANY(%(roles)s) AND d.oid IS DISTINCT FROM %(own)s::oid
ORDER BY place, role
"""
_GRANTED: Final = """
SELECT DISTINCT d.datname FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid AND d.datallowconn
JOIN pg_roles r ON r.oid = s.refobjid AND s.refclassid = 'pg_authid'::regclass WHERE r.rolname = ANY(%(roles)s)
"""


async def refuse_owned(connection: Connection, roles: Sequence[str], own: int | None) -> None:
    """Raise if any of the roles owns something that is not in the database of oid `own`, nor that database."""
    cursor = await connection.execute(_OWNED, {"roles": list(roles), "own": own})
    owned = await cursor.fetchall()
    if not owned:
        return
    places = list(dict.fromkeys(row["place"] for row in owned))
    owners = ", ".join(dict.fromkeys(f'"{row["role"]}"' for row in owned))
    raise WorldError(
        "ObjectsDependOnRole",
        f"the tenant's roles own what would be lost with them: {', '.join(places[:3])}{', ...' if len(places) > 3 else ''}. If that is "
        "the tenant's own database under another name, rename it back; if it is a copy that is needed no more, drop it; if it is to "
        f"stay, give it to somebody else: there, as an administrator, run REASSIGN OWNED BY {owners}, and give the tenant's own "
        "database back to its owner (docs/operations/retained-databases.md); what waits for it then goes on",
    )


async def take_grants(connection: Connection, connections: Connections, roles: Sequence[str]) -> None:
    """Take from roles that own nothing any more what others granted them.

    Where a database is closed it stays; then Postgres says which one when the role is dropped.
    """
    await refuse_owned(connection, roles, None)
    cursor = await connection.execute(_GRANTED, {"roles": list(roles)})
    granted = await cursor.fetchall()
    for name in roles if granted else ():
        await join(connection, name)
    forget = sql.SQL("DROP OWNED BY {}").format(sql.SQL(", ").join(map(ident, roles)))
    for row in granted:
        if row["datname"] is None:
            await connection.execute(forget)
            continue
        async with connections.within(row["datname"]) as inside:
            await inside.execute(forget)
