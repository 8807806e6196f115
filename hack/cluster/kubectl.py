"""kubectl, spoken to as a person would, with its answers parsed."""

import json
from pathlib import Path
from typing import Any

from hack.cluster import tools
from hack.cluster.paths import Paths
from hack.cluster.shell import Word, run, succeeds

Object = dict[str, Any]


class Kubectl:
    """kubectl on the local cluster; the program is found or built unless it is given."""

    def __init__(self, paths: Paths, program: Path | None = None) -> None:
        program = program or tools.ensure_kubectl(paths) / "kubectl"
        self._argv: list[Word] = [program, f"--kubeconfig={paths.kubeconfig}"]

    def __call__(self, *arguments: Word, stdin: str = "") -> str:
        """Run it and return what it prints."""
        return run([*self._argv, *arguments], stdin=stdin)

    def answers(self, *arguments: Word) -> bool:
        """Whether it ends well."""
        return succeeds([*self._argv, *arguments])

    def list(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        """Objects of a kind; none where the kind or the namespace is unknown."""
        argv: list[Word] = ["get", kind, f"--namespace={namespace}", "--output=json", "--ignore-not-found"]
        text = self(*argv, *([f"--selector={selector}"] if selector else []))
        return list(json.loads(text)["items"]) if text.strip() else []

    def apply(self, *files: Path, namespace: str = "", stdin: str = "") -> str:
        """Apply manifests, from files or from text; says one line per object."""
        argv: list[Word] = ["apply", "--server-side", "--force-conflicts", "--field-manager=hack"]
        argv += [f"--namespace={namespace}"] if namespace else []
        for file in files or ("-",):
            argv += ["--filename", file]
        return self(*argv, stdin=stdin)
