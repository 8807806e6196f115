"""Pure: what a tenant's roles and settings shall be, and in which words the server differs from that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hoa_operator.postgres import names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hoa_operator.postgres.model import DatabaseSpec, ObservedDatabase, ObservedRole

CURRENT_TENANT = "app.current_tenant"
READ_ONLY = "default_transaction_read_only"


def is_wanted(spec: DatabaseSpec, kind: str, role: ObservedRole) -> bool:
    """Say whether there shall be a role of that kind: the app's second login only once it is needed, and then for good."""
    return kind != names.APP_B or spec.login == names.APP_B or role.exists


def can_login(spec: DatabaseSpec, kind: str) -> bool:
    """Say whether a role of that kind may log in."""
    if kind in names.APP_LOGINS:
        return not spec.suspended and not is_retired(spec, kind)
    return kind == names.MIGRATOR


def is_retired(spec: DatabaseSpec, kind: str) -> bool:
    """Say whether it is the app login that a rotation replaced, and its time is over."""
    return kind in names.APP_LOGINS and kind != spec.login and not spec.overlapping


def connection_limit(spec: DatabaseSpec, kind: str) -> int:
    """Return the role's CONNECTION LIMIT. A retired login has none left: it is how one sees, without reading passwords, that
    the statement that takes its password away was carried out."""
    if kind in names.APP_LOGINS:
        return 0 if is_retired(spec, kind) else spec.connection_limit
    return spec.migrator_connection_limit if kind == names.MIGRATOR else 0


def inherits(kind: str) -> bool:
    """Say whether the role has INHERIT: the migrator must SET ROLE to use what the owner may."""
    return kind != names.MIGRATOR


def memberships(spec: DatabaseSpec, kind: str) -> set[str]:
    """Return the roles that a role of that kind is a member of, and no other."""
    if kind == names.MIGRATOR:
        return {names.role_name(spec.tenant_id, names.OWNER)}
    if kind == names.APP_B:
        return {names.role_name(spec.tenant_id, names.APP)}
    writes = kind == names.APP and not spec.read_only
    return {names.role_name(spec.tenant_id, names.WRITER)} if writes else set()


def excess(spec: DatabaseSpec, observed: ObservedDatabase) -> list[tuple[str, str, str]]:
    """Return (role, what it has beyond the contract, the statement that takes it away) for its memberships and databases."""
    return list(_excess(spec, observed))


def _excess(spec: DatabaseSpec, observed: ObservedDatabase) -> Iterator[tuple[str, str, str]]:
    for kind, name in names.role_names(spec.tenant_id).items():
        role = observed.role(kind)
        for group in sorted(set(role.member_of) - memberships(spec, kind)):
            yield name, f"is a member of {group}", f'REVOKE "{group}" FROM "{name}"'
        for group in role.admin_of:
            yield name, f"may make others members of {group}", f'REVOKE ADMIN OPTION FOR "{group}" FROM "{name}"'
        for database in role.trespasses:
            yield name, f"is let into database {database}", f'REVOKE ALL ON DATABASE "{database}" FROM "{name}"'


def settings(spec: DatabaseSpec, kind: str) -> Mapping[str, str]:
    """Return the settings of a login role in its database."""
    if kind not in names.LOGINS:
        return {}
    wanted = {
        "search_path": "public",
        "idle_in_transaction_session_timeout": str(spec.idle_in_transaction_timeout_ms),
        CURRENT_TENANT: str(spec.tenant_id),
    }
    if kind in names.APP_LOGINS:
        wanted["statement_timeout"] = str(spec.statement_timeout_ms)
        if spec.read_only:
            wanted[READ_ONLY] = "on"
    return wanted


def setting_changes(spec: DatabaseSpec, kind: str, observed: ObservedDatabase) -> Mapping[str, str | None]:
    """Return what to set, and with None what to reset.

    A login that may not set `app.current_tenant` for others may not reset it either; clients send their own anyway.
    """
    wanted, has = settings(spec, kind), observed.role(kind).settings
    changes: dict[str, str | None] = dict.fromkeys(sorted(set(has) - set(wanted)))
    changes |= {name: value for name, value in wanted.items() if has.get(name) != value}
    if not observed.custom_settings_allowed:
        changes.pop(CURRENT_TENANT, None)
    return changes


def role_differs(spec: DatabaseSpec, kind: str, role: ObservedRole) -> bool:
    """Say whether an existing role's attributes need ALTER ROLE."""
    return bool(
        role.can_login != can_login(spec, kind)
        or role.connection_limit != connection_limit(spec, kind)
        or role.inherits != inherits(kind)
        or role.powers
        or role.expires
    )


def must_end(spec: DatabaseSpec, kind: str, role: ObservedRole) -> bool:
    """Say whether the role's sessions are of a login that is closed."""
    return kind in names.APP_LOGINS and role.sessions > 0 and not can_login(spec, kind)


def differences(spec: DatabaseSpec, observed: ObservedDatabase) -> tuple[str, ...]:
    """Return, in words for people, all that `PostgresServer.ensure` would change; empty when nothing.

    Passwords are not seen from the catalogs: `PostgresServer.verify_login` tells.
    """
    return tuple(_differences(spec, observed))


def _differences(spec: DatabaseSpec, observed: ObservedDatabase) -> Iterator[str]:
    for kind, name in names.role_names(spec.tenant_id).items():
        role = observed.role(kind)
        if not is_wanted(spec, kind, role):
            continue
        if not role.exists:
            yield f"role {name} is missing"
            continue
        if set(role.member_of) != memberships(spec, kind) or role.admin_of:
            yield f"memberships of role {name}"
        if role.trespasses:
            yield f"databases that let in role {name}: {', '.join(role.trespasses)}"
        if role_differs(spec, kind, role):
            yield f"attributes of role {name}"
        if role.set_everywhere or (observed.exists and setting_changes(spec, kind, observed)):
            yield f"settings of role {name}"
        if observed.exists and kind in names.LOGINS and not role.can_connect:
            yield f"CONNECT for role {name}"
        if must_end(spec, kind, role):
            yield f"sessions of role {name}"
    yield from _database_differences(spec, observed)


def _database_differences(spec: DatabaseSpec, observed: ObservedDatabase) -> Iterator[str]:
    if not observed.exists:
        yield f"database {spec.database} is missing"
        return
    if observed.tombstone:
        yield f"database is retained as {observed.name}"
    if not observed.allow_connections:
        yield f"database {observed.name} refuses connections"
    if observed.public_connect:
        yield f"database {observed.name} is open to PUBLIC"
    if observed.foreign_objects:
        yield f"database {observed.name} is a clone whose objects are not all handed over"
    if observed.identity != spec.identity or not set(spec.extensions) <= set(observed.extensions):
        yield f"comment or extensions of database {observed.name}"
