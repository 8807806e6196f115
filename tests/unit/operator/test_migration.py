"""What Jobs and their pods tell."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator import desire
from hoa_operator.migration import JobState, Result, parse_result, read_jobs
from tests.unit.operator.samples import live, provisioned

Json = dict[str, Any]
FAILED = {"type": "Failed", "status": "True", "lastTransitionTime": "2026-11-23T12:00:00Z"}
SAID = '{"result": "error", "reason": "LockTimeout", "message": "somebody holds the lock", "revision": null}'


def job(*conditions: Json, attempt: int = 1) -> Json:
    return live(desire.migration_job(provisioned(), attempt), conditions=list(conditions))


def pod(**status: Any) -> Json:
    owner = {"kind": "Job", "uid": "uid-tenant-seabreeze-migrate-0002"}
    return {"kind": "Pod", "metadata": {"name": "p", "uid": "p", "ownerReferences": [owner]}, "status": status}


def container(**state: Any) -> Json:
    return {"containerStatuses": [{"name": "migrate", "image": "app:1", "state": state}]}


def read(*pods: Json, condition: Json | None = None) -> JobState:
    return read_jobs([job(*([condition] if condition else []))], pods)[0]


def test_jobs_come_by_attempt() -> None:
    assert [state.attempt for state in read_jobs([job(attempt=10), job(attempt=2)], [])] == [2, 10]


def test_one_that_runs_well_tells_nothing() -> None:
    state = read(pod(phase="Running", **container(running={})))
    assert (state.phase, state.trouble, state.final) == ("Running", None, False)


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"])
def test_an_image_that_cannot_be_pulled(reason: str) -> None:
    state = read(pod(**container(waiting={"reason": reason, "message": "no such image"})))
    assert state.trouble == (
        "ImagePullFailed",
        "image app:1 cannot be pulled: no such image; correct the image or its pull secret",
    )


def test_a_secret_that_is_missing() -> None:
    state = read(pod(**container(waiting={"reason": "CreateContainerConfigError", "message": "secret not found"})))
    words = "the Job's pod cannot start: secret not found; see kubectl describe of the Job's pods"
    assert state.trouble == ("PodCannotStart", words)


def test_starting_is_no_trouble() -> None:
    assert read(pod(**container(waiting={"reason": "ContainerCreating"}))).trouble is None


def test_no_room_for_the_pod() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    state = read(pod(phase="Pending", conditions=[scheduled]))
    assert state.trouble is not None
    assert state.trouble[0] == "PodUnschedulable"
    assert state.trouble[1].startswith("no node takes the Job's pod: 0/1 nodes are available; make room")


def test_a_passing_failure_is_told_while_the_job_tries_again() -> None:
    state = read(pod(**container(terminated={"exitCode": 3, "message": SAID})))
    again = "it runs again; should it last, see kubectl logs of the Job's pods"
    assert state.trouble == ("MigrationRetrying", f"LockTimeout: somebody holds the lock; {again}")
    assert not state.final


def test_a_failure_says_what_the_migration_said() -> None:
    state = read(pod(**container(terminated={"exitCode": 1, "message": SAID})), condition=FAILED)
    assert state.phase == "Failed"
    assert state.trouble is not None
    assert state.trouble[0] == "MigrationFailed"
    assert "LockTimeout: somebody holds the lock" in state.trouble[1]


def test_exit_code_2_is_final() -> None:
    assert read(pod(**container(terminated={"exitCode": 2, "message": SAID})), condition=FAILED).final


TIMED_OUT = (
    "the Job ran out of time (it was still running); it runs again; should it last, see kubectl logs of the Job's pods, and give "
    "it longer by operator.jobDeadlineSeconds"
)


def test_running_out_of_time_names_what_it_hung_on() -> None:
    late = {**FAILED, "reason": "DeadlineExceeded"}
    stuck = pod(**container(waiting={"reason": "ErrImagePull", "message": "no such image"}))
    assert read(condition=late).trouble == ("MigrationTimedOut", TIMED_OUT)
    timed_out = read(stuck, condition=late).trouble
    assert timed_out is not None
    assert "no such image" in timed_out[1]


def test_a_job_whose_pods_are_being_ended_says_why_already() -> None:
    target = {**FAILED, "type": "FailureTarget", "reason": "DeadlineExceeded"}
    state = read(condition=target)
    assert (state.phase, state.finished_at) == ("Running", None)
    assert state.trouble == ("MigrationTimedOut", TIMED_OUT)


def test_too_much_memory() -> None:
    state = read(pod(**container(terminated={"exitCode": 137, "reason": "OOMKilled"})))
    assert state.trouble == (
        "OutOfMemory",
        "the Job's pod was killed for using too much memory; it runs again; should it last, see docs/operations/"
        "HOAMigrationFailed.md",
    )


def test_success_reads_the_result_of_the_pod_that_succeeded() -> None:
    good = '{"result": "ok", "reason": "Migrated", "message": "", "revision": "0002"}'
    done = {**FAILED, "type": "Complete"}
    pods = [
        pod(**container(terminated={"exitCode": 3, "message": SAID})),
        pod(**container(terminated={"exitCode": 0, "message": good})),
    ]
    state = read(*pods, condition=done)
    assert (state.phase, state.trouble, state.result) == ("Complete", None, Result(True, "Migrated", "", "0002"))


@given(st.text(max_size=200) | st.from_type(dict[str, str]).map(str))
def test_any_termination_message_is_survived(text: str) -> None:
    assert parse_result(text) is None or isinstance(parse_result(text), Result)


def test_pauses_grow_and_are_capped() -> None:
    pauses = [read_jobs([job(FAILED, attempt=n)], [])[0].retry_delay() for n in (1, 2, 3, 50)]
    assert pauses == [15.0, 30.0, 60.0, 600.0]
