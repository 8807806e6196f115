"""Tenants in every state side by side on one server, with a registry, two templates and a stranger's database and role."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from hoa_operator.postgres import (
    TEMPLATE_MIGRATOR,
    TEMPLATE_OWNER,
    DatabaseSpec,
    PostgresServer,
    template_name,
    tombstone_name,
)
from hoa_operator.postgres.names import TEMPLATE_PREFIX, role_names
from tests.contract.attempts import Login
from tests.contract.fix_jobs import migrate_tenant
from tests.contract.fix_registry import Rig, make_rig
from tests.contract.rights import Right, opened, read_rights
from tests.contract.rights_allowed import APP_LOGINS, LOGINS, Tenant, allowed, groups, may_own
from tests.contract.servers import RealServer, new_spec, proof_of

if TYPE_CHECKING:
    from pathlib import Path

    from hoa_operator.registry import Registry

NEW_TEMPLATE = "0901"
TEMPLATE_PASSWORD = "the-password-of-the-template-being-made"
NOBODY, STRANGER = "nobody_at_all", "accounting"
STRANGERS_PASSWORD = "the-strangers-password"
DOORS = ("postgres", "template1")
LOCKED = tuple(f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC" for name in DOORS)
DELETED_AT = datetime(2031, 1, 1, tzinfo=UTC)


@dataclass
class Neighbours:
    """The tenants by name, as their specs are now; `half` is made but not migrated, `bare` has roles and no database."""

    server: RealServer
    door: PostgresServer
    rig: Rig
    registry: Registry
    golden: str
    specs: dict[str, DatabaseSpec] = field(default_factory=dict)
    retained: set[str] = field(default_factory=set)
    replaced: dict[tuple[str, str], str] = field(default_factory=dict)
    unmigrated: set[str] = field(default_factory=lambda: {"half", "bare"})

    @classmethod
    async def settle(cls, server: RealServer, golden: str, folder: Path) -> Neighbours:
        """Make them all."""
        door = server.door("neighbours")
        await door.lock_front_doors()
        server.run(*LOCKED, *(f'GRANT CONNECT ON DATABASE {name} TO "{server.admin.username}"' for name in DOORS))
        rig = make_rig(server, folder)
        registry = rig.registry()
        await registry.start()
        made = cls(server, door, rig, registry, golden)
        await made._strangers()
        await door.ensure_template(NEW_TEMPLATE, TEMPLATE_PASSWORD)
        for name in ("ours", "theirs", "suspended", "frozen", "kept"):
            await made.move_in(name)
        await made.change("suspended", suspended=True)
        await made.change("frozen", read_only=True)
        await made.retain("kept")
        made.specs["half"], made.specs["bare"] = new_spec(template=golden), new_spec()
        for name in ("half", "bare"):
            await door.ensure_roles(made.specs[name])
        await door.ensure_database(made.specs["half"])
        return made

    async def _strangers(self) -> None:
        self.server.run(
            f"CREATE ROLE {NOBODY} NOINHERIT",
            f"CREATE ROLE {STRANGER} LOGIN PASSWORD '{STRANGERS_PASSWORD}'",
            f"CREATE DATABASE {STRANGER} OWNER {STRANGER}",
            f"REVOKE ALL ON DATABASE {STRANGER} FROM PUBLIC",
        )
        self.server.run("CREATE TABLE ledger (entry text)", dbname=STRANGER)

    async def move_in(self, name: str) -> None:
        """A new tenant from the golden template, its Job done."""
        self.specs[name] = new_spec(template=self.golden)
        await self.change(name)
        result = await migrate_tenant(self.server, self.specs[name])
        assert result["exit"] == 0, result

    async def change(self, name: str, **changes: object) -> None:
        """Bring a tenant to another spec, as the operator does."""
        self.specs[name] = replace(self.specs[name], **changes)  # type: ignore[arg-type]
        await self.door.ensure(self.specs[name])

    async def rotate(self, name: str) -> None:
        """New credentials; the login before stays good until `change(name, overlapping=False)`."""
        before, fresh = self.specs[name], new_spec()
        self.replaced[name, before.login] = before.app_password
        login = "app_b" if before.login == "app" else "app"
        passwords = {"app_password": fresh.app_password, "migrator_password": fresh.migrator_password}
        await self.change(name, login=login, overlapping=True, **passwords)

    async def retain(self, name: str) -> None:
        """Delete a tenant and keep its data."""
        await self.door.tombstone(await proof_of(self.door, self.specs[name]), DELETED_AT)
        self.retained.add(name)

    async def bring_back(self, name: str) -> None:
        """Undelete: another HOATenant takes the data over, with passwords of its own."""
        spec, door = self.specs[name], self.door
        proof = await proof_of(door, spec)
        identity = replace(spec.identity, uid=uuid4())
        await door.restore_from_tombstone(proof)
        await door.adopt(proof, identity)
        self.retained.remove(name)
        fresh = new_spec()
        self.specs[name] = replace(fresh, identity=identity)
        await door.ensure(self.specs[name])
        assert (await migrate_tenant(self.server, self.specs[name]))["exit"] == 0

    async def leave(self) -> None:
        """Take away what other tests of the server would stumble over."""
        await self.registry.close()
        await self.door.drop_old_templates(
            {found.revision for found in await self.door.list_templates()} - {NEW_TEMPLATE}
        )
        for name in [name for name in self.specs if name != "bare"]:
            await self.door.drop(await proof_of(self.door, self.specs[name]))
        await self.door.drop(await proof_of(self.door, self.specs["bare"]))
        self.server.run(
            f"DROP DATABASE {STRANGER} WITH (FORCE)", f"DROP DATABASE {self.rig.dbname} WITH (FORCE)",
            *(f"DROP ROLE {role}" for role in (STRANGER, NOBODY, self.rig.reader)),
        )  # fmt: skip
        await self.door.close()

    # What they may do

    def tenant(self, name: str) -> Tenant:
        """A tenant as the table of rights needs it."""
        spec = self.specs[name]
        retained, exists = name in self.retained, name != "bare"
        place = tombstone_name(spec.tenant_id) if retained else spec.database
        relations, there = self._relations(place) if exists else {}, self._there()
        return Tenant(
            place=place,
            roles={kind: role for kind, role in role_names(spec.tenant_id).items() if role in there},
            tables=relations.get("table", frozenset()),
            sequences=relations.get("sequence", frozenset()),
            let_in=name not in ("half", "bare"),
            migrated=name not in self.unmigrated,
            read_only=spec.read_only,
            suspended=spec.suspended,
            retired="" if spec.overlapping else next(kind for kind in APP_LOGINS if kind != spec.login),
            retained=retained,
            exists=exists,
        )

    def tables(self, login: Login) -> frozenset[str]:
        """The tables of a login's home."""
        return self._relations(login.home).get("table", frozenset())

    def _there(self) -> set[str]:
        return {row["rolname"] for row in self.server.all("SELECT rolname FROM pg_roles")}

    def _relations(self, place: str) -> dict[str, frozenset[str]]:
        query = (
            "SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind, array_agg(relname::text) AS names FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S') GROUP BY 1"
        )
        with opened(self.server, place):
            return {row["kind"]: frozenset(row["names"]) for row in self.server.all(query, dbname=place)}

    def logins(self) -> list[Login]:
        """Every login there is, also those that are locked out; these have no home."""
        found = [
            Login(self.rig.reader, self.rig.reader_password, self.rig.dbname),
            Login(TEMPLATE_MIGRATOR, TEMPLATE_PASSWORD, template_name(NEW_TEMPLATE), (TEMPLATE_OWNER,)),
        ]
        for name, spec in self.specs.items():
            tenant = self.tenant(name)
            passwords = {"migrator": spec.migrator_password, spec.login: spec.app_password}
            for kind in (kind for kind in LOGINS if kind in tenant.roles):
                password = passwords.get(kind) or self.replaced.get((name, kind), "")
                home = (
                    tenant.place
                    if tenant.let_in and Right(tenant.roles[kind], "", "attribute", "", "LOGIN") in allowed(tenant)
                    else ""
                )
                also = [*groups(tenant, kind), *(["pg_database_owner"] if kind == "migrator" else [])]
                found.append(
                    Login(tenant.roles[kind], password, home, tuple(also), str(spec.tenant_id), tenant.migrated)
                )
        return found

    def names(self) -> dict[str, str]:
        """Roles and databases of the two tenants that stay as they are, for statements."""
        pair = {name: self.specs[name] for name in ("ours", "theirs")}
        roles = {
            f"{name}_{kind}": role for name, spec in pair.items() for kind, role in role_names(spec.tenant_id).items()
        }
        return roles | {name: spec.database for name, spec in pair.items()}

    def login(self, name: str, kind: str) -> Login:
        """One tenant's way in as `app` or `migrator`."""
        role = role_names(self.specs[name].tenant_id)[kind]
        return next(login for login in self.logins() if login.role == role)

    def roles(self) -> list[str]:
        """Every role of a tenant, the registry's reader, and the templates' two."""
        tenants, there = [], self._there()
        for spec in self.specs.values():
            tenants += [role for role in role_names(spec.tenant_id).values() if role in there]
        return [
            *tenants,
            self.rig.reader,
            TEMPLATE_OWNER,
            TEMPLATE_MIGRATOR,
        ]

    def some_of_each(self, login: Login) -> list[str]:
        """The login's own company, another tenant's, and those that belong to nobody."""
        own = [role for role in self.roles() if role.startswith(login.role.rpartition("_")[0])]
        other = next(name for name in ("theirs", "ours") if str(self.specs[name].tenant_id) != login.tenant)
        others = self._there().intersection(role_names(self.specs[other].tenant_id).values())
        nobodys = [self.rig.reader, TEMPLATE_OWNER, TEMPLATE_MIGRATOR, STRANGER, self.server.admin.username, "postgres"]
        return sorted({*own, *others, *nobodys})

    def allowed(self) -> set[Right]:
        """What all of them together may do, and nothing else."""
        found: set[Right] = set()
        for name in self.specs:
            found |= allowed(self.tenant(name))
        return found | self._readers() | self._templates()

    def _readers(self) -> set[Right]:
        reader, place = self.rig.reader, self.rig.dbname
        return {
            *(Right(reader, "", "attribute", "", word) for word in ("LOGIN", "INHERIT")),
            Right(reader, "", "database", place, "CONNECT"),
            Right(reader, place, "schema", "public", "USAGE"),
            *(
                Right(reader, place, "table", f"public.{table}", "SELECT")
                for table in ("tenants", "tenant_hosts", "dropped_tenants")
            ),
        }

    def _templates(self) -> set[Right]:
        owner, migrator = TEMPLATE_OWNER, TEMPLATE_MIGRATOR
        templates = [name for name in self.server.databases() if name.startswith(TEMPLATE_PREFIX)]
        places = [*templates, self.specs["half"].database]
        return {
            Right(owner, "", "attribute", "", "INHERIT"),
            Right(migrator, "", "attribute", "", "LOGIN"),
            Right(migrator, "", "role", owner, "MEMBER"),
            Right(migrator, "", "database", template_name(NEW_TEMPLATE), "CONNECT"),
            *(right for place in places for right in may_own(owner, place)),
        }

    def held(self) -> tuple[set[Right], set[Right]]:
        """What they hold beyond PUBLIC, and what PUBLIC holds."""
        found, public = read_rights(self.server, self.roles(), NOBODY)
        return found, public
