"""The installation that operator tests stand on: what the chart renders is accepted, and its Secrets are made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.platform import Platform


def test_an_installation_has_the_four_tiers_and_a_server(platform: Platform) -> None:
    tiers = platform.kubectl("get", "hoatiers", "--no-headers").splitlines()
    assert [line.split()[:5] for line in tiers] == [
        ["enterprise", "2000", "2", "4Gi", "500Gi"],
        ["large", "500", "1999", "1", "2Gi"],
        ["medium", "100", "499", "500m", "1Gi"],
        ["small", "0", "99", "250m", "512Mi"],
    ]
    server = platform.kubectl.get("hoads", "default")["spec"]
    assert server["endpoint"] == {
        "host": platform.postgres.host,
        "port": platform.postgres.port,
        "sslMode": "disable",
    }


def test_the_registry_secrets_say_where_and_who(platform: Platform) -> None:
    registry = platform.secret("hoa-connect-registry")
    assert registry == {
        "host": platform.postgres.host,
        "port": str(platform.postgres.port),
        "dbname": "hoa_connect_registry",
        "username": platform.postgres.username,
        "password": platform.postgres.password,
        "sslmode": "disable",
    }
    reader = platform.secret("hoa-connect-registry-reader")
    assert reader["username"] == "hoa_connect_registry_reader"
    assert len(reader["password"]) >= 32
    assert {key: reader[key] for key in ("host", "port", "dbname")} == {
        key: registry[key] for key in ("host", "port", "dbname")
    }
