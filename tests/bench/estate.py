"""Hundreds of companies on one Postgres: each database a clone by the operator's code, finished by the migration Job, and
filled by a few statements."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hoa_app.migrations import serving
from tests.bench import register
from tests.bench.lab import SERVING, on_core
from tests.bench.neighbourhood import Neighbourhood, settle
from tests.contract.app.platform import ROOT, Platform
from tests.zygote import Zygote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.bench.lab import Lab
    from tests.contract.app.platform import MadeTenant
    from tests.fix_postgres import PostgresAccess, PostgresServer

#: How many are made at once: Postgres has both cores to do.
AT_ONCE: Final = 4
COMMUNITIES: Final = 4
#: One request for so many homeowners.
HOMEOWNERS_PER_REQUEST: Final = 10
#: What keeps a server from losing anything, and slows it down.
SAFE: Final = ("fsync", "full_page_writes", "synchronous_commit")


@dataclass(frozen=True)
class Builder:
    """Makes companies of one size, all with the same limits."""

    platform: Platform
    jobs: Zygote
    homeowners: int
    limits: Mapping[str, Any]

    def build(self, slug: str) -> Neighbourhood:
        """Make one: roles and database, Job, registry row, homeowners, and one of the staff, who is signed in."""
        tenant = self.platform.new_tenant(slug, **self.limits)
        self.platform.make_database(tenant, template=serving.head())
        self._run_job(tenant)
        self.platform.register(tenant)
        home = settle(tenant, people=self.homeowners, staff=1, communities=COMMUNITIES)
        with tenant.as_admin() as connection:
            connection.execute(register.REQUESTS, {"every": HOMEOWNERS_PER_REQUEST})
            connection.execute("ANALYZE requests")
        return home

    def _run_job(self, tenant: MadeTenant) -> None:
        folder = self.platform.folder
        log, env = folder / f"{tenant.slug}.log", self.platform.job_environment(tenant)
        code = self.jobs.process(tenant.slug, log, env, folder).start().wait(120)
        assert code == 0, log.read_text()


def build(
    access: PostgresAccess, folder: Path, number: int, homeowners: int, limits: Mapping[str, Any]
) -> list[Neighbourhood]:
    """Make so many companies with so many homeowners each."""
    platform = Platform(access, folder)
    platform.make_template()
    jobs = Zygote("hoa_app.migrate", folder, [ROOT / "app"]).start()
    builder = Builder(platform, jobs, homeowners, limits)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(builder.build, (f"company-{place}" for place in range(number))))
    finally:
        jobs.stop()


def filling(lab: Lab) -> PostgresServer:
    """Start a Postgres that may lose what it holds: then it is filled anew."""
    return lab.postgres({**SERVING, **dict.fromkeys(SAFE, "off")})


def serving_from(server: PostgresServer, core: int, connections: int) -> None:
    """Have it end, write everything down, and come back on one core as it would serve, with no more connections than so many."""
    server.process.send(signal.SIGINT)
    server.process.wait(120)
    os.sync()
    safe = [word for name in SAFE for word in ("-c", f"{name}=on")]
    safe += ["-c", f"max_connections={connections}"]
    server.process.command = on_core(core, [*server.process.command, *safe])
    server.start()
