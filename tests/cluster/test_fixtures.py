"""The fixtures themselves: a real API server and a real Postgres answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from tests.cluster.controlplane import ControlPlane
    from tests.cluster.kubectl import Kubectl
    from tests.fix_postgres import PostgresAccess


def test_the_api_server_serves_our_kinds(kubectl: Kubectl) -> None:
    served = kubectl("api-resources", "--api-group=hoaconnect.com", "--no-headers", "-o", "wide")
    assert [line.split()[0] for line in served.splitlines()] == ["hoadatabaseservers", "hoatenants", "hoatiers"]


def test_the_audit_log_counts_writes(kubectl: Kubectl, control_plane: ControlPlane) -> None:
    kubectl("create", "configmap", "counted")
    seen = [write for write in control_plane.writes("admin") if write["namespace"] == kubectl.namespace]
    assert [(write["verb"], write["resource"], write["name"]) for write in seen] == [
        ("create", "configmaps", "counted")
    ]


def test_postgres_is_private_to_the_run(postgres: PostgresAccess) -> None:
    with psycopg.connect(postgres.dsn()) as connection:
        row = connection.execute("SELECT current_user, current_setting('server_version_num')::int").fetchone()
    assert row is not None
    assert row[0] == postgres.username
    assert row[1] >= 150000
