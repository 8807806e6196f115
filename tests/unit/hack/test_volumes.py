"""The node's storage provisioner decides by the claim alone."""

import pytest

from hack.cluster.node import volumes


def claim(**spec: object) -> volumes.Object:
    base: volumes.Object = {"storageClassName": "local", "accessModes": ["ReadWriteOnce"]}
    base["resources"] = {"requests": {"storage": "2Gi"}}
    meta = {"namespace": "shop", "name": "data", "uid": "u-1", "annotations": {volumes.SELECTED: "hoa-connect"}}
    return {"metadata": meta, "spec": base | spec}


def test_a_volume_is_bound_to_its_claim_and_its_own_folder() -> None:
    assert volumes.volume_for(claim()) == {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pvc-u-1"},
        "spec": {
            "storageClassName": "local",
            "persistentVolumeReclaimPolicy": "Retain",
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "2Gi"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": "shop",
                "name": "data",
                "uid": "u-1",
            },
            "hostPath": {"path": "/var/lib/volumes/pvc-u-1", "type": "Directory"},
        },
    }


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [({}, True), ({"volumeName": "pvc-u-1"}, False), ({"storageClassName": "other"}, False)],
)
def test_only_our_class_and_only_once(changed: volumes.Object, wanted: bool) -> None:
    assert volumes.wants_volume(claim(**changed)) is wanted


def test_a_claim_that_no_pod_waits_for_gets_nothing_yet() -> None:
    early = claim()
    del early["metadata"]["annotations"]
    assert not volumes.wants_volume(early)


def test_a_claim_on_its_way_out_gets_nothing() -> None:
    leaving = claim()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not volumes.wants_volume(leaving)


@pytest.mark.parametrize(
    ("name", "phase", "done"),
    [("local", "Released", True), ("local", "Bound", False), ("local", "Available", False), ("nfs", "Released", False)],
)
def test_a_volume_is_cleared_once_its_claim_is_gone(name: str, phase: str, done: bool) -> None:
    assert volumes.is_done({"spec": {"storageClassName": name}, "status": {"phase": phase}}) is done
