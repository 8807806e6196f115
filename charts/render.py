"""Writes manifests/install.yaml, the chart rendered for those without Helm, or checks that it is current.

``python3 charts/render.py --helm PATH [--check]``
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
INSTALL = REPOSITORY / "manifests" / "install.yaml"
NAMESPACE = "hoa-connect"
KUBERNETES = "1.34.4"
VALUES = {
    "ingress.baseDomain": "hoaconnect.example",
    # kubectl applies the CRDs itself, and takes things away only when a person says so.
    "setup.upgradeCRDs": "false",
    "uninstall.releaseTenants": "false",
}
HEAD = f"""\
# HOA Connect without Helm. Rendered from charts/hoa-connect by charts/render.py; change that, not this.
#
#   kubectl apply --server-side -f crds/
#   kubectl apply --server-side -f manifests/install.yaml
#
# Set your own base domain (hoaconnect.example below) and images first. A Job makes the Secrets that are missing.
---
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    app.kubernetes.io/name: hoa-connect
    pod-security.kubernetes.io/enforce: restricted
"""


def render(helm: str) -> str:
    """Return the whole file."""
    settings = ",".join(f"{name}={value}" for name, value in VALUES.items())
    done = subprocess.run(
        [
            helm,
            "template",
            NAMESPACE,
            str(REPOSITORY / "charts" / "hoa-connect"),
            f"--namespace={NAMESPACE}",
            f"--kube-version={KUBERNETES}",
            "--skip-tests",
            f"--set={settings}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"helm could not render the chart: {done.stderr.strip()}")
    return HEAD + without_hooks(done.stdout)


def without_hooks(text: str) -> str:
    """Drop the annotations by which Helm would run some objects before others."""
    text = re.sub(r"^ +helm\.sh/hook.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^  annotations:\n(?!    )", "", text, flags=re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--helm", default="helm", help="the helm program")
    parser.add_argument("--check", action="store_true", help="fail when the file is not current; write nothing")
    chosen = parser.parse_args(arguments)
    wanted = render(chosen.helm)
    if not chosen.check:
        INSTALL.write_text(wanted)
    elif not INSTALL.exists() or INSTALL.read_text() != wanted:
        sys.stderr.write("manifests/install.yaml is not what the chart renders; run `make render` and commit it\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
