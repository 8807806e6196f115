"""Retains, restores and drops a tenant's database. Every act needs a proof that agrees with the server; any doubt stops it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg import errors, sql

from hoa_operator.errors import WorldError
from hoa_operator.postgres import comments, elsewhere, names
from hoa_operator.postgres.failures import not_ours
from hoa_operator.postgres.observe import observe
from hoa_operator.postgres.provision import ident
from hoa_operator.postgres.sessions import terminate, terminate_database

if TYPE_CHECKING:
    from datetime import datetime

    from hoa_operator.postgres.connections import Connection, Connections
    from hoa_operator.postgres.model import (
        DatabaseIdentity,
        Dropped,
        ObservedDatabase,
        OwnershipProof,
    )


def prove(proof: OwnershipProof, observed: ObservedDatabase) -> None:
    """Raise `OwnershipNotProven` unless uid, oid and system identifier are what the server shows now."""
    what = f"database of tenant {proof.tenant_id}"
    if observed.system_identifier != proof.system_identifier:
        raise not_ours(what, f"this server is {observed.system_identifier}, the record says {proof.system_identifier}")
    for kind, name in names.role_names(proof.tenant_id).items():
        role = observed.role(kind)
        if role.exists and not _same(proof, role.identity):
            raise not_ours(f"role {name}", "its comment does not carry this tenant's identity")
    if not observed.exists:
        return
    if _is_unfinished(proof, observed):
        raise WorldError(
            "DatabaseUnfinished",
            f"database {observed.name} was made a moment ago and is not recorded yet; it is looked at again",
        )
    if proof.database_oid is None or observed.oid != proof.database_oid:
        raise not_ours(f"database {observed.name}", f"its oid is {observed.oid}, the record says {proof.database_oid}")
    if observed.owner != names.role_name(proof.tenant_id, names.OWNER):
        raise not_ours(f"database {observed.name}", f"it belongs to {observed.owner}")
    if not _same(proof, observed.identity):
        raise not_ours(f"database {observed.name}", "its comment does not carry this tenant's identity")


def _same(proof: OwnershipProof, identity: DatabaseIdentity | None) -> bool:
    return (
        identity is not None and identity.tenant_id == proof.tenant_id and identity.uid in (proof.uid, *proof.claimants)
    )


def _is_unfinished(proof: OwnershipProof, observed: ObservedDatabase) -> bool:
    """Tell whether a run was ended between making the database and commenting it: nobody recorded its oid or opened it."""
    never_opened = observed.exists and not observed.allow_connections and not observed.tombstone
    ours = observed.owner == names.role_name(proof.tenant_id, names.OWNER)
    return proof.database_oid is None and never_opened and observed.identity is None and ours


async def tombstone(connection: Connection, proof: OwnershipProof, deleted_at: datetime) -> ObservedDatabase:
    """Close the database to everyone, keep it under its retained name, and say since when; returns what is there now."""
    observed = await observe(connection, proof.tenant_id)
    prove(proof, observed)
    if not observed.exists:
        return observed
    async with connection.transaction():
        for kind, name in names.role_names(proof.tenant_id).items():
            if observed.role(kind).can_login:
                await connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(ident(name)))
        if observed.allow_connections:
            await connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(ident(observed.name)))
    if not observed.tombstone:
        await _rename_away(connection, proof, observed, deleted_at)
    return await observe(connection, proof.tenant_id)


async def _rename_away(
    connection: Connection, proof: OwnershipProof, observed: ObservedDatabase, deleted_at: datetime
) -> None:
    retained = names.tombstone_name(proof.tenant_id)
    await terminate_database(connection, observed.name)
    async with connection.transaction():
        await connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(ident(observed.name), ident(retained))
        )
        await _comment(connection, retained, observed, deleted_at)


async def _comment(connection: Connection, name: str, observed: ObservedDatabase, deleted_at: datetime | None) -> None:
    if observed.identity is not None:
        comment = comments.render(observed.identity, extensions=observed.extensions, deleted_at=deleted_at)
        await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(ident(name), sql.Literal(comment)))


async def drop_database(connection: Connection, name: str) -> None:
    """Drop it with its sessions. Whoever calls has proved that it is ours."""
    try:
        await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(ident(name)))
    except errors.InsufficientPrivilege:
        # FORCE also wants to end autovacuum, which is a superuser's process; a plain DROP knows how to without such rights.
        await connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(ident(name)))
        await terminate_database(connection, name)
        await connection.execute(sql.SQL("DROP DATABASE {}").format(ident(name)))


async def restore(connection: Connection, proof: OwnershipProof) -> ObservedDatabase:
    """Give a retained database its live name back and open it; roles may log in again after `ensure_roles`."""
    observed = await observe(connection, proof.tenant_id)
    prove(proof, observed)
    if not observed.exists:
        raise not_ours(f"retained database of tenant {proof.tenant_id}", "it is not on this server")
    live = names.database_name(proof.tenant_id)
    async with connection.transaction():
        if observed.tombstone:
            await connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(ident(observed.name), ident(live))
            )
            await _comment(connection, live, observed, None)
        if not observed.allow_connections:
            await connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(ident(live)))
    return await observe(connection, proof.tenant_id)


async def adopt(connection: Connection, proof: OwnershipProof, identity: DatabaseIdentity) -> None:
    """Hand the data of `proof` to another uid: the tenant id stays, the comments change together.

    With the same uid it finishes a database that was made but not commented.
    """
    observed = await observe(connection, proof.tenant_id)
    if identity.tenant_id != proof.tenant_id:
        raise not_ours(f"database of tenant {proof.tenant_id}", f"adoption cannot make it tenant {identity.tenant_id}")
    if observed.exists and observed.identity == identity:
        return
    if _is_unfinished(proof, observed):
        await _claim(connection, proof, observed, identity)
        return
    prove(proof, observed)
    async with connection.transaction():
        for kind, name in names.role_names(proof.tenant_id).items():
            if observed.role(kind).exists:
                comment = sql.Literal(comments.render(identity))
                await connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(ident(name), comment))
        if observed.exists:
            comment = sql.Literal(
                comments.render(identity, extensions=observed.extensions, deleted_at=observed.deleted_at)
            )
            await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(ident(observed.name), comment))


async def _claim(
    connection: Connection, proof: OwnershipProof, observed: ObservedDatabase, identity: DatabaseIdentity
) -> None:
    """Write the comment that a killed run left out, if the owner's role, commented before, carries the very same."""
    prove(proof, replace(observed, exists=False))
    cursor = await connection.execute(
        "SELECT shobj_description(oid, 'pg_database') AS comment FROM pg_database WHERE oid = %s", [observed.oid]
    )
    row = await cursor.fetchone()
    if row is None or row["comment"] is not None or observed.role(names.OWNER).identity != identity:
        raise not_ours(f"database {observed.name}", "its owner or comment does not carry this tenant's identity")
    comment = sql.Literal(comments.render(identity))
    await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(ident(observed.name), comment))


async def may_drop(connection: Connection, proof: OwnershipProof) -> ObservedDatabase:
    """Raise unless the proof holds and the roles own nothing elsewhere; return what there is, and change nothing."""
    observed = await observe(connection, proof.tenant_id)
    prove(proof, observed)
    await elsewhere.refuse_owned(connection, _roles_of(proof, observed), observed.oid if observed.exists else None)
    return observed


def _roles_of(proof: OwnershipProof, observed: ObservedDatabase) -> list[str]:
    return [name for kind, name in names.role_names(proof.tenant_id).items() if observed.role(kind).exists]


async def drop(connection: Connection, connections: Connections, proof: OwnershipProof) -> Dropped:
    """Drop the database with whatever is connected to it, then its roles; `Absent` when nothing was left.

    Nothing is dropped while the roles own anything elsewhere.
    """
    observed = await may_drop(connection, proof)
    if observed.absent:
        return "Absent"
    present = _roles_of(proof, observed)
    if observed.exists:
        await drop_database(connection, observed.name)
    await elsewhere.take_grants(connection, connections, present)
    async with connection.transaction():
        for name in reversed(present):
            await terminate(connection, name)
            await connection.execute(sql.SQL("DROP ROLE {}").format(ident(name)))
    return "Dropped"
