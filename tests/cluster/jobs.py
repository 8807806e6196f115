"""The kubelet's part for Jobs: runs the command of every Job's pod as a real process and writes the pod's status.

The job controller makes the pods and judges them. Faults can be put in: failures, hangs, images that cannot be pulled.
An image is a folder with the package `hoa_app`: the checkout's, unless a release of tests/overlay.py is put on offer.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import os
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.cluster.api import MERGE_PATCH, Api, ApiError, Json
from tests.cluster.mounts import Mounts
from tests.processes import Process
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.overlay import Release
    from tests.zygote import Zygote

POLL_SECONDS = 0.1
MESSAGE_LIMIT = 4096
UNFINISHED = (
    "/api/v1/pods?labelSelector=batch.kubernetes.io%2Fjob-name"
    "&fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"
)
AWAY = (ConnectionError, TimeoutError, http.client.HTTPException)


@dataclass
class Fault:
    """What goes wrong with pods whose Job's name contains ``job`` (in one namespace, or in all), ``times`` times."""

    job: str = ""
    namespace: str = ""
    times: int = 1
    exit_code: int = 1
    message: str = ""
    hang: bool = False
    image_pull_error: bool = False

    def matches(self, pod: Json) -> bool:
        """Whether it is this pod's turn to fail."""
        metadata = pod["metadata"]
        named = self.job in metadata["labels"].get("batch.kubernetes.io/job-name", "")
        return self.times > 0 and named and self.namespace in ("", metadata["namespace"])


@dataclass
class Running:
    """A pod whose process runs."""

    pod: Json
    process: Process
    termination_log: Path
    started: str


@dataclass
class JobRunner:
    """Follows the pods of Jobs in all namespaces, in a thread of its own."""

    api: Api
    folder: Path
    faults: list[Fault] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    images: dict[str, Path] = field(default_factory=dict)
    #: Fork migration Jobs instead of starting Python anew each time: one for each image's folder that is used often.
    zygotes: list[Zygote] = field(default_factory=list)
    peaks: Counter[str] = field(default_factory=Counter)
    #: How often a Job of each tenant, as ``namespace/tenant``, ended well: also of Jobs that are gone by now.
    succeeded: Counter[str] = field(default_factory=Counter)
    _running: dict[str, Running] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _error: BaseException | None = None

    @property
    def mounts(self) -> Mounts:
        """Writes the volumes of pods."""
        return Mounts(self.api)

    def start(self) -> JobRunner:
        """Begin to follow pods."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._loop, name="job-runner", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End, with every process it started; raise what went wrong in the thread."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        for running in self._running.values():
            running.process.kill()
        if self._error:
            raise self._error

    def inject(self, fault: Fault) -> Fault:
        """Let something go wrong from now on."""
        self.faults.append(fault)
        return fault

    def offer(self, release: Release) -> Release:
        """Let pods of that release's image run its code."""
        self.images[release.image] = release.app
        return release

    def heal(self) -> None:
        """Take out every fault; pods whose image could not be pulled get it now, and what hangs stays hung."""
        self.faults.clear()
        self._refused.clear()

    def runs_in(self, namespace: str) -> list[str]:
        """Return ``namespace/job`` of every process started, in order."""
        return [run for run in self.runs if run.startswith(f"{namespace}/")]

    def processes(self, namespace: str, job: str) -> list[Process]:
        """Return the processes that run for pods whose Job's name contains `job`."""
        found = [running for running in list(self._running.values()) if _is_of(running.pod, namespace, job)]
        return [running.process for running in found]

    def _loop(self) -> None:
        try:
            while not self._stop.is_set():
                self._try()
                self._stop.wait(POLL_SECONDS)
        except BaseException as error:  # raised again by stop(), in the test's own thread
            self._error = error
        finally:
            self.api.close()

    def _try(self) -> None:
        """Go one round; while the API server is away, a kubelet asks again."""
        try:
            self._round()
        except AWAY:
            return
        except ApiError as error:
            if error.status < 500:
                raise

    def _round(self) -> None:
        answer = self.api.call("GET", UNFINISHED)
        pods = {pod["metadata"]["uid"]: pod for pod in answer["items"]}
        for uid, pod in pods.items():
            if uid in self._running or pod["status"].get("phase") not in (None, "Pending"):
                continue
            if "deletionTimestamp" in pod["metadata"]:
                self._finish(pod, None, 137, "")
            else:
                self._take(pod)
        for namespace, count in Counter(pod["metadata"]["namespace"] for pod in pods.values() if _counts(pod)).items():
            self.peaks[namespace] = max(self.peaks[namespace], count)
        for uid, running in list(self._running.items()):
            self._follow(uid, running, pods.get(uid))

    def _take(self, pod: Json) -> None:
        fault = next((fault for fault in self.faults if fault.matches(pod)), None)
        uid = pod["metadata"]["uid"]
        if fault and fault.image_pull_error:
            if uid not in self._refused:
                self._refused.add(uid)
                self._wait(pod, "ErrImagePull", f"image {pod['spec']['containers'][0]['image']} cannot be pulled")
            return
        try:
            places = self.mounts.write(pod, self.folder / f"{pod['metadata']['namespace']}-{pod['metadata']['name']}")
            env = self._environment(pod, places)
        except ApiError as error:
            self._wait(pod, "CreateContainerConfigError", str(error))
            return
        if fault:
            fault.times -= 1
            self._run(pod, env, _faulty(fault))
        else:
            self._run(pod, env, _command(pod, places))

    def _run(self, pod: Json, env: dict[str, str], command: Sequence[str]) -> None:
        metadata = pod["metadata"]
        name = f"{metadata['namespace']}-{metadata['name']}"
        message = self.folder / f"{name}.termination"
        message.write_text("")
        env["HOA_TERMINATION_LOG"] = str(message)
        process = self._process(name, command, env).start()
        running = Running(pod, process, message, _now())
        self._running[metadata["uid"]] = running
        self.runs.append(f"{metadata['namespace']}/{metadata['labels']['batch.kubernetes.io/job-name']}")
        self._write(pod, "Running", {"running": {"startedAt": running.started}}, started=running.started)

    def _process(self, name: str, command: Sequence[str], env: dict[str, str]) -> Process:
        log = self.folder / f"{name}.log"
        for zygote in self.zygotes:
            if zygote.runs(command, env):
                return zygote.process(name, log, env, REPOSITORY, command[3:])
        return Process(name, command, log, env=env, cwd=REPOSITORY)

    def _follow(self, uid: str, running: Running, pod: Json | None) -> None:
        if running.process.running:
            if pod is None or "deletionTimestamp" in pod["metadata"]:
                running.process.stop()
            else:
                return
        del self._running[uid]
        code = running.process.wait()
        if code == 0:
            metadata = running.pod["metadata"]
            self.succeeded[f"{metadata['namespace']}/{metadata['labels'].get('hoaconnect.com/tenant', '')}"] += 1
        message = running.termination_log.read_text()[-MESSAGE_LIMIT:]
        self._finish(running.pod, running.started, code if code >= 0 else 128 - code, message)

    def _finish(self, pod: Json, started: str | None, code: int, message: str) -> None:
        ended = {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "message": message,
            "startedAt": started or _now(),
            "finishedAt": _now(),
        }
        self._write(pod, "Failed" if code else "Succeeded", {"terminated": ended}, started=started)

    def _wait(self, pod: Json, reason: str, message: str) -> None:
        self._write(pod, "Pending", {"waiting": {"reason": reason, "message": message}})

    def _write(self, pod: Json, phase: str, state: Json, started: str | None = None) -> None:
        container, metadata = pod["spec"]["containers"][0], pod["metadata"]
        ready = "running" in state
        status: Json = {
            "phase": phase,
            "startTime": started,
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": _now()}],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": ready,
                    "started": ready,
                    "restartCount": 0,
                    "state": {"waiting": None, "running": None, "terminated": None, **state},
                }
            ],
        }
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        with contextlib.suppress(ApiError):  # the pod may have gone meanwhile
            self.api.call("PATCH", path, {"status": status}, MERGE_PATCH)

    def _environment(self, pod: Json, places: dict[str, Path]) -> dict[str, str]:
        """Ours, whose paths are this machine's, and the pod's, whose paths are the pod's."""
        container, namespace = pod["spec"]["containers"][0], pod["metadata"]["namespace"]
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(self.images.get(container["image"], REPOSITORY / "app")),
            "PYTHONDONTWRITEBYTECODE": "1",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.api.port),
        }
        for source in container.get("envFrom", []):
            env |= self.mounts.secret(namespace, source["secretRef"]["name"])
        for entry in container.get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            held = self.mounts.secret(namespace, reference["name"]) if reference else {}
            value = held[reference["key"]] if reference else entry.get("value")
            env[entry["name"]] = _moved(value or "", places)
        return env


def _counts(pod: Json) -> bool:
    """Whether it is a tenant's pod that is neither done nor told to end."""
    going = "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in ("Succeeded", "Failed")
    return not going and "hoaconnect.com/tenant" in pod["metadata"]["labels"]


def _is_of(pod: Json, namespace: str, job: str) -> bool:
    metadata = pod["metadata"]
    return metadata["namespace"] == namespace and job in metadata["labels"]["batch.kubernetes.io/job-name"]


def _moved(text: str, places: dict[str, Path]) -> str:
    """Replace a path within the pod by where its volume lies here."""
    for inside, outside in places.items():
        if text == inside or text.startswith(f"{inside}/"):
            return str(outside) + text.removeprefix(inside)
    return text


def _command(pod: Json, places: dict[str, Path]) -> list[str]:
    container = pod["spec"]["containers"][0]
    words = [_moved(word, places) for word in (*container["command"], *container.get("args", []))]
    return [sys.executable if words[0] in ("python", "python3") else words[0], *words[1:]]


def _faulty(fault: Fault) -> list[str]:
    if fault.hang:
        return [sys.executable, "-c", "import signal; signal.pause()"]
    script = "import os, pathlib, sys; pathlib.Path(os.environ['HOA_TERMINATION_LOG']).write_text(sys.argv[2])"
    return [sys.executable, "-c", f"{script}; sys.exit(int(sys.argv[1]))", str(fault.exit_code), fault.message]


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
