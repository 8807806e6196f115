"""Images onto the node: built where their inputs changed, loaded where the node has not got this build."""

import json
from collections.abc import Iterable
from pathlib import Path

from hack.cluster.images import Image
from hack.cluster.paths import Paths
from hack.cluster.provider import Builder, Provider
from hack.cluster.shell import step


def ensure(wanted: Iterable[Image], provider: Provider, builder: Builder, paths: Paths) -> dict[str, str]:
    """Build and load what is new; returns the digest of every wanted image by its name."""
    file = paths.state / "images.json"
    present, loaded, digests = provider.images(), _read(file), {}
    for image in wanted:
        digest = digests[image.name] = builder.ensure(image)
        if loaded.get(image.name) == digest and f"docker.io/{image.reference}" in present:
            continue
        with step(f"loading {image.reference} into the node"), builder.archive(image, digest) as archive:
            provider.load(archive)
        loaded[image.name] = digest
        file.write_text(json.dumps(loaded, indent=2))
    return digests


def _read(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}
