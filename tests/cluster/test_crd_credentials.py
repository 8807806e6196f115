"""The rules of `spec.credentials` against the real API server, with the words a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.platform import tenant
from tests.cluster.refusals import accepted, refused

if TYPE_CHECKING:
    from tests.cluster.kubectl import Kubectl

INTERVAL = (
    'spec.credentials.rotationInterval: Invalid value: "string": must be a whole number of hours between 24h and '
    "87600h, for example 2160h for 90 days"
)


@pytest.mark.parametrize("interval", ["23h", "90d", "1h30m", "87601h", "024h", "often"])
def test_an_interval_that_makes_no_sense_is_refused_in_words(kubectl: Kubectl, interval: str) -> None:
    assert refused(kubectl, tenant("acme", credentials={"rotationInterval": interval})) == [INTERVAL]


def test_a_time_that_is_none_is_refused_in_words(kubectl: Kubectl) -> None:
    (reason,) = refused(kubectl, tenant("acme", credentials={"rotateRequestedAt": "tomorrow"}))
    assert reason.startswith('spec.credentials.rotateRequestedAt: Invalid value: "tomorrow"')
    assert "date-time" in reason


@pytest.mark.parametrize(
    "wish",
    [
        {"rotationInterval": "24h"},
        {"rotationInterval": "2160h", "rotateRequestedAt": "2026-11-27T01:00:00Z"},
        {"rotateRequestedAt": "2026-11-27T01:00:00.5+02:00"},
    ],
)
def test_what_is_right_is_kept_as_written(kubectl: Kubectl, wish: dict[str, Any]) -> None:
    assert accepted(kubectl, tenant("acme", credentials=wish))["spec"]["credentials"] == wish


def test_the_status_fits(kubectl: Kubectl) -> None:
    kubectl.apply(tenant("acme"))
    said = {
        "login": "hoa_connect_tenant_0b8a7f0e9d6f4e3b9d520d4f2f0e6c11_app_b",
        "rotatedAt": "2026-11-27T01:00:00Z",
        "nextRotation": "2027-02-25T01:00:00Z",
    }
    kubectl.patch_status("hoatenant", "acme", {"credentials": said})
    assert kubectl.get("hoatenant", "acme")["status"]["credentials"] == said
