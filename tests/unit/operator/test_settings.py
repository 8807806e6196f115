"""Settings: every mistake is named, all at once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hoa_operator.keyring import Pace
from hoa_operator.settings import Settings, SettingsError
from tests.unit.operator.samples import ENVIRON, settings


def test_defaults() -> None:
    read = settings()
    assert (read.release, read.lease_name) == ("hoa-connect", "hoa-connect-operator")
    assert (read.app.deployment, read.app.service) == ("hoa-connect-app", "hoa-connect-app")
    assert (read.capacity.minimum, read.capacity.maximum) == (2, 20)
    assert (read.timing.provisioning_deadline, read.timing.resync, read.timing.concurrency) == (600.0, 300.0, 16)
    assert read.timing.credentials_overlap == 120
    assert (read.sealing.secret, read.sealing.pace) == ("", Pace(None, timedelta(seconds=180)))
    assert (read.metrics_port, read.probe_port) == (9090, 8080)
    assert read.installation == "hoa-connect/hoa-connect"


@pytest.mark.parametrize("name", [name for name in ENVIRON if name not in ("HOA_INGRESS_CLASS", "HOA_URL_SCHEME")])
def test_what_is_required_is_named(name: str) -> None:
    without = {key: value for key, value in ENVIRON.items() if key != name}
    with pytest.raises(SettingsError, match=f"{name}: required, but not set"):
        Settings.from_env(without)


@pytest.mark.parametrize("interval", ["0h", "90d", "often"])
def test_an_interval_of_sealing_keys_is_a_time(interval: str) -> None:
    assert settings(HOA_SEALING_ROTATION_INTERVAL="2160h").sealing.pace.interval == timedelta(days=90)
    with pytest.raises(SettingsError, match="HOA_SEALING_ROTATION_INTERVAL"):
        settings(HOA_SEALING_ROTATION_INTERVAL=interval)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        settings(HOA_URL_SCHEME="ftp", HOA_HPA_MIN="0", HOA_PROBE_PORT="70000", HOA_RESYNC_SECONDS="nan")
    for name in ("HOA_URL_SCHEME", "HOA_HPA_MIN", "HOA_PROBE_PORT", "HOA_RESYNC_SECONDS"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"HOA_JOB_DEADLINE_SECONDS": "601"},
            "HOA_JOB_DEADLINE_SECONDS: 601 is above HOA_PROVISIONING_DEADLINE_SECONDS, 600",
        ),
        ({"HOA_HPA_MIN": "9", "HOA_HPA_MAX": "3"}, "HOA_HPA_MIN: 9 is above HOA_HPA_MAX, 3"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        settings(**changes)


def test_equal_bounds_are_no_contradiction() -> None:
    read = settings(HOA_JOB_DEADLINE_SECONDS="600", HOA_HPA_MIN="4", HOA_HPA_MAX="4")
    assert (read.timing.job_deadline, read.capacity.minimum) == (600, 4)


@pytest.mark.parametrize("written", ["debug", "DEBUG"])
def test_a_log_level_may_be_written_either_way(written: str) -> None:
    assert settings(HOA_LOG_LEVEL=written).log_level == "debug"


@pytest.mark.parametrize(
    ("scheme", "port", "url"),
    [
        ("http", "", "http://sea.test"),
        ("http", "80", "http://sea.test"),
        ("http", "8080", "http://sea.test:8080"),
        ("https", "443", "https://sea.test"),
        ("https", "8443", "https://sea.test:8443"),
    ],
)
def test_urls(scheme: str, port: str, url: str) -> None:
    assert settings(HOA_URL_SCHEME=scheme, HOA_URL_PORT=port).route.url("sea.test") == url
