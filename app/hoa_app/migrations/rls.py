"""What every tenant table needs, written once: the tenant's column, forced row-level security, and the usage figures."""

from __future__ import annotations

import re
from typing import Protocol

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
USAGE_FIGURES = ("homeowners", "storage_bytes", "emails_sent", "sms_sent", "active_users")


class Executes(Protocol):
    """The part of alembic's `op` used here."""

    def execute(self, sqltext: str) -> object:
        """Run one statement."""
        ...


def tenant_table(op: Executes, name: str) -> None:
    """Make the table `name`, just created, a tenant's table.

    Adds `tenant_id uuid NOT NULL DEFAULT current_tenant()` and a policy that shows and takes rows of the current tenant
    only, the table's owner included. Call it right after CREATE TABLE, then add unique indexes that begin with tenant_id.
    """
    _check(name)
    # In two steps: with the default at once, Postgres would evaluate it now, when no tenant is set.
    op.execute(f"ALTER TABLE {name} ADD COLUMN tenant_id uuid NOT NULL")
    op.execute(f"ALTER TABLE {name} ALTER COLUMN tenant_id SET DEFAULT current_tenant()")
    op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant_isolation ON {name}"
        " USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()))"
    )


def usage_figure(op: Executes, name: str, query: str) -> None:
    """Define (or in a later migration redefine) one figure of the view hoa_usage by a query that returns one bigint.

    For example `usage_figure(op, "homeowners", "SELECT count(DISTINCT person_id) FROM ownerships WHERE ...")`. The view
    itself never changes: it runs the query as the tables' owner, for this database's tenant.
    """
    if name not in USAGE_FIGURES:
        raise ValueError(f"{name} is not a figure of hoa_usage; those are {', '.join(USAGE_FIGURES)}")
    op.execute(
        f"CREATE OR REPLACE FUNCTION usage_{name}() RETURNS bigint LANGUAGE sql STABLE"
        f" SET search_path = public, pg_temp AS $figure$ {query} $figure$"
    )
    op.execute(f"REVOKE EXECUTE ON FUNCTION usage_{name}() FROM PUBLIC")


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a plain table name")
