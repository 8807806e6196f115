"""Worlds made by hand for the unit tests: a tenant at any point of its life, without a cluster or a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from hoa_operator import desire, names
from hoa_operator.kinds import CHILDREN, Object, kind_of, name_of
from hoa_operator.manifests.secrets import Credentials, Marks
from hoa_operator.plan import plan
from hoa_operator.postgres import desired
from hoa_operator.postgres import names as postgres_names
from hoa_operator.postgres.model import ObservedDatabase, ObservedRole, Usage
from hoa_operator.registry_model import Placement, RegistryRow
from hoa_operator.servers import DatabaseServer, parse_server
from hoa_operator.settings import Settings
from hoa_operator.steps import ApplyObject, Register
from hoa_operator.target import Target
from hoa_operator.tenant import parse_identity, parse_spec
from hoa_operator.tiers import parse_tier
from hoa_operator.world import Children, Reading, Record, RowSecrets, World

Json = dict[str, Any]
UID = "2b3c4d5e-0000-4000-8000-00000000000a"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CREDENTIALS = Credentials(
    "app-secret", "migrator-secret", '[{"kid":"k","k":"aGVsbG8","createdAt":"2026-11-23T11:59:30+00:00"}]'
)
SYSTEM = "7300000000000000001"
OID = 16_500

ENVIRON = {
    "HOA_NAMESPACE": "hoa-connect",
    "HOA_POD_NAME": "operator-0",
    "HOA_REGISTRY_DIR": "/etc/registry",
    "HOA_REGISTRY_READER_DIR": "/etc/reader",
    "HOA_SEALING_KEYS_FILE": "/etc/keys",
    "HOA_APP_IMAGE": "hoa-connect/app:1.0.0",
    "HOA_APP_VERSION": "1.0.0",
    "HOA_APP_SCHEMA_REVISION": "0002",
    "HOA_BASE_DOMAIN": "hoaconnect.test",
    "HOA_INGRESS_CLASS": "traefik",
    "HOA_URL_SCHEME": "http",
}


def settings(**changes: str) -> Settings:
    """Return the operator's settings."""
    return Settings.from_env({**ENVIRON, **changes})


def tier_body(name: str, low: int, high: int | None, cpu: str, memory: str, storage: str) -> Json:
    """Return a HOATier as the API server has it."""
    homeowners = {"min": low} if high is None else {"min": low, "max": high}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "HOATier",
        "metadata": {"name": name, "resourceVersion": "1", "uid": f"tier-{name}"},
        "spec": {
            "homeowners": homeowners,
            "cpu": cpu,
            "memory": memory,
            "storage": storage,
            "databaseConnections": 10,
            "statementTimeout": "30s",
            "requestsPerSecond": 20,
            "concurrentRequests": 10,
            "autoscaling": {"minReplicas": 2, "maxReplicas": 6, "targetCPUUtilizationPercentage": 70},
        },
    }


TIER_BODIES = (
    tier_body("small", 0, 99, "250m", "512Mi", "10Gi"),
    tier_body("medium", 100, 499, "500m", "1Gi", "50Gi"),
    tier_body("large", 500, 1999, "1", "2Gi", "100Gi"),
    tier_body("enterprise", 2000, None, "2", "4Gi", "500Gi"),
)
TIERS = tuple(parse_tier(body) for body in TIER_BODIES)


def server_body(name: str = "default", **spec: Any) -> Json:
    """Return a HOADatabaseServer as the API server has it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "HOADatabaseServer",
        "metadata": {"name": name, "namespace": "hoa-connect", "uid": f"server-{name}", "resourceVersion": "1"},
        "spec": {
            "endpoint": {"host": "postgres", "port": 5432, "sslMode": "require"},
            "adminSecretName": "admin",
            **spec,
        },
    }


def server(name: str = "default", **spec: Any) -> DatabaseServer:
    """Return a server."""
    return parse_server(server_body(name, **spec))


def tenant_body(name: str = "seabreeze", *, finalizer: bool = True, meta: Json | None = None, **spec: Any) -> Json:
    """Return a HOATenant as the API server has it."""
    metadata = {
        "name": name,
        "namespace": "hoa-connect",
        "uid": UID,
        "generation": 1,
        "resourceVersion": "10",
        "creationTimestamp": "2026-11-23T11:59:00Z",
        **({"finalizers": [names.FINALIZER]} if finalizer else {}),
        **(meta or {}),
    }
    given = {
        "displayName": "Seabreeze Management",
        "admin": {"email": "maria@seabreeze.example", "name": "Maria Alvarez"},
        "homeowners": 80,
    }
    return {"apiVersion": names.API_VERSION, "kind": "HOATenant", "metadata": metadata, "spec": {**given, **spec}}


def shared_app(available: int = 1) -> Json:
    """Return the shared app's Deployment as the API server has it."""
    labels = {names.LABEL_COMPONENT: "app", names.LABEL_INSTANCE: "hoa-connect"}
    container = {
        "name": "app",
        "image": "hoa-connect/app:1.0.0",
        "env": [{"name": "HOA_PORT", "value": "8000"}],
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "250m", "memory": "160Mi"}},
    }
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    pod = {"containers": [container], "topologySpreadConstraints": [spread], "restartPolicy": "Always"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "hoa-connect-app", "namespace": "hoa-connect", "uid": "deploy", "resourceVersion": "5"},
        "spec": {
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": labels, "annotations": {"checksum/config": "1"}}, "spec": pod},
        },
        "status": {"availableReplicas": available},
    }


def children(*objects: Object) -> Children:
    """Return live objects by kind."""
    return Children({kind: tuple(item for item in objects if kind_of(item) == kind) for kind in CHILDREN})


def live(manifest: Json, **status: Any) -> Json:
    """Return a manifest as the API server has it after it was applied."""
    meta = {**manifest["metadata"], "uid": f"uid-{manifest['metadata']['name']}", "resourceVersion": "20"}
    return {**manifest, "metadata": meta, **({"status": status} if status else {})}


def nothing_yet() -> ObservedDatabase:
    """Return a server without anything of the tenant's."""
    return ObservedDatabase(exists=False, system_identifier=SYSTEM)


def world(body: Json | None = None, **changes: Any) -> World:
    """Return the world of a tenant for which nothing is made yet."""
    body = body or tenant_body()
    configured = changes.pop("settings", settings())
    spec, identity = parse_spec(body), parse_identity(body)
    base = World(
        settings=configured,
        body=body,
        target=Target(
            identity, spec, UUID(UID), server(), TIERS[0], spec.homeowners, spec.hosts(configured.route.base_domain)
        ),
        record=Record(None, None, None),
        database=nothing_yet(),
        reading=Reading(),
        children=children(),
        shared_app=shared_app(),
        turn=True,
        now=NOW,
    )
    return replace(base, **changes)


def made(base: World) -> ObservedDatabase:
    """Return the database as its spec wants it."""
    spec = base.database_spec(CREDENTIALS)
    roles = {
        kind: ObservedRole(
            exists=True,
            oid=1,
            identity=spec.identity,
            can_login=desired.can_login(spec, kind),
            connection_limit=desired.connection_limit(spec, kind),
            inherits=desired.inherits(kind),
            member_of=tuple(desired.memberships(spec, kind)),
            can_connect=True,
            settings=desired.settings(spec, kind),
        )
        for kind in postgres_names.ROLE_KINDS
        if desired.is_wanted(spec, kind, base.database.role(kind))
    }
    return ObservedDatabase(
        exists=True,
        system_identifier=SYSTEM,
        name=spec.database,
        oid=OID,
        owner=postgres_names.role_name(UUID(UID), "owner"),
        identity=spec.identity,
        allow_connections=True,
        roles=MappingProxyType(roles),
    )


def usage(welcome: str = "Sent", homeowners: int = 80, files: int = 2**20) -> Usage:
    """Return what a tenant's database says of its use."""
    return Usage(UUID(UID), homeowners, files, 1, 0, 3, welcome, "0002", 11 * 2**20)


def row_of(base: World, **changes: Any) -> RegistryRow:
    """Return the registry's row as the plan for `base` would first write it."""
    first = next(
        step for step in plan(replace(base, record=Record(None, None, None))).steps if isinstance(step, Register)
    )
    return replace(first.row, sealed_password=b"sealed", sealed_signing_keys=b"sealed", **changes)


def secrets_of(credentials: Credentials = CREDENTIALS) -> RowSecrets:
    """Return what the row's tokens hold."""
    return RowSecrets(credentials.app_password, credentials.signing_keys, newest_key=True, login=credentials.login)


def placement(oid: int | None = OID) -> Placement:
    """Return where the data lies."""
    return Placement(UUID(UID), "default", SYSTEM, oid)


def provisioned(body: Json | None = None, **changes: Any) -> World:
    """Return the world of a tenant whose database and Secrets are made, whose migration has not run."""
    base = world(body, **changes)
    record = Record(row_of(base), placement(), secrets_of())
    base = replace(base, record=record, database=made(base))
    secrets = (desire.credentials_secret(base, CREDENTIALS), desire.migrator_secret(base, CREDENTIALS, Marks()))
    return replace(base, children=children(*(live(secret) for secret in secrets)))


def served(body: Json | None = None, **changes: Any) -> World:
    """Return the world of a tenant that is served and settled."""
    base = provisioned(body, **changes)
    row = replace(base.record.row, schema_revision="0002", state=base.target.spec.state)  # type: ignore[type-var]
    base = replace(base, record=replace(base.record, row=row), reading=Reading(usage()))
    kept = (
        desire.credentials_secret(base, CREDENTIALS),
        desire.migrator_secret(base, CREDENTIALS, Marks(desire.purpose(base))),
        *desire.routes(base),
        *desire.own_capacity(base),
    )
    return replace(base, children=children(*(live(manifest) for manifest in kept)))


def applied(step: object) -> Json:
    """Return what a step applies."""
    assert isinstance(step, ApplyObject)
    return step.manifest


def kinds(steps: tuple[object, ...]) -> list[type]:
    return [type(step) for step in steps]


def with_objects(base: World, *objects: Json, **changes: Any) -> World:
    """Return the world with these live objects, in the place of those of their kinds and names."""
    new = {(kind_of(item), name_of(item)) for item in objects}
    kept = [item for kind in base.children.by_kind.values() for item in kind]
    others = [item for item in kept if (kind_of(item), name_of(item)) not in new]
    return replace(base, children=children(*others, *objects), **changes)
