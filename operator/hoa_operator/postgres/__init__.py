"""The operator's door to Postgres servers: tenants' databases, roles, templates. Nothing else in the operator speaks SQL to them."""

from hoa_operator.postgres.desired import differences
from hoa_operator.postgres.figures import PASSWORD_REFUSED
from hoa_operator.postgres.model import (
    AdminLogin,
    Created,
    DatabaseIdentity,
    DatabaseSpec,
    Dropped,
    ObservedDatabase,
    ObservedRole,
    OwnershipProof,
    ServerAddress,
    ServerFacts,
    TemplateDatabase,
    TenantDatabase,
    Usage,
)
from hoa_operator.postgres.names import (
    APP,
    APP_B,
    MIGRATOR,
    OWNER,
    TEMPLATE_MIGRATOR,
    TEMPLATE_OWNER,
    WRITER,
    database_name,
    role_name,
    template_name,
    tombstone_name,
)
from hoa_operator.postgres.server import PostgresServer

__all__ = [
    "APP",
    "APP_B",
    "MIGRATOR",
    "OWNER",
    "PASSWORD_REFUSED",
    "TEMPLATE_MIGRATOR",
    "TEMPLATE_OWNER",
    "WRITER",
    "AdminLogin",
    "Created",
    "DatabaseIdentity",
    "DatabaseSpec",
    "Dropped",
    "ObservedDatabase",
    "ObservedRole",
    "OwnershipProof",
    "PostgresServer",
    "ServerAddress",
    "ServerFacts",
    "TemplateDatabase",
    "TenantDatabase",
    "Usage",
    "database_name",
    "differences",
    "role_name",
    "template_name",
    "tombstone_name",
]
