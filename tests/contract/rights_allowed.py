"""What each role on a server may do. Whatever is not written here, nobody may: the test compares it with the catalogs.

A tenant's roles are spelled `<tenant>.<kind>`, its database `<tenant>`; so a table reads the same for every tenant.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.contract.rights import Right

READ, WRITE = ("SELECT",), ("INSERT", "UPDATE", "DELETE")

#: What a login may be, and which roles it may act for. The migrator has nothing of the owner's until it says SET ROLE.
ATTRIBUTES: Final = {
    "owner": {"INHERIT"},
    "migrator": {"LOGIN"},
    "writer": {"INHERIT"},
    "app": {"LOGIN", "INHERIT"},
    "app_b": {"LOGIN", "INHERIT"},
}
#: The app's second login, made when credentials are first rotated, is a member of the first and has nothing of its own.
APP_LOGINS: Final = ("app", "app_b")
LOGINS: Final = ("migrator", *APP_LOGINS)

#: Tables that are not simply read by the app and written by the writer.
WRITERS_OTHER: Final[dict[str, tuple[str, ...]]] = {
    "alembic_version": (),
    "tenant_identity": (),
    "tenant_roles": (),
    "audit_heads": (),
    "audit_log": ("INSERT",),
}
#: What the app's own role may change whatever the tenant's state: books that the app keeps, none of the tenant's data.
APPS_OWN: Final[dict[str, tuple[str, ...]]] = {
    "sessions": ("INSERT", "UPDATE"),
    "sign_in_failures": ("INSERT", "DELETE"),
    "outbox": ("INSERT", "UPDATE", "DELETE"),
    "usage_counters": ("INSERT", "UPDATE"),
}
APPS_COLUMNS: Final = {
    "users": ("last_sign_in_at",),
    "api_tokens": ("last_used_at",),
    "invitations": ("token_hash", "sent_at"),
    "password_resets": ("token_hash",),
}
#: Functions that act with the owner's rights and that every login of the database may call.
DEFINERS: Final = {"current_tenant", "audit_log_chain", "refresh_statistics"}


class Tenant(NamedTuple):
    """One tenant as the table needs it. `place` is its database's name, `tables` and `sequences` what lies in it.

    `roles` are those that exist; `retired` is the kind of the app login that a rotation has closed.
    """

    place: str
    roles: dict[str, str]
    tables: frozenset[str] = frozenset()
    sequences: frozenset[str] = frozenset()
    let_in: bool = True
    migrated: bool = True
    read_only: bool = False
    suspended: bool = False
    retired: str = ""
    retained: bool = False
    exists: bool = True


def allowed(tenant: Tenant) -> set[Right]:
    """Everything that the tenant's roles may do, on the whole server."""
    found = {
        Right(tenant.roles[kind], "", "attribute", "", word) for kind in tenant.roles for word in _words(tenant, kind)
    }
    found |= _memberships(tenant)
    if not tenant.exists:
        return found
    found |= {Right(tenant.roles["owner"], "", "database", tenant.place, word) for word in OWNED_DATABASE}
    if tenant.let_in:
        found |= {
            Right(tenant.roles[kind], "", "database", tenant.place, "CONNECT")
            for kind in LOGINS
            if kind in tenant.roles
        }
        found |= may_own(tenant.roles["owner"], tenant.place)
    return found | (_inside(tenant) if tenant.migrated else set())


OWNED_DATABASE: Final = ("CONNECT", "CREATE", "TEMPORARY", "CONNECT WITH GRANT OPTION")


def _words(tenant: Tenant, kind: str) -> set[str]:
    locked_out = tenant.retained or (tenant.suspended and kind in APP_LOGINS) or kind == tenant.retired
    return ATTRIBUTES[kind] - ({"LOGIN"} if locked_out else set())


def groups(tenant: Tenant, kind: str) -> list[str]:
    """Return the roles that a role of that kind may act as."""
    app = [tenant.roles["writer"]] if not tenant.read_only else []
    known = {"migrator": [tenant.roles["owner"]], "app": app, "app_b": [tenant.roles["app"], *app]}
    return known.get(kind, [])


def _memberships(tenant: Tenant) -> set[Right]:
    return {
        Right(tenant.roles[kind], "", "role", group, how)
        for kind in tenant.roles
        for group in groups(tenant, kind)
        for how in (("MEMBER",) if kind == "migrator" else ("MEMBER", "USAGE"))
    }


def _inside(tenant: Tenant) -> set[Right]:
    def may(kind: str, sort: str, thing: str, words: tuple[str, ...]) -> set[Right]:
        return {Right(tenant.roles[kind], tenant.place, sort, f"public.{thing}", word) for word in words}

    found = may("migrator", "table", "hoa_usage", READ) | may("migrator", "definer", "usage_figures", ("EXECUTE",))
    apps = [kind for kind in APP_LOGINS if kind in tenant.roles]
    for table in tenant.tables:
        writes = WRITERS_OTHER.get(table, WRITE)
        own = READ + APPS_OWN.get(table, ())
        found |= may("writer", "table", table, writes)
        for app in apps:
            found |= may(app, "table", table, own if tenant.read_only else own + writes)
            if tenant.read_only or "UPDATE" not in writes:
                for column in APPS_COLUMNS.get(table, ()):
                    found |= may(app, "column", f"{table}.{column}", ("UPDATE",))
    for sequence in tenant.sequences:
        for app in apps:
            found |= may(app, "sequence", sequence, ("USAGE",))
    return found


def may_own(role: str, place: str) -> set[Right]:
    """What an owner may in a database whose objects belong to it."""
    return {Right(role, place, "schema", "public", "CREATE"), Right(role, place, "owner", "something", "")}


def in_the_open(public: set[Right]) -> set[Right]:
    """Return the rights of PUBLIC that nobody expects: those of the system are everywhere as in template0."""
    system = {right[2:] for right in public if right.place == "template0"}
    return {right for right in public if right[2:] not in system and not _harmless(right)}


def _harmless(right: Right) -> bool:
    """Tell whether PUBLIC means no more than the logins of one tenant: for nobody else is let into its database."""
    if right.kind == "definer":
        return right.thing.removeprefix("public.") in DEFINERS
    return right.kind in ("function", "type") or right[1:] == ("", "database", "template0", "CONNECT")
