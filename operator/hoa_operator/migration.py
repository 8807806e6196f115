"""Reads a migration Job and its pods, and says in words for people how it stands: pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from hoa_operator import names
from hoa_operator.kinds import JOB, annotations_of, is_owned_by, labels_of, name_of
from hoa_operator.manifests.jobs import CONTAINER, EXIT_FINAL
from hoa_operator.tenant import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from hoa_operator.kinds import Object

#: Where a person finds what a Job said.
LOGS: Final = "see kubectl logs of the Job's pods"
#: Seconds before a further Job after one that failed for a passing reason: doubled each time up to the cap.
RETRY_FIRST: Final = 15.0
RETRY_CAP: Final = 600.0
_CANNOT_START: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError",
     "CreateContainerError", "RunContainerError"}
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """The one line of JSON a migration leaves (contract section 4)."""

    ok: bool
    reason: str
    message: str
    revision: str | None
    invitation: str | None = None


@dataclass(frozen=True)
class PodState:
    """What one pod of a Job tells."""

    trouble: tuple[str, str] | None
    exit_code: int | None
    result: Result | None


@dataclass(frozen=True)
class JobState:
    """One Job of the operator's and how it stands; `trouble` is a reason and a message."""

    name: str
    uid: str
    attempt: int
    purpose: str
    inputs: str
    phase: Literal["Running", "Complete", "Failed", "Deleting"]
    finished_at: datetime | None
    trouble: tuple[str, str] | None
    final: bool
    result: Result | None

    def retry_delay(self) -> float:
        """Return the seconds between this Job's failure and the next one."""
        return min(RETRY_CAP, RETRY_FIRST * 2.0 ** (self.attempt - 1))


def read_jobs(jobs: Iterable[Object], pods: Sequence[Object]) -> list[JobState]:
    """Return Jobs with what their pods tell, oldest attempt first."""
    states = [_job(job, [_pod(pod) for pod in pods if is_owned_by(pod, job["metadata"]["uid"])]) for job in jobs]
    return sorted(states, key=lambda state: state.attempt)


def retried(known: Sequence[JobState]) -> tuple[str, str] | None:
    """Return reason and message of an attempt that runs after one at the same failed; None of any other, oldest first."""
    if len(known) < 2:
        return None
    before, last = known[-2:]
    follows = last.phase == "Running" and before.phase == "Failed" and before.inputs == last.inputs
    if not follows or before.trouble is None:
        return None
    reason, message = before.trouble
    told = f"see kubectl logs job/{before.name} for the one before, {reason}: {message}"
    return "MigrationRetrying", f"attempt {last.attempt} is under way; {told}"


def for_revision(jobs: Iterable[Object], revision: str) -> list[Object]:
    """Return the Jobs that take something to `revision`."""
    return [job for job in jobs if job["kind"] == JOB.kind and labels_of(job).get(names.LABEL_REVISION) == revision]


def _job(job: Object, pods: list[PodState]) -> JobState:
    conditions = {c["type"]: c for c in (job.get("status") or {}).get("conditions") or () if c["status"] == "True"}
    failed, complete = conditions.get("Failed"), conditions.get("Complete")
    finished = failed or complete
    ending = failed or conditions.get("FailureTarget")  # decided already; its pods are on their way out
    result = next((pod.result for pod in pods if pod.exit_code == 0), None) if complete else _last_result(pods)
    return JobState(
        name=name_of(job),
        uid=job["metadata"]["uid"],
        attempt=int(annotations_of(job).get(names.ANNOTATION_ATTEMPT, "1")),
        purpose=annotations_of(job).get(names.ANNOTATION_PURPOSE, ""),
        inputs=annotations_of(job).get(names.ANNOTATION_INPUTS, ""),
        phase=_phase(job, failed=failed is not None, complete=complete is not None),
        finished_at=parse_time(finished["lastTransitionTime"]) if finished else None,
        trouble=None if complete else _trouble(ending, pods, result),
        final=failed is not None and any(pod.exit_code == EXIT_FINAL for pod in pods),
        result=result,
    )


def _phase(job: Object, *, failed: bool, complete: bool) -> Literal["Running", "Complete", "Failed", "Deleting"]:
    if "deletionTimestamp" in job["metadata"]:
        return "Deleting"
    if complete:
        return "Complete"
    return "Failed" if failed else "Running"


def _last_result(pods: Sequence[PodState]) -> Result | None:
    return next((pod.result for pod in reversed(pods) if pod.result is not None), None)


def _trouble(
    failed: Mapping[str, Any] | None, pods: Sequence[PodState], result: Result | None
) -> tuple[str, str] | None:
    stuck = next((pod.trouble for pod in pods if pod.trouble), None)
    said = f"{result.reason}: {result.message}" if result and not result.ok else ""
    if failed is not None and failed.get("reason") == "DeadlineExceeded":
        why = said or (stuck[1] if stuck else "it was still running")
        return "MigrationTimedOut", (
            f"the Job ran out of time ({why}); it runs again; should it last, {LOGS}, and give it longer by "
            "operator.jobDeadlineSeconds"
        )
    if failed is not None:
        why = said or failed.get("message") or failed.get("reason") or "the Job failed"
        return "MigrationFailed", f"{why}; {LOGS}"
    if stuck:
        return stuck
    again = f"it runs again; should it last, {LOGS}"
    return ("MigrationRetrying", f"{said}; {again}") if said else None


def _pod(pod: Object) -> PodState:
    status = pod.get("status") or {}
    container = next((c for c in status.get("containerStatuses") or () if c["name"] == CONTAINER), None)
    if container is None:
        return PodState(_unscheduled(status), None, None)
    state = container.get("state") or {}
    ended = state.get("terminated")
    if ended:
        return PodState(_killed(ended), ended.get("exitCode"), parse_result(ended.get("message") or ""))
    return PodState(_waiting(state.get("waiting") or {}, container.get("image", "")), None, None)


def _unscheduled(status: Mapping[str, Any]) -> tuple[str, str] | None:
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return "PodUnschedulable", (
                f"no node takes the Job's pod: {condition.get('message', '')}; make room on a node, or see why none fits with "
                "kubectl describe of the Job's pods"
            )
    return None


def _waiting(waiting: Mapping[str, Any], image: str) -> tuple[str, str] | None:
    reason = waiting.get("reason", "")
    if reason not in _CANNOT_START:
        return None
    if "Image" in reason:
        said = waiting.get("message") or reason
        return "ImagePullFailed", f"image {image} cannot be pulled: {said}; correct the image or its pull secret"
    return "PodCannotStart", (
        f"the Job's pod cannot start: {waiting.get('message') or reason}; see kubectl describe of the Job's pods"
    )


def _killed(ended: Mapping[str, Any]) -> tuple[str, str] | None:
    if ended.get("reason") == "OOMKilled":
        return "OutOfMemory", (
            "the Job's pod was killed for using too much memory; it runs again; should it last, see docs/operations/"
            "HOAMigrationFailed.md"
        )
    return None


def parse_result(text: str) -> Result | None:
    """Read a termination message; None when it is not what the contract says."""
    try:
        said = dict(json.loads(text))
        invitation = str(said.get("invitation") or "")[:40] or None
        message = str(said["message"])[:2000]
        return Result(said["result"] == "ok", str(said["reason"]), message, said.get("revision"), invitation)
    except (ValueError, KeyError, TypeError):
        return None
