"""Takes back what a tenant's roles were given beyond the contract, whoever gave it; `desired.excess` says what that is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from psycopg import errors, sql

from hoa_operator.errors import UserError
from hoa_operator.postgres import desired, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hoa_operator.postgres.connections import Connection
    from hoa_operator.postgres.model import DatabaseSpec, ObservedDatabase


def membership_statements(spec: DatabaseSpec, observed: ObservedDatabase) -> Iterator[sql.Composed]:
    """Return what makes the roles members of what they shall be, and of nothing else; what they passed on goes with it."""
    for kind, name in names.role_names(spec.tenant_id).items():
        role, wanted = observed.role(kind), desired.memberships(spec, kind)
        if not desired.is_wanted(spec, kind, role):
            continue
        changes = [("GRANT {} TO {}", wanted - set(role.member_of)), ("REVOKE {} FROM {} CASCADE", set(role.member_of) - wanted),
                   ("REVOKE ADMIN OPTION FOR {} FROM {} CASCADE", set(role.admin_of))]  # fmt: skip
        for statement, groups in changes:
            for group in sorted(groups):
                yield sql.SQL(statement).format(sql.Identifier(group), sql.Identifier(name))


async def revoke_trespasses(connection: Connection, spec: DatabaseSpec, observed: ObservedDatabase) -> None:
    """Take back what databases grant the roles beyond CONNECT to their own; `ensure_grants` lets them in again there.

    One at a time: a login without superuser may not for a database that is not its own.
    """
    for kind, name in names.role_names(spec.tenant_id).items():
        for database in observed.role(kind).trespasses:
            with suppress(errors.InsufficientPrivilege):
                await connection.execute(
                    sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(sql.Identifier(database), sql.Identifier(name))
                )


def refuse(spec: DatabaseSpec, observed: ObservedDatabase) -> None:
    """Raise while something is left: from Postgres 16 on, REVOKE passes over grants of others with no more than a warning."""
    for name, what, undo in desired.excess(spec, observed):
        raise UserError(
            "MembershipGrantedByAnother" if "member" in what else "DatabaseGrantedByAnother",
            f"role {name} {what} by a grant the operator's login may not revoke;"
            f" have whoever granted it, or a superuser, run: {undo}",
        )
