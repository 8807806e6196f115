"""Clears a tenant away without the operator's help, so that the next run finds an empty installation."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from tests.cluster.api import ApiError
from tests.faults.pgworld import REGISTRY, query

if TYPE_CHECKING:
    from tests.faults.installation import Installation


def purge(installation: Installation, tenant: str, tenant_id: str) -> None:
    """Remove the HOATenant past its finalizer, its registry row, its databases and roles; its children go with it."""
    installation.objects.delete("HOATenant", tenant)  # first, or the operator adds its finalizer again
    with contextlib.suppress(ApiError):
        installation.objects.patch("HOATenant", tenant, {"metadata": {"finalizers": None}})
    dsn = installation.platform.postgres.dsn
    # The database before the row: a look that is still at work puts on record again whose database it finds without one.
    for _ in range(2):
        if tenant_id:
            _drop(dsn(), tenant_id.replace("-", ""))
        if query(dsn(), "SELECT 1 FROM pg_database WHERE datname = %s", [REGISTRY]):
            with psycopg.connect(dsn(REGISTRY), autocommit=True) as connection:
                connection.execute("DELETE FROM tenants WHERE name = %s OR tenant_id::text = %s", [tenant, tenant_id])


def _drop(dsn: str, identity: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name in (f"hoa_connect_tenant_{identity}", f"hoa_connect_deleted_{identity}"):
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        pattern = f"hoa_connect_tenant_{identity}_"
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", [pattern]).fetchall()
        for (role,) in roles:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
