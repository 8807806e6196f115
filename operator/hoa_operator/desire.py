"""Every object a tenant shall have, built from its world: pure; `plan` applies what differs and `status` reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hoa_operator import hosting, names
from hoa_operator.kinds import DEPLOYMENT, HPA, INGRESS, PDB, SECRET, SERVICE
from hoa_operator.manifests import autoscalers, dedicated, ingresses, jobs, secrets
from hoa_operator.manifests.meta import Family, digest, tenant_family
from hoa_operator.postgres import names as postgres_names
from hoa_operator.tiers import Replicas

if TYPE_CHECKING:
    from collections.abc import Collection

    from hoa_operator.kinds import Object
    from hoa_operator.manifests.jobs import JobImage, Migration
    from hoa_operator.manifests.meta import Manifest
    from hoa_operator.manifests.secrets import Connection, Credentials, Marks
    from hoa_operator.world import World

DEDICATED_KINDS = (DEPLOYMENT, SERVICE, PDB, HPA)


def family(world: World) -> Family:
    """Return what all the tenant's children have in common."""
    identity = (world.name, world.uid, str(world.target.tenant_id))
    settings = world.settings
    return tenant_family(settings.namespace, settings.release, settings.app.version, identity)


def credentials_secret(world: World, credentials: Credentials) -> Manifest:
    """Build the credentials Secret."""
    return secrets.credentials_secret(family(world), names.credentials_secret(world.name), credentials)


def migrator_secret(world: World, credentials: Credentials, marks: Marks) -> Manifest:
    """Build the migration Job's Secret."""
    return secrets.connection_secret(
        family(world), names.migrator_secret(world.name), migrator_connection(world, credentials), marks
    )


def migrator_connection(world: World, credentials: Credentials) -> Connection:
    """Return how the migration Job reaches the database."""
    server, tenant_id = world.target.server, world.target.tenant_id
    return secrets.Connection(
        host=server.host,
        port=server.port,
        dbname=postgres_names.database_name(tenant_id),
        username=postgres_names.role_name(tenant_id, postgres_names.MIGRATOR),
        sslmode=server.sslmode,
        password=credentials.migrator_password,
    )


def live_migrator_secret(world: World) -> Object | None:
    """Return the live Secret of the migration Job."""
    return world.children.get(SECRET, names.migrator_secret(world.name))


def marks(world: World) -> Marks:
    """Return what is remembered of the tenant's migrations."""
    return secrets.Marks.read(live_migrator_secret(world))


def purpose(world: World, revision: str | None = None) -> str:
    """Return why a migration would run now, or would have run for an earlier revision: another revision, another person to
    invite, other roles to grant to."""
    kinds = (postgres_names.WRITER, postgres_names.APP_B)
    roles = [usage_role(world), *(postgres_names.role_name(world.target.tenant_id, kind) for kind in kinds)]
    return digest([revision or world.settings.app.schema_revision, world.target.spec.admin.email, *roles])


def usage_role(world: World) -> str:
    """Return who reads the tenant's own figures."""
    return postgres_names.role_name(world.target.tenant_id, postgres_names.MIGRATOR)


def migration(world: World) -> Migration:
    """Return the tenant's migration (contract section 4)."""
    target, tenant_id = world.target, world.target.tenant_id
    revision = world.settings.app.schema_revision
    return jobs.Migration(
        revision=revision,
        purpose=purpose(world),
        arguments=(),
        environment={
            "HOA_OWNER_ROLE": postgres_names.role_name(tenant_id, postgres_names.OWNER),
            "HOA_TENANT_ID": str(tenant_id),
            "HOA_APP_ROLE": postgres_names.role_name(tenant_id, postgres_names.APP),
            "HOA_APP_ROLE_B": postgres_names.role_name(tenant_id, postgres_names.APP_B),
            "HOA_WRITER_ROLE": postgres_names.role_name(tenant_id, postgres_names.WRITER),
            "HOA_USAGE_ROLE": usage_role(world),
            "HOA_TARGET_REVISION": revision,
            "HOA_TENANT_SLUG": target.spec.slug,
            "HOA_DISPLAY_NAME": target.spec.display_name,
            "HOA_TIME_ZONE": target.spec.time_zone,
            "HOA_ADMIN_EMAIL": target.spec.admin.email,
            "HOA_ADMIN_NAME": target.spec.admin.name,
        },
        secret=names.migrator_secret(world.name),
    )


def job_image(world: World) -> JobImage:
    """Return what migration Jobs run."""
    app, timing = world.settings.app, world.settings.timing
    return jobs.JobImage(app.image, app.image_pull_policy, app.image_pull_secrets, timing.job_deadline, timing.job_ttl)


def migration_job(world: World, attempt: int) -> Manifest:
    """Build the migration Job of that attempt."""
    name = names.migration_job(world.name, world.settings.app.schema_revision, attempt)
    return jobs.migration_job(family(world), name, migration(world), job_image(world), attempt)


def routes(world: World, hosts: Collection[str] | None = None) -> list[Manifest]:
    """Build all Ingresses; with `hosts`, for none of the tenant's domains but these."""
    route = world.settings.route
    return ingresses.ingresses(
        family(world),
        ingresses.Route(
            tenant=world.name,
            own_host=world.target.hosts[0],
            domains=tuple(domain for domain in hosting.domains(world) if hosts is None or domain.host in hosts),
            ingress_class=route.ingress_class,
            service=backend(world),
            https=route.https,
            tls_secret=route.tls_secret,
            asked=world.domains.budget.asked,
            external_dns=route.external_dns,
        ),
    )


def hosts_of(ingress: Object) -> list[str]:
    """Return the hosts that a live Ingress routes."""
    return [rule.get("host", "") for rule in ingress["spec"].get("rules") or ()]


def backend(world: World) -> str:
    """Return the Service the hosts lead to: the tenant's own once its pods answer, and from then on."""
    shared, own = world.settings.app.service, names.dedicated(world.name)
    if world.target.spec.placement != "Dedicated":
        return shared
    return own if available(world) or _leads_to(world, own) else shared


def available(world: World) -> bool:
    """Tell whether a pod of the tenant's own answers."""
    live = world.children.get(DEPLOYMENT, names.dedicated(world.name))
    return live is not None and int((live.get("status") or {}).get("availableReplicas") or 0) > 0


def _leads_to(world: World, service: str) -> bool:
    live = world.children.get(INGRESS, names.ingress(world.name))
    rules = live["spec"].get("rules") or () if live else ()
    paths = [path for rule in rules for path in (rule.get("http") or {}).get("paths") or ()]
    return any((path["backend"].get("service") or {}).get("name") == service for path in paths)


def own_capacity(world: World) -> list[Manifest]:
    """Build Deployment, Service, PodDisruptionBudget and HPA of a tenant with Dedicated placement, else nothing; nothing
    either while nobody knows their size, for the tier is gone: what there is stays."""
    if world.target.spec.placement != "Dedicated" or world.shared_app is None or world.target.tier.gone:
        return []
    kin, scaling = family(world), world.target.tier.autoscaling
    app = dedicated.DedicatedApp(names.dedicated(world.name), world.name, world.target.spec.slug, world.target.limits)
    replicas = Replicas(scaling.min_replicas, scaling.max_replicas)
    return [
        dedicated.deployment(kin, app, world.shared_app),
        dedicated.service(kin, app),
        dedicated.disruption_budget(kin, app),
        autoscalers.autoscaler(kin, app.name, "tenant", replicas, scaling.target_cpu_percent),
    ]


def database_name(world: World) -> str:
    """Name the tenant's database."""
    return postgres_names.database_name(world.target.tenant_id)
