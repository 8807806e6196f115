"""A folder for every persistent volume claim: the node's storage provisioner. Run as a program: KUBECONFIG KUBECTL.

It answers claims of the storage class `local` with hostPath volumes and clears them away when their claim is gone.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLASS = "local"
SELECTED = "volume.kubernetes.io/selected-node"
"""The scheduler's word that a pod of the claim is placed and waits for the volume."""
FOLDER = Path("/var/lib/volumes")
_RETRY_SECONDS = 1.0
_WATCH_SECONDS = 30
"""A watch may fall silent without ending: none lasts longer, and each begins with all there is."""

Object = dict[str, Any]


def volume_for(claim: Object) -> Object:
    """The volume a claim asks for, already bound to it."""
    meta = claim["metadata"]
    name = f"pvc-{meta['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                **{key: meta[key] for key in ("namespace", "name", "uid")},
            },
            "hostPath": {"path": str(FOLDER / name), "type": "Directory"},
        },
    }


def wants_volume(claim: Object) -> bool:
    """Whether it is ours to answer, a pod waits for it, and it has no volume yet."""
    meta, spec = claim["metadata"], claim["spec"]
    return (
        spec.get("storageClassName") == CLASS
        and SELECTED in meta.get("annotations", {})
        and not spec.get("volumeName")
        and "deletionTimestamp" not in meta
    )


def is_done(volume: Object) -> bool:
    """Whether the volume is ours and nobody's any more."""
    phase: str = volume.get("status", {}).get("phase", "")
    return volume["spec"].get("storageClassName") == CLASS and phase == "Released"


class Provisioner:
    """Follows claims and volumes through kubectl, and acts on each."""

    def __init__(self, kubeconfig: str, kubectl: str) -> None:
        self._kubectl = [kubectl, f"--kubeconfig={kubeconfig}"]

    def follow(self, plural: str, act: Callable[[Object], None]) -> None:
        """Act on every object that is there and every one that comes, for ever."""
        argv = [
            *self._kubectl,
            "get",
            f"--raw=/api/v1/{plural}?watch=true&resourceVersion=0&timeoutSeconds={_WATCH_SECONDS}",
        ]
        while True:
            with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout or ():
                    event = json.loads(line)
                    if event["type"] in ("ADDED", "MODIFIED"):
                        act(event["object"])
            time.sleep(_RETRY_SECONDS)

    def provide(self, claim: Object) -> None:
        """Make the folder and the volume of a claim that waits for one."""
        if not wants_volume(claim):
            return
        volume = volume_for(claim)
        folder = Path(volume["spec"]["hostPath"]["path"])
        folder.mkdir(parents=True, exist_ok=True)
        # Any user may be the one its pod runs as, and hostPath volumes know no fsGroup.
        folder.chmod(0o777)
        subprocess.run([*self._kubectl, "apply", "-f", "-"], input=json.dumps(volume), text=True, check=False)

    def clear(self, volume: Object) -> None:
        """Take away the folder of a volume whose claim is gone."""
        if not is_done(volume):
            return
        name = volume["metadata"]["name"]
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        subprocess.run([*self._kubectl, "delete", "persistentvolume", name, "--ignore-not-found"], check=False)


def _main(kubeconfig: str, kubectl: str) -> None:
    provisioner = Provisioner(kubeconfig, kubectl)
    claims = threading.Thread(target=provisioner.follow, args=("persistentvolumeclaims", provisioner.provide))
    volumes = threading.Thread(target=provisioner.follow, args=("persistentvolumes", provisioner.clear))
    claims.start()
    volumes.start()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
