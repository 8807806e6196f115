"""Puts labels back that somebody took off an object of the operator's: by them it is watched, and without them not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hoa_operator import names
from hoa_operator.errors import WorldError
from hoa_operator.kinds import kind_of, labels_of, name_of
from hoa_operator.kube import Conflict

if TYPE_CHECKING:
    from hoa_operator.cache import Cache
    from hoa_operator.kinds import Object
    from hoa_operator.kube import Kube
    from hoa_operator.manifests.meta import Manifest


class Relabelled(Conflict):
    """An object has its labels back: what was decided without it is decided again."""


def is_made_for(live: Object, manifest: Manifest) -> bool:
    """Tell whether the live object names the very owner that the manifest does, and as its controller if that does: nobody
    but the operator says so."""
    return not _owners(live).isdisjoint(_owners(manifest))


def _owners(item: Object) -> set[tuple[str, bool]]:
    owners = item["metadata"].get("ownerReferences") or ()
    return {(owner["uid"], bool(owner.get("controller"))) for owner in owners}


async def put_back(kube: Kube, cache: Cache, live: Object, manifest: Manifest) -> None:
    """Give an object the labels that it lacks and raise `Relabelled`; nothing else of it is touched, nor known before it is
    looked at again. An object that lacks none is left as it is."""
    lost = _lost(live, manifest)
    if not lost:
        return
    kind, what = kind_of(manifest), f"{manifest['kind']} {name_of(manifest)}"
    patch = {"metadata": {"labels": lost, "resourceVersion": live["metadata"]["resourceVersion"]}}
    after = await kube.patch(kind, name_of(manifest), patch)
    cache.observe(kind, after)
    if _lost(after, manifest):
        raise WorldError(
            "LabelsRefused",
            f"{what} was given {_listed(lost)} back and lacks them all the same; see which admission policy of the API server "
            "takes them off",
        )
    raise Relabelled(f"{what} had lost {_listed(lost)}, by which the operator finds it; put back")


def _listed(lost: dict[str, str]) -> str:
    return f"the label{'s' if len(lost) > 1 else ''} {' and '.join(lost)}"


def _lost(live: Object, manifest: Manifest) -> dict[str, str]:
    """Return the labels that differ, but for the version, which changes with each upgrade and which nothing is found by."""
    found = labels_of(live)
    wanted = {name: value for name, value in labels_of(manifest).items() if name != names.LABEL_VERSION}
    return {name: value for name, value in wanted.items() if found.get(name) != value}
