"""How sealing keys are rotated: whatever moment a kill or a slow pod chooses, everything sealed can be opened by everyone."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator import keyring, names, sealingkeys
from hoa_operator.keyring import PROMOTED, STAGED, Keys, Pace, corrected, decide, is_due, read, stage
from hoa_operator.reconcile import Outcome
from hoa_operator.sealingkeys import SealingKeysReconciler
from hoa_operator.tenant import format_time

if TYPE_CHECKING:
    from hoa_operator.apply import Doors

NOW = datetime(2026, 11, 27, 1, 0, 0, 595_102, tzinfo=UTC)
SPREAD = timedelta(seconds=180)
PACE = Pace(None, SPREAD)
BORN = NOW.replace(microsecond=0) - timedelta(days=30)
IDLE = Keys(("old",), "", BORN, BORN)


def secret(**annotations: str) -> dict[str, Any]:
    return {"creationTimestamp": format_time(BORN), "annotations": annotations}


def test_without_interval_and_request_nothing_is_due() -> None:
    assert not is_due(IDLE, PACE, NOW)
    assert decide(IDLE, PACE, NOW, sealed_anew=False) == keyring.Decision()


def test_an_interval_counts_from_the_last_rotation() -> None:
    month = Pace(timedelta(days=31), SPREAD)
    assert not is_due(IDLE, month, NOW)
    wait = decide(IDLE, month, NOW, sealed_anew=False).wait
    assert wait == pytest.approx(86_400, abs=1)
    assert is_due(IDLE, month, NOW + timedelta(days=1))
    assert not is_due(stage(IDLE, "new", NOW), month, NOW + timedelta(days=40)), "one at a time"


def test_a_request_is_met_once() -> None:
    request = {names.ANNOTATION_ROTATE_REQUESTED: (NOW - timedelta(microseconds=1)).isoformat()}
    asked = read(secret(**request), "old")
    assert is_due(asked, PACE, NOW)
    said = {key: value for key, value in stage(asked, "new", NOW).annotations().items() if value is not None}
    done = read(secret(**request, **{**said, names.ANNOTATION_SEALING_STEP: ""}), "new")
    assert not is_due(done, PACE, NOW + timedelta(days=1))


def test_the_way_of_a_key() -> None:
    staged = stage(IDLE, "new", NOW)
    assert (staged.keys, staged.step) == (("old", "new"), STAGED)
    assert decide(staged, PACE, NOW + SPREAD / 2, sealed_anew=False).become is None
    promoted = decide(staged, PACE, NOW + SPREAD, sealed_anew=False).become
    assert promoted is not None
    assert (promoted.keys, promoted.step) == (("new", "old"), PROMOTED)
    later = NOW + SPREAD * 3
    assert decide(promoted, PACE, later, sealed_anew=False) == keyring.Decision(wait=keyring.SOON)
    assert decide(promoted, PACE, NOW + SPREAD * 1.5, sealed_anew=True).become is None, "not every pod knows yet"
    done = decide(promoted, PACE, later, sealed_anew=True).become
    assert done is not None
    assert (done.keys, done.step) == (("new",), "")
    assert done.annotations() == {
        names.ANNOTATION_SEALING_STEP: None,
        names.ANNOTATION_SEALING_SINCE: None,
        names.ANNOTATION_SEALING_KEY: None,
        names.ANNOTATION_ROTATED_AT: NOW.isoformat(),
    }


@pytest.mark.parametrize("step", [STAGED, PROMOTED, ""])
def test_what_is_written_reads_back(step: Any) -> None:
    keys = Keys(("a", "b"), step, NOW if step else BORN, NOW)
    said = {key: value for key, value in keys.annotations().items() if value is not None}
    assert read(secret(**said), "a, b\n") == keys


def put(held: Keys, *keys: str) -> Keys:
    """What the operator reads after a person wrote these keys into the Secret, and left its annotations."""
    said = {key: value for key, value in held.annotations().items() if value is not None}
    return read(secret(**said), ",".join(keys))


@pytest.mark.parametrize("keys", [("old", "new", "copy"), ("copy", "old", "new"), ("new", "copy", "old")])
def test_a_key_that_a_person_puts_back_meanwhile_is_not_taken_for_the_new_one(keys: tuple[str, ...]) -> None:
    staged = put(stage(IDLE, "new", NOW), *keys)
    promoted = decide(staged, PACE, NOW + SPREAD, sealed_anew=False).become
    assert promoted is not None
    assert promoted.keys[0] == "new"
    assert sorted(promoted.keys) == sorted(keys), "rows may be sealed with any of them"
    again = decide(put(promoted, *keys), PACE, NOW + SPREAD * 3, sealed_anew=True).become
    if keys[0] != "new":
        assert again is not None
        assert (again.keys[0], again.step, again.since) == ("new", PROMOTED, NOW + SPREAD * 3), (
            "no other one stays first"
        )
        again = decide(again, PACE, NOW + SPREAD * 5, sealed_anew=True).become
    assert again is not None
    assert again.keys == ("new",)


@pytest.mark.parametrize("step", [STAGED, PROMOTED])
@pytest.mark.parametrize("keys", [("old",), ("old", "copy")])
def test_a_new_key_that_a_person_took_out_is_made_anew(step: Any, keys: tuple[str, ...]) -> None:
    left = put(replace(stage(IDLE, "new", NOW), step=step), *keys)
    assert is_due(left, PACE, NOW + timedelta(seconds=1))
    anew = stage(left, "newer", NOW)
    assert (anew.keys, anew.step, anew.new) == ((*keys, "newer"), STAGED, "newer")


def test_what_tells_the_new_key_does_not_tell_what_it_is() -> None:
    assert "new" not in str(stage(IDLE, "new-and-secret", NOW).annotations())


def test_a_rotation_that_an_older_version_began_goes_by_the_place() -> None:
    said = {names.ANNOTATION_SEALING_STEP: STAGED, names.ANNOTATION_SEALING_SINCE: format_time(NOW)}
    promoted = decide(read(secret(**said), "old,new"), PACE, NOW + SPREAD, sealed_anew=False).become
    assert promoted is not None
    assert promoted.keys == ("new", "old")


def test_a_secret_that_somebody_put_back_is_at_rest() -> None:
    said = {names.ANNOTATION_SEALING_STEP: STAGED, names.ANNOTATION_SEALING_SINCE: format_time(NOW)}
    assert read(secret(**said), "old").step == ""
    assert read(secret(**{names.ANNOTATION_SEALING_STEP: "Nonsense"}), "a,b").step == ""
    assert read(secret(), "a,b") == Keys(("a", "b"), "", BORN, BORN)


@pytest.mark.parametrize("step", [STAGED, PROMOTED, ""])
def test_times_to_come_are_put_to_now_once(step: Any) -> None:
    ahead = NOW + timedelta(days=30_000)
    right = corrected(Keys(("a", "b"), step, ahead, ahead, ahead), NOW)
    assert right == Keys(("a", "b"), step, NOW, NOW, ahead), "a request for later stays one"
    assert corrected(right, NOW) is None
    assert corrected(replace(right, rotated_at=NOW + timedelta(minutes=1)), NOW) is None, "clocks differ by a little"
    day = Pace(timedelta(days=1), SPREAD)
    assert is_due(replace(right, step=""), day, NOW + timedelta(days=1))
    assert not is_due(replace(right, step=""), day, NOW), "it is no reason to rotate"


class Secrets:
    """The Secret of the sealing keys, and what was told."""

    def __init__(self, **annotations: str) -> None:
        self.annotations: dict[str, Any] = annotations
        self.told: list[tuple[str, str]] = []

    async def get(self, *_: object) -> dict[str, Any]:
        metadata = {
            "name": "keys",
            "namespace": "hoa",
            "uid": "u",
            "resourceVersion": "1",
            **secret(**self.annotations),
        }
        return {"metadata": metadata, "data": {"keys": base64.b64encode(b"old").decode()}}

    async def patch(self, _kind: object, _name: str, patch: dict[str, Any]) -> None:
        assert "data" not in patch, "the keys stay"
        self.annotations |= patch["metadata"]["annotations"]


async def test_a_request_that_a_wrong_clock_hid_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = format_time(NOW - timedelta(days=1))
    secrets = Secrets(
        **{names.ANNOTATION_ROTATED_AT: "2099-01-01T00:00:00+00:00", names.ANNOTATION_ROTATE_REQUESTED: asked}
    )

    async def tell(_doors: object, manifest: dict[str, Any]) -> None:
        secrets.told.append((manifest["reason"], manifest.get("note") or manifest["message"]))

    monkeypatch.setattr(sealingkeys, "tell", tell)
    sealing = SimpleNamespace(secret="keys", pace=PACE)
    doors = SimpleNamespace(kube=secrets, sources=SimpleNamespace(settings=SimpleNamespace(sealing=sealing)))
    look = SealingKeysReconciler(cast("Doors", doors), "operator-1", lambda _: None, lambda: NOW)
    assert (await look("")).wait == keyring.SOON
    assert (await look("")) == Outcome()
    assert secrets.annotations[names.ANNOTATION_ROTATED_AT] == NOW.isoformat()
    ((reason, message),) = secrets.told
    assert reason == "SealingTimesCorrected"
    assert "counts as met: for another, ask again with a later time" in message


@pytest.mark.parametrize("text", ["soon", "2026-11-27T01:00:00"])
def test_a_time_that_is_none_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read(secret(**{names.ANNOTATION_ROTATE_REQUESTED: text}), "old")


@given(
    looks=st.lists(st.tuples(st.floats(0.1, 400), st.booleans()), min_size=1, max_size=40),
    lags=st.lists(st.floats(0, 179), min_size=40, max_size=40),
)
def test_every_pod_opens_what_is_sealed_at_any_time(looks: list[tuple[float, bool]], lags: list[float]) -> None:
    """Looks come at any pace; what a pod has mounted is up to 179 s old; the first key a writer has mounted seals."""
    now, held = NOW, stage(IDLE, "new", NOW)
    written: list[tuple[datetime, tuple[str, ...]]] = [(BORN, IDLE.keys), (NOW, held.keys)]
    sealed = "old"
    for (pause, reseals), lag in zip(looks, lags, strict=False):
        now += timedelta(seconds=pause)
        writer = [keys for since, keys in written if since <= now - timedelta(seconds=lag)][-1]
        # While the writer's own file is behind it counts as not sealed; so says `sealingkeys`.
        if reseals or writer[0] != held.keys[0]:
            sealed = writer[0]
        anew = sealed == held.keys[0] == writer[0]
        decision = decide(held, PACE, now, sealed_anew=anew)
        if decision.become is not None:
            held = decision.become
            written.append((now, held.keys))
        for age in (0, 90, 179):
            mounted = [keys for since, keys in written if since <= now - timedelta(seconds=age)][-1]
            assert sealed in mounted, (age, written)
