"""A tenant's storage near its limit, over it and under it again: measured in a real database, told once, never in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.operating import app_available, bring_up, condition, is_ready, settled
from tests.cluster.platform import tenant
from tests.waiting import until

if TYPE_CHECKING:
    from tests.cluster.platform import Platform

Json = dict[str, Any]
GIB = 2**30
_KEEP = """
WITH u AS (INSERT INTO users (tenant_id, email, name, role) VALUES (%(tenant)s, 'p@x.example', 'P', 'owner')
     ON CONFLICT (tenant_id, lower(email)) DO UPDATE SET name = 'P' RETURNING id),
   r AS (INSERT INTO requests (tenant_id, created_by, changed_by, category, title, description)
     SELECT %(tenant)s, id, id, 'Question', 't', 'd' FROM u RETURNING id, created_by)
INSERT INTO request_photos (tenant_id, request_id, storage_key, filename, media_type, bytes, created_by)
SELECT %(tenant)s, id, 'requests/x.png', 'x.png', 'image/png', %(size)s, created_by FROM r
"""


@pytest.fixture
def live(own_platform: Platform) -> Platform:
    """An installation that measures every few seconds, with the tenant seabreeze Ready and a limit of 1Gi."""
    app_available(own_platform.kubectl)
    own_platform.operator(HOA_RESYNC_SECONDS="4").start()
    bring_up(own_platform, limits={"storage": "1Gi"})
    return own_platform


def keep_photos(platform: Platform, size: int) -> None:
    """Have the tenant's files take so many bytes, as the app's own records say."""
    tenant_id = platform.kubectl.get("hoatenant", "seabreeze")["status"]["tenantID"]
    with psycopg.connect(platform.postgres.dsn(f"hoa_connect_tenant_{tenant_id.replace('-', '')}")) as connection:
        connection.execute("DELETE FROM requests")
        if size:
            connection.execute(_KEEP, {"tenant": tenant_id, "size": size})


def told(platform: Platform) -> list[tuple[str, str]]:
    """Return the Events on storage, oldest first."""
    items = platform.kubectl.list("events", "--field-selector", "involvedObject.name=seabreeze")
    items.sort(key=lambda item: int(item["metadata"]["resourceVersion"]))
    return [(item["type"], item["reason"]) for item in items if item["reason"].startswith("Storage")]


def becomes(platform: Platform, reason: str) -> Json:
    """Wait until storage is said to be so."""
    return platform.kubectl.wait_for(
        "hoatenant", "seabreeze", lambda body: condition(body, "StorageWithinLimit")["reason"] == reason, 90
    )


def test_a_storage_fills_up_and_is_relieved(live: Platform) -> None:
    body = becomes(live, "WithinLimit")
    assert body["status"]["storage"]["limit"] == "1Gi"
    assert body["status"]["storage"]["percent"] < 10
    assert told(live) == []
    keep_photos(live, 900 * 2**20)
    body = becomes(live, "NearLimit")
    assert body["status"]["storage"]["files"] == "900Mi"
    assert condition(body, "StorageWithinLimit")["status"] == "True"
    writes = settled(live, quiet=6.0)
    keep_photos(live, 901 * 2**20)
    assert settled(live, quiet=6.0) == writes, "a figure that moved a little is not worth a write"
    keep_photos(live, GIB)
    body = becomes(live, "Full")
    assert condition(body, "StorageWithinLimit")["status"] == "False"
    assert is_ready(body), "a full storage keeps nobody from reading"
    live.kubectl.apply(tenant("seabreeze", limits={"storage": "2Gi"}))
    body = becomes(live, "WithinLimit")
    assert body["status"]["storage"]["limit"] == "2Gi"
    live.kubectl.apply(tenant("seabreeze", limits={"storage": "1Gi"}))
    becomes(live, "Full")
    keep_photos(live, 0)
    becomes(live, "WithinLimit")
    news = [
        ("Warning", "StorageNearLimit"),
        ("Warning", "StorageFull"),
        ("Normal", "StorageRelieved"),
        ("Warning", "StorageFull"),
        ("Normal", "StorageRelieved"),
    ]
    until(lambda: told(live) == news, lambda: f"{news}: {told(live)}", 20)  # Events follow the status
