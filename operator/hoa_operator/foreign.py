"""Which cluster this is, and what is said and done where the registry is another's: nothing but words, until a person runs
`python -m hoa_operator take-over`."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from hoa_operator import kube as doors
from hoa_operator import status
from hoa_operator.errors import ForeignRegistry, OperatorError, UserError
from hoa_operator.kinds import NAMESPACE, TENANT, name_of
from hoa_operator.kube import Kube
from hoa_operator.metrics import Metrics
from hoa_operator.publish import difference
from hoa_operator.registry import Registry
from hoa_operator.registry_cluster import Cluster
from hoa_operator.steps import SPEC_ACCEPTED
from hoa_operator.target import Failure
from hoa_operator.tenant import parse_identity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hoa_operator.kinds import Object
    from hoa_operator.settings import Settings

log = structlog.get_logger()


async def here(kube: Kube, namespace: str, takes_over: str | None = None) -> Cluster:
    """Return the cluster this process runs in, named by the uid of a namespace that lives as long as the cluster."""
    found = await kube.get(NAMESPACE, namespace)
    if found is None:
        raise UserError(
            "ClusterUnknown",
            f"namespace {namespace}, whose uid tells this cluster from others, does not exist; set the chart's value "
            "operator.clusterNamespace to one that lives as long as the cluster",
        )

    async def tenants() -> set[UUID]:
        items = await kube.list_all(TENANT, metadata_only=True)
        return {UUID(item["metadata"]["uid"]) for item in items}

    return Cluster(UUID(found["metadata"]["uid"]), tenants, takes_over)


def told(kube: Kube, start: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[bool]]:
    """Have a start answer True when it is done, and every HOATenant say so when the registry is another cluster's."""

    async def run() -> bool:
        try:
            await start()
        except ForeignRegistry as error:
            await tell(kube, error, datetime.now(UTC))
            raise
        return True

    return run


async def tell(kube: Kube, error: ForeignRegistry, now: datetime) -> None:
    """Write into every HOATenant's status why nothing is done for it; what cannot be written is tried at the next refusal."""
    try:
        for body in await kube.list_all(TENANT):
            before = body.get("status") or {}
            patch = difference(before, refused(body, error, now))
            if patch:
                meta = {"resourceVersion": body["metadata"]["resourceVersion"]}
                await kube.patch(TENANT, name_of(body), {"metadata": meta, "status": patch}, "status")
    except OperatorError as trouble:
        log.warning("tenants not told of the foreign registry", reason=trouble.reason, message=trouble.message)


def refused(body: Object, error: ForeignRegistry, now: datetime) -> Mapping[str, object]:
    """Return the status of a tenant that nothing is done for: as it was, but for the refusal."""
    policy = str((body.get("spec") or {}).get("managementPolicy", "Managed"))
    failure = Failure(error, SPEC_ACCEPTED)
    return status.build(
        status.Report(parse_identity(body), body.get("status") or {}, now, failure=failure, policy=policy)
    )


def parse(arguments: Sequence[str]) -> str:
    """Return what the registry is said to belong to; a wrong argument ends the process with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m hoa_operator take-over",
        description="Make the registry this Kubernetes cluster's: its operator looks after the tenants from now on, the other "
        "cluster's touches them no more. End the other operator first: docs/operations/another-cluster.md.",
    )
    parser.add_argument("cluster", help="whose it is now, as the refusal names it: a cluster's id, or 'unrecorded'")
    return str(parser.parse_args(arguments).cluster)


async def take_over(settings: Settings, environ: Mapping[str, str], owner: str) -> int:
    """Take the registry over from `owner`; raises ForeignRegistry where it is not that one's."""
    client = doors.connect(environ)
    try:
        cluster = await here(
            Kube(client, settings.namespace, _refuse_to_write, Metrics()), settings.cluster_namespace, owner
        )
        registry = Registry(
            settings.registry_dir,
            settings.registry_reader_dir,
            identity=settings.pod_name,
            installation=settings.installation,
            cluster=cluster,
        )
        try:
            await registry.start()
        finally:
            await registry.close()
    finally:
        await client.close()
    sys.stdout.write(
        f"the registry is this cluster's ({cluster.id}) from now on; its operator follows within a minute\n"
    )
    return 0


def _refuse_to_write() -> None:
    raise RuntimeError("this command writes nothing to the API server")
