"""Start-up and size.

What the images hold beyond their base (the locked packages and our code, compiled as the Dockerfiles do), and the whole
images as the local cluster builds them. A start is timed from the start of a process that sees those files and nothing
else, held to one core, with the files in the page cache: the app and its worker until `/readyz` answers 200, with one
tenant in the registry; the operator until its first reconcile is done, against a real API server; the migration Job to
its end, in a clone of the template as for every new tenant, and from an empty database. The limit of a start is its
libraries: a program that imports the same modules in the same order and nothing of ours; the ratio is ours over that,
in seconds of a processor.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from hoa_app.migrations import serving
from tests.bench import images
from tests.bench.alternating import alternate, ratios
from tests.bench.figures.table import Figure
from tests.bench.runs import Ran, answer, ran, started
from tests.cluster.controlplane import ControlPlane
from tests.cluster.helm import Helm
from tests.cluster.kubectl import Kubectl
from tests.cluster.platform import Platform as Installation
from tests.contract.app.platform import MadeTenant, Platform
from tests.processes import Process, free_port
from tests.programs import REPOSITORY, program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.images import Laid
    from tests.bench.lab import Lab

    Starts = dict[str, Callable[[], Ran]]

_STARTS: Final = {
    "app": "app, start until it serves",
    "worker": "worker, start until it is ready",
    "operator": "operator, start until its first reconcile",
    "job": "migration Job in a clone, start to end",
    "first job": "migration Job from an empty database, start to end",
}
_MODULES: Final = {
    "app": "hoa_app.__main__",
    "worker": "hoa_app.worker",
    "operator": "hoa_operator.__main__",
    "migration Job": "hoa_app.migrate",
}


def measure(lab: Lab) -> Iterator[Figure]:
    """Weigh both images, then start every program in turn."""
    app, operator = (images.lay_out(name, lab.folder / name) for name in ("app", "operator"))
    for name, laid in (("app", app), ("operator", operator)):
        note = f"MiB of the largest: {laid.heaviest()}"
        yield Figure(f"{name} image, beyond its base", laid.weight, "MiB", note=note)
        yield from _whole(lab, name)
    found = alternate({**_starts(lab, app, operator), **_imports(app, operator)}, lab.rounds)
    for name, title in _STARTS.items():
        yield Figure.over([run.seconds for run in found[name]], title, "s")
        yield Figure.over([run.cpu for run in found[name]], f"{title}: CPU", "s")
    for name in _MODULES:
        ours, theirs = ([run.cpu for run in found[f"{name}: {what}"]] for what in ("imports", "libraries"))
        yield Figure.over(ours, f"{name}, imports: CPU", "s")
        yield Figure.over(ratios(ours, theirs), f"{name}, imports against its libraries alone", "x")


def _whole(lab: Lab, name: str) -> Iterator[Figure]:
    """The image itself, where one can be built; its base takes minutes, once on a machine."""
    weight = "" if lab.smoke else images.built(name)
    if isinstance(weight, tuple):
        yield Figure(f"{name} image, with its base", weight[0], "MiB", note=f"{weight[1]:.0f} MiB to pull")
    elif weight:
        yield Figure.missing(f"{name} image, with its base", weight)


def _starts(lab: Lab, app: Laid, operator: Laid) -> Starts:
    (lab.folder / "platform").mkdir()
    platform = Platform(lab.postgres().access, lab.folder / "platform")
    platform.make_template()
    jobs = _Jobs(platform, app)
    platform.register(jobs.prepare(serving.head()))
    return {
        "app": partial(_serves, platform, "app", app),
        "worker": partial(_serves, platform, "worker", app),
        "operator": _operator(lab, operator),
        "job": partial(jobs.run, serving.head()),
        "first job": partial(jobs.run, None),
    }


def _imports(app: Laid, operator: Laid) -> Starts:
    """For each program a process that imports it, and one that imports what it imports from elsewhere."""
    runs: Starts = {}
    for name, module in _MODULES.items():
        laid = operator if name == "operator" else app
        env = laid.environment({})
        runs[f"{name}: imports"] = partial(ran, laid.command("-c", f"import {module}"), env)
        runs[f"{name}: libraries"] = partial(ran, laid.command("-c", f"import {laid.libraries_of(module)}"), env)
    return runs


def _serves(platform: Platform, name: str, app: Laid) -> Ran:
    """Start the app or its worker, and end it when it says that it is ready."""
    port, metrics = free_port(), free_port()
    settings = {"HOA_HOST": "127.0.0.1", "HOA_PORT": str(port), "HOA_METRICS_PORT": str(metrics)}
    module, asked = ("hoa_app", port) if name == "app" else ("hoa_app.worker", metrics)
    env = app.environment(platform.environment(**settings))
    process = Process(name, app.command("-m", module), platform.folder / f"{name}.log", env)
    return started(process, lambda: answer(f"http://127.0.0.1:{asked}/readyz") is not None)


@dataclass
class _Jobs:
    """Runs migration Jobs, each in a database of its own that the operator's code has just made."""

    platform: Platform
    app: Laid

    def __post_init__(self) -> None:
        self._names = (f"tenant-{number}" for number in count())

    def prepare(self, template: str | None) -> MadeTenant:
        """Make roles and database, a clone if a template is named, and have the Job run there."""
        return self._prepared(template)[0]

    def run(self, template: str | None) -> Ran:
        """Return what the Job took."""
        return self._prepared(template)[1]

    def _prepared(self, template: str | None) -> tuple[MadeTenant, Ran]:
        tenant = self.platform.new_tenant(next(self._names))
        self.platform.make_database(tenant, template=template)
        env = self.app.environment(self.platform.job_environment(tenant))
        took = ran(self.app.command("-m", "hoa_app.migrate"), env)
        with tenant.as_app() as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (serving.head(),)
        return tenant, took


def _operator(lab: Lab, laid: Laid) -> Callable[[], Ran]:
    """Install the chart on a real API server; return what starts the operator there and waits for its first reconcile."""
    plane = ControlPlane(lab.folder / "plane", program("kube-apiserver", "kubernetes").parent)
    lab.stack.callback(plane.stop)
    plane.start()
    (lab.folder / "helm").mkdir()
    helm = Helm(program("helm", "helm"), lab.folder / "helm", plane.admin_kubeconfig)
    kubectl = Kubectl(plane.bin / "kubectl", plane.admin_kubeconfig)
    kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(REPOSITORY / "crds"))
    kubectl("create", "namespace", "bench")
    with redirect_stdout(sys.stderr):  # the chart's setup says what it does
        access, folder = lab.postgres().access, lab.folder / "installation"
        made = Installation.install(kubectl.within("bench"), plane, access, helm, folder).operator()
    env = laid.environment(made.process.env or {})
    process = Process("operator", laid.command("-m", "hoa_operator"), lab.folder / "operator.log", env)

    def works() -> bool:
        return "hoa_operator_reconciles_total{" in (answer(f"http://127.0.0.1:{made.metrics_port}/metrics") or "")

    # Each look costs the operator a collection of its metrics: not too many of them.
    return lambda: started(process, works, 0.02)
