"""The sealing keys are replaced under live tenants, by an operator that is killed in between; nobody's row is ever unreadable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready, settled
from tests.cluster.platform import MOUNTS
from tests.cluster.test_operator_deletion import REGISTRY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.platform import Platform

SECRET = MOUNTS["HOA_SEALING_KEYS_FILE"]
PACE = {"HOA_SEALING_PROPAGATION_SECONDS": "3"}


def mounted(platform: Platform) -> Path:
    return platform.folder / SECRET / "keys"


def sync(platform: Platform) -> None:
    """Do as the kubelet does: write the Secret to the operator's file."""
    mounted(platform).write_text(platform.secret(SECRET)["keys"])


def step(platform: Platform) -> str:
    said = platform.kubectl.get("secret", SECRET)["metadata"].get("annotations", {})
    return str(said.get("hoaconnect.com/sealing-step", ""))


def opened_by(platform: Platform, keys: str) -> set[bytes]:
    """Open every row's password; raises InvalidToken if one cannot be."""
    fernet = MultiFernet([Fernet(key) for key in keys.split(",")])
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        rows = connection.execute("SELECT sealed_password FROM tenants WHERE state <> 'Deleted'").fetchall()
    return {fernet.decrypt(bytes(token)) for (token,) in rows}


def test_a_rotation_on_request_survives_kills_and_covers_a_paused_tenant(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    operator = platform.operator(**PACE).start()
    for name in ("seabreeze", "pinnacle"):
        bring_up(platform, name)
    platform.kubectl.patch("hoatenant", "pinnacle", {"spec": {"managementPolicy": "Paused"}})
    old = platform.secret(SECRET)["keys"]
    passwords = opened_by(platform, old)
    asked = f"hoaconnect.com/rotate-requested-at={datetime.now(UTC).isoformat()}"
    platform.kubectl("annotate", "secret", SECRET, asked)
    eventually(lambda: step(platform) == "Staged")
    operator.kill()
    staged = platform.secret(SECRET)["keys"]
    assert staged.startswith(f"{old},")
    assert opened_by(platform, old) == passwords, "the staged key seals nothing"
    sync(platform)
    operator.start()
    eventually(lambda: step(platform) == "Promoted")
    operator.kill()
    new = staged.partition(",")[2]
    assert platform.secret(SECRET)["keys"] == f"{new},{old}"
    operator.start()
    settled(platform)
    assert step(platform) == "Promoted", "the operator's own file is behind, so nothing is sealed anew"
    assert opened_by(platform, old) == passwords
    sync(platform)
    eventually(lambda: platform.secret(SECRET)["keys"] == new)
    assert step(platform) == ""
    assert opened_by(platform, new) == passwords
    sync(platform)
    settled(platform)
    assert platform.secret(SECRET)["keys"] == new, "one request, one rotation"
    assert is_ready(platform.kubectl.get("hoatenant", "seabreeze"))
    events = platform.kubectl.list("event", "--field-selector", f"involvedObject.name={SECRET}")
    reasons = [event["reason"] for event in events]
    assert sorted(set(reasons)) == sorted(reasons), "each is told once"
    # A kill right after a step may swallow its word.
    assert {"SealingKeysRotated"} <= set(reasons) <= {"SealingKeyPromoted", "SealingKeyStaged", "SealingKeysRotated"}


def test_a_lost_sealing_key_is_made_good_from_the_credentials_secrets(own_platform: Platform) -> None:
    platform = own_platform
    app_available(platform.kubectl)
    operator = platform.operator(**PACE).start()
    bring_up(platform)
    passwords = opened_by(platform, platform.secret(SECRET)["keys"])
    operator.stop()
    fresh = Fernet.generate_key().decode()
    platform.kubectl.patch("secret", SECRET, {"stringData": {"keys": fresh}})
    sync(platform)
    operator.start()

    def sealed_anew() -> bool:
        try:
            return opened_by(platform, fresh) == passwords
        except InvalidToken:
            return False

    eventually(sealed_anew)
    body = platform.kubectl.get("hoatenant", "seabreeze")
    assert condition(body, "CredentialsReady")["reason"] == "InForce"
    assert is_ready(body)
