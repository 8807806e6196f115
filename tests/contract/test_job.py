"""Both sides at once: what the operator makes, the app's real Job fills, and the app reads what the operator writes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hoa_app.settings import Settings
from hoa_app.tenancy.registry import parse_tenant, unseal
from hoa_app.tenancy.sealing import Unsealer
from hoa_operator.postgres import PostgresServer, differences, role_name, template_name
from hoa_operator.sealing import Sealer, generate_signing_key
from hoa_operator.signing import encode_signing_keys
from tests.contract.fix_jobs import HEAD, Pair, migrate_tenant
from tests.contract.fix_registry import Rig, new_row
from tests.contract.servers import RealServer, app_of, new_spec

if TYPE_CHECKING:
    from pathlib import Path

    from hoa_operator.registry import Registry


async def test_an_empty_database_is_filled(server: RealServer, door: PostgresServer, template: str) -> None:
    spec = new_spec()
    await door.ensure(spec)
    result = await migrate_tenant(server, spec)
    assert (result["exit"], result["fromRevision"], result["revision"], result["invitation"]) == (
        0,
        None,
        HEAD,
        "Created",
    )
    again = await migrate_tenant(server, spec)
    assert (again["exit"], again["fromRevision"], again["invitation"]) == (0, HEAD, "Exists")
    assert differences(spec, await door.observe(spec.tenant_id)) == ()


async def test_identity_and_roles_are_written(server: RealServer, pair: Pair) -> None:
    spec = pair.ours
    identity = server.all("SELECT tenant_id FROM tenant_identity", dbname=spec.database)
    assert identity == [{"tenant_id": spec.tenant_id}]
    roles = server.all("SELECT role_name::text, tenant_id FROM tenant_roles", dbname=spec.database)
    assert {row["role_name"] for row in roles} == {
        role_name(spec.tenant_id, kind) for kind in ("app", "app_b", "migrator")
    }
    assert {row["tenant_id"] for row in roles} == {spec.tenant_id}


async def test_another_tenants_database_is_refused_by_the_job(server: RealServer, pair: Pair) -> None:
    result = await migrate_tenant(server, pair.ours, HOA_TENANT_ID=str(pair.theirs.tenant_id))
    assert (result["exit"], result["reason"]) == (2, "IdentityMismatch")
    identity = server.one("SELECT tenant_id FROM tenant_identity", dbname=pair.ours.database)
    assert identity == pair.ours.tenant_id


async def test_the_time_zone_counts_at_the_beginning_only(server: RealServer, pair: Pair) -> None:
    result = await migrate_tenant(server, pair.ours, HOA_TIME_ZONE="Pacific/Auckland")
    assert result["exit"] == 0
    kept = server.one("SELECT value #>> '{}' FROM settings WHERE key = 'time_zone'", dbname=pair.ours.database)
    assert kept == "America/New_York", "the owner may have set it meanwhile"


async def test_a_template_holds_no_tenant(server: RealServer, golden: str, pair: Pair) -> None:
    name = template_name(golden)
    server.run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    try:
        for table in ("tenant_identity", "tenant_roles", "users", "invitations", "settings"):
            assert server.one(f"SELECT count(*) FROM {table}", dbname=name) == 0, table
    finally:
        server.run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')


async def test_the_app_reads_the_operators_registry(rig: Rig, registry: Registry, epoch: int, tmp_path: Path) -> None:
    keys_file = tmp_path / "keys"
    keys_file.write_text("tDmp5Va3EEa0j8y5nGoV2vCHzRHcGlkc7kmeD0FxQFE=")
    sealer = Sealer.from_file(keys_file)
    spec, row = new_spec(), new_row()
    signing = generate_signing_key(datetime(2031, 1, 1, tzinfo=UTC))
    database = {"host": "db", "port": 5432, "dbname": spec.database, "username": app_of(spec), "sslmode": "require"}
    sealed = new_row(
        slug=row.slug, name=row.name, hosts=row.hosts, tenant_id=row.tenant_id, uid=row.uid, database=database,
        sealed_password=sealer.seal(spec.app_password.encode()),
        sealed_signing_keys=sealer.seal(encode_signing_keys([signing])),
    )  # fmt: skip
    await registry.upsert(sealed, epoch)
    with rig.server.login(rig.reader, rig.reader_password, rig.dbname) as reader:
        found = reader.execute("SELECT * FROM tenants").fetchone()
    assert found is not None
    settings = Settings.from_env(
        {
            "HOA_REGISTRY_DIR": str(rig.folder / "reader"),
            "HOA_SEALING_KEYS_FILE": str(keys_file),
            "HOA_BASE_DOMAIN": "example.test",
            "HOA_STORAGE_URL": tmp_path.as_uri(),
        }
    )
    tenant = parse_tenant(found, unseal(found, Unsealer(keys_file)), settings)
    assert (tenant.id, tenant.slug, tenant.hosts, tenant.served) == (row.tenant_id, row.slug, row.hosts, True)
    assert (tenant.database.username, tenant.database.password) == (app_of(spec), spec.app_password)
    assert tenant.keys.signing.secret == signing.k
    assert tenant.limits.homeowners_max == 99
