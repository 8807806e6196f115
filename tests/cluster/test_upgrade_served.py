"""Somebody reads all the time while the operator goes from the previous build to this one, back and up again, and while the
tenant that the previous build made changes: no request fails, but those that are under way when it becomes read-only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.operating import app_available, bring_up, condition, is_ready
from tests.cluster.platform import tenant
from tests.cluster.serving import Reader, serving, signed_in
from tests.cluster.test_operator_changes import registered
from tests.cluster.test_operator_lead import leads
from tests.cluster.test_upgrade_operator import IMAGE, gave_up, is_current, reconciles, take_over
from tests.figures import record
from tests.programs import REPOSITORY
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.fix_earlier import Site
    from tests.cluster.platform import Platform
    from tests.fix_postgres import PostgresServer

Json = dict[str, Any]
OVERLAP = {"HOA_CREDENTIALS_OVERLAP_SECONDS": "3", "HOA_RESYNC_SECONDS": "3"}


def rotate(platform: Platform) -> None:
    """Ask for a rotation, and wait until the new login is in force and the one before closed."""
    before = login(platform.kubectl.get("hoatenant", "seabreeze"))
    platform.kubectl.apply(tenant("seabreeze", credentials={"rotateRequestedAt": datetime.now(UTC).isoformat()}))

    def rotated(body: Json) -> bool:
        in_force = condition(body, "CredentialsReady")["reason"] == "InForce"
        return is_ready(body) and in_force and login(body) not in ("", before)

    platform.kubectl.wait_for("hoatenant", "seabreeze", rotated, 60)


def login(body: Json) -> str:
    """Return the login that a tenant says is in force; an earlier build says none."""
    return str(body["status"].get("credentials", {}).get("login", ""))


def put(platform: Platform, state: str) -> None:
    """Bring the tenant to a state, and wait until it is registered in it."""
    platform.kubectl.patch("hoatenant", "seabreeze", {"spec": {"state": state}})
    until(lambda: registered(platform, "state") == state, f"the tenant to be {state}", 60)


def live_on(platform: Platform, reader: Reader) -> None:
    """Change the tenant in every way that touches who may read it, with somebody reading at each step."""
    reader.more()
    rotate(platform)
    reader.more()
    assert reader.failures == []
    put(platform, "ReadOnly")  # which ends sessions, so that it holds at once; this build's app asks once more
    reader.more(2)
    assert all(failure.startswith("app-before: 503 ") for failure in reader.failures), reader.failures
    assert len(reader.failures) <= 1, reader.failures
    reader.excuse()
    reader.more()
    put(platform, "Active")
    reader.more()


@pytest.mark.figures
def test_no_read_fails_while_the_operator_goes_up_back_and_up_and_the_tenant_changes(
    site: Site, own_postgres: PostgresServer, previous_build: Path
) -> None:
    site.jobs.images[IMAGE] = previous_build / "app"
    platform = site.install("served", own_postgres.access, previous_build)
    app_available(platform.kubectl)
    old = platform.operator("operator-0", HOA_APP_IMAGE=IMAGE).start()
    body = bring_up(platform)
    with (
        serving(platform, previous_build, "app-before") as before,
        serving(platform, REPOSITORY, "app-now") as now,
        Reader([before, now], signed_in(platform, before, body)) as reader,
    ):
        reader.more()
        platform.bring_to(REPOSITORY, site.helm)
        new = take_over(platform, old, "operator-1", **OVERLAP)
        platform.kubectl.wait_for("hoatenant", "seabreeze", is_current, 120)
        live_on(platform, reader)

        platform.bring_to(previous_build, site.helm, crds=False)
        back = platform.operator("operator-2", HOA_APP_IMAGE=IMAGE).start()
        new.stop()
        until(lambda: gave_up(back) or reconciles(back) >= 1, "the way back", 60)
        reader.more()

        back.kill()
        platform.bring_to(REPOSITORY, site.helm)
        again = platform.operator("operator-3", **OVERLAP).start()
        until(lambda: leads(again), "this build's operator to lead again", 60)
        live_on(platform, reader)
    cut_off = f"{len(reader.cut_off)} more by the previous build's app when the tenant became read-only"
    note = f"of {sum(reader.answered.values())}, by the app of both builds; {cut_off}"
    record("failed requests during operator upgrade from the previous build", len(reader.failures), 0, note=note)
    assert reader.failures == []
