"""The locks between tenants, each on its own, over HTTP with two real tenants: with the others picked, one must still hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
import pytest

from hoa_app.db.session import TenantDatabase
from hoa_app.identity.tokens import audience, issuer, mint
from hoa_app.problems import Problem
from hoa_app.tenancy import tenant as tenants
from hoa_app.tenancy.tenant import KeyRing, SigningKey
from tests.contract.app.browser import HIDDEN, PASSWORD, add_user, eventually
from tests.contract.app.conftest import serving
from tests.contract.app.platform import MadeTenant, new_key

if TYPE_CHECKING:
    from tests.contract.app.browser import Site
    from tests.contract.app.platform import Platform

FOREVER = 4_102_444_800


@pytest.fixture(scope="module")
def owners(seabreeze: MadeTenant, pinnacle: MadeTenant) -> tuple[str, str]:
    """The same address owns both companies, with the same password."""
    for tenant in (seabreeze, pinnacle):
        add_user(tenant, "owner", "both@owner.example")
    return "both@owner.example", PASSWORD


def refusals(site: Site, lock: str, tenant: MadeTenant) -> float:
    return (
        site.services.metrics.registry.get_sample_value(
            "hoa_isolation_refusals_total", {"lock": lock, "tenant_id": str(tenant.id)}
        )
        or 0.0
    )


class TestLock1Host:
    """The host alone decides, exactly."""

    @pytest.mark.parametrize("host", ["SeaBreeze.LOCALHOST", "seabreeze.localhost.", "seabreeze.localhost:8080"])
    async def test_one_name_in_its_spellings(self, site: Site, host: str) -> None:
        answer = await site.client("seabreeze.localhost").get("/sign-in", headers={"host": host})
        assert answer.status_code == 200
        assert "Seabreeze Management" in answer.text

    @pytest.mark.parametrize(
        "host",
        [
            "seabreeze.localhost.evil.example",
            "evil.seabreeze.localhost",
            "seabreeze",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "seabreeze.localhost:port",
            "",
        ],
    )
    async def test_anything_else_is_a_plain_404(self, site: Site, host: str) -> None:
        answer = await site.client("seabreeze.localhost").get("/sign-in", headers={"host": host})
        assert (answer.status_code, answer.text) == (404, "Not Found\n")

    async def test_two_host_headers_are_nobodys(self, site: Site) -> None:
        client = site.client("seabreeze.localhost")
        headers = [("host", "seabreeze.localhost"), ("host", "pinnacle.localhost")]
        assert (await client.get("/sign-in", headers=headers)).status_code == 404

    async def test_forwarded_host_is_not_a_host(self, site: Site) -> None:
        client = site.client("seabreeze.localhost", **{"x-forwarded-host": "pinnacle.localhost"})
        assert "Seabreeze Management" in (await client.get("/sign-in")).text

    async def test_tenant_header_from_outside_is_refused(self, site: Site, seabreeze: MadeTenant) -> None:
        before = refusals(site, "host", seabreeze)
        client = site.client(seabreeze.host, **{"x-tenant-id": str(seabreeze.id)})
        answer = await client.get("/api/v1/me")
        assert answer.status_code == 400
        assert refusals(site, "host", seabreeze) == before + 1

    async def test_tenant_header_from_inside_must_be_signed_and_agree(
        self, platform: Platform, seabreeze: MadeTenant, pinnacle: MadeTenant, owners: tuple[str, str]
    ) -> None:
        async with serving(platform, HOA_TRUSTED_PROXIES="10.0.0.0/8") as site:
            program = await site.program(seabreeze, owners[0])
            inside = site.client(seabreeze.host, peer="10.1.2.3")
            signed = {"authorization": program.headers["authorization"]}
            own, other = {"x-tenant-id": str(seabreeze.id).upper()}, {"x-tenant-id": str(pinnacle.id)}
            assert (await inside.get("/api/v1/me", headers={**signed, **own})).status_code == 200
            assert (await inside.get("/api/v1/me", headers=own)).status_code == 401
            assert (await inside.get("/api/v1/me", headers={**signed, **other})).status_code == 400
            carried = {"x-forwarded-for": "203.0.113.9"}
            assert (await inside.get("/api/v1/me", headers={**signed, **own, **carried})).status_code == 400


class TestLock2Token:
    """A token is worth something at one tenant only, whoever holds it."""

    async def test_another_tenants_token(
        self, site: Site, seabreeze: MadeTenant, pinnacle: MadeTenant, owners: tuple[str, str]
    ) -> None:
        token = (await site.program(seabreeze, owners[0])).headers["authorization"]
        before = refusals(site, "token", pinnacle)
        answer = await site.client(pinnacle.host).get("/api/v1/me", headers={"authorization": token})
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert refusals(site, "token", pinnacle) == before + 1

    async def test_another_tenants_session_cookie(
        self, site: Site, seabreeze: MadeTenant, pinnacle: MadeTenant, owners: tuple[str, str]
    ) -> None:
        browser = await site.signed_in(seabreeze, owners[0])
        cookie = f"hoa_session={browser.client.cookies['hoa_session']}"
        stranger = site.client(pinnacle.host, accept="text/html", cookie=cookie)
        before = refusals(site, "token", pinnacle), refusals(site, "cookie", pinnacle)
        page = await stranger.get("/account")
        assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2Faccount")
        assert (await stranger.get("/api/v1/me")).status_code == 401
        assert (refusals(site, "token", pinnacle), refusals(site, "cookie", pinnacle)) == (before[0], before[1] + 2)

    async def test_a_browser_forgets_the_cookie_of_who_had_the_domain_before(
        self, site: Site, seabreeze: MadeTenant, pinnacle: MadeTenant, owners: tuple[str, str]
    ) -> None:
        there = await site.signed_in(seabreeze, owners[0])
        browser = site.browser(pinnacle)
        browser.client.cookies.set("hoa_session", there.client.cookies["hoa_session"], domain=pinnacle.host)
        before = refusals(site, "cookie", pinnacle)
        await browser.get("/sign-in")
        assert "hoa_session" not in browser.client.cookies
        assert (await browser.sign_in(owners[0])).status_code == 303
        assert (await browser.get("/account")).status_code == 200
        assert refusals(site, "cookie", pinnacle) == before + 1
        kept = f"hoa_session={there.client.cookies['hoa_session']}; hoa_visit=v"
        form = {"csrf_token": await self._form(site, pinnacle), "email": owners[0], "password": PASSWORD}
        answer = await site.client(pinnacle.host, cookie=kept, accept="text/html").post("/sign-in", data=form)
        assert answer.status_code == 303
        begun = [one for one in answer.headers.get_list("set-cookie") if one.startswith("hoa_session=")]
        assert len(begun) == 1, "who signs in with the old cookie still there stays signed in"
        assert "Max-Age=0" not in begun[0]

    async def _form(self, site: Site, tenant: MadeTenant) -> str:
        page = await site.client(tenant.host, cookie="hoa_visit=v", accept="text/html").get("/sign-in")
        found = HIDDEN.search(page.text)
        assert found
        return found[1]

    async def test_a_token_that_nobody_s_key_signed_is_not_taken_for_anothers(
        self, site: Site, seabreeze: MadeTenant, pinnacle: MadeTenant
    ) -> None:
        """It may be newer than what this pod knows of the keys: the browser keeps it."""
        there = site.services.registry.get(seabreeze.id)
        assert there is not None
        unknown = replace(there, keys=KeyRing((SigningKey("unheard-of", b"k" * 32),)))
        cookie = f"hoa_session={mint(unknown, 'session', FOREVER).token}"
        before = refusals(site, "cookie", pinnacle)
        page = await site.client(pinnacle.host, accept="text/html", cookie=cookie).get("/sign-in")
        assert not [one for one in page.headers.get_list("set-cookie") if one.startswith("hoa_session=")]
        assert refusals(site, "cookie", pinnacle) == before

    @pytest.mark.parametrize("forged", ["tenantId", "iss", "aud"])
    async def test_right_key_wrong_claims(
        self, site: Site, seabreeze: MadeTenant, pinnacle: MadeTenant, owners: tuple[str, str], forged: str
    ) -> None:
        """Even if one tenant's key signed for another, the claims must all name the host's tenant."""
        from joserfc import jwt
        from joserfc.jwk import OctKey

        here, there = (site.services.registry.get(one.id) for one in (seabreeze, pinnacle))
        assert here is not None
        assert there is not None
        claims = {"iss": issuer(here), "aud": audience(here), "tenantId": str(here.id)}
        claims |= {"typ": "session", "jti": "x", "exp": FOREVER}  # type: ignore[dict-item]
        claims[forged] = {"tenantId": str(there.id), "iss": issuer(there), "aud": audience(there)}[forged]
        key = here.keys.signing
        token = jwt.encode({"alg": "HS256", "kid": key.kid}, claims, OctKey.import_key(key.secret))
        answer = await site.client(seabreeze.host).get("/api/v1/me", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "é" * 10, "A" * 5000])
    async def test_what_is_no_token(self, site: Site, seabreeze: MadeTenant, token: str) -> None:
        headers = {b"authorization": f"Bearer {token}".encode()}
        assert (await site.client(seabreeze.host).get("/api/v1/me", headers=headers)).status_code == 401

    async def test_a_signed_token_without_a_row(self, site: Site, seabreeze: MadeTenant) -> None:
        """A stolen key alone opens nothing: the token must also be in the database."""
        tenant = site.services.registry.get(seabreeze.id)
        assert tenant is not None
        minted = mint(tenant, "session", FOREVER)
        headers = {"authorization": f"Bearer {minted.token}"}
        assert (await site.client(seabreeze.host).get("/api/v1/me", headers=headers)).status_code == 401

    async def test_role_is_the_databases_not_the_tokens(self, site: Site, seabreeze: MadeTenant) -> None:
        program = await site.program(seabreeze, add_user(seabreeze, "manager", "demoted@seabreeze.example"))
        assert (await program.get("/api/v1/users")).status_code == 200
        with seabreeze.as_admin() as connection:
            connection.execute("UPDATE users SET role = 'board' WHERE email = 'demoted@seabreeze.example'")
        assert (await program.get("/api/v1/users")).status_code == 403

    async def test_keys_rotate_without_signing_anyone_out(
        self, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tenants, "SIGNS_AFTER", 0.0)
        tenant = platform.make_tenant("rotating")
        add_user(tenant, "owner")
        async with serving(platform) as site:
            before = await site.program(tenant, "owner@rotating.example")
            tenant.keys.insert(0, new_key())
            tenant.update(sealed_signing_keys=platform.seal(json.dumps(tenant.keys)))

            def rotated() -> bool:
                known = site.services.registry.get(tenant.id)
                return known is not None and known.keys.signing.kid == tenant.keys[0]["kid"]

            await eventually(rotated)
            after = await site.program(tenant, "owner@rotating.example")
            assert (await before.get("/api/v1/me")).status_code == 200
            assert (await after.get("/api/v1/me")).status_code == 200
            tenant.keys.pop()
            tenant.update(sealed_signing_keys=platform.seal(json.dumps(tenant.keys)))
            await eventually(lambda: len(site.services.registry.get(tenant.id).keys.keys) == 1)  # type: ignore[union-attr]
            assert (await before.get("/api/v1/me")).status_code == 401
            assert (await after.get("/api/v1/me")).status_code == 200


class TestLock4RowSecurity:
    """Rows of another tenant do not exist, even inside one database and with SQL that asks for them."""

    async def test_rows_of_another_tenant_are_not_there(self, site: Site, seabreeze: MadeTenant) -> None:
        other = uuid4()
        with seabreeze.as_admin() as connection:
            connection.execute(
                "INSERT INTO settings (tenant_id, key, value) VALUES (%s, 'theirs', '1') ON CONFLICT DO NOTHING",
                (other,),
            )
        tenant = site.services.registry.get(seabreeze.id)
        assert tenant is not None
        async with TenantDatabase(site.services.pools, tenant).transaction() as tx:
            rows = await (await tx.execute("SELECT DISTINCT tenant_id FROM settings")).fetchall()
            assert [row["tenant_id"] for row in rows] == [seabreeze.id]
            changed = await tx.execute("UPDATE settings SET value = '2' WHERE tenant_id = %s", (other,))
            assert changed.rowcount == 0

    async def test_rows_cannot_be_written_for_another_tenant(self, site: Site, seabreeze: MadeTenant) -> None:
        tenant = site.services.registry.get(seabreeze.id)
        assert tenant is not None
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with TenantDatabase(site.services.pools, tenant).transaction() as tx:
                await tx.execute("INSERT INTO settings (tenant_id, key, value) VALUES (%s, 'x', '1')", (uuid4(),))

    async def test_no_set_forges_the_tenant(self, seabreeze: MadeTenant, pinnacle: MadeTenant) -> None:
        with seabreeze.as_app() as connection:
            connection.execute("SELECT set_config('app.current_tenant', %s, false)", (str(pinnacle.id),))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT count(*) FROM users")

    async def test_a_role_reaches_its_own_database_only(self, seabreeze: MadeTenant, pinnacle: MadeTenant) -> None:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(seabreeze.dsn("app"), dbname=pinnacle.prefix).close()


class TestLock5Identity:
    """A pool that opens onto the wrong database serves nothing and raises an alarm."""

    async def test_a_registry_row_that_points_elsewhere(
        self, platform: Platform, seabreeze: MadeTenant, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The worst mistake: one tenant's row with another's address, name and password, all of it valid."""
        victim = platform.make_tenant("misdirected")
        victim.update(database=platform.database(seabreeze), sealed_password=platform.seal(seabreeze.app_password))
        async with serving(platform) as site:
            answer = await site.browser(victim).get("/invitation/whatever")
            assert answer.status_code == 503
            assert refusals(site, "database", victim) == 1
            again = await site.browser(victim).get("/invitation/whatever")
            assert again.status_code == 503
            assert (await site.browser(seabreeze).get("/invitation/whatever")).status_code == 404
        assert "database is not this tenant" in capsys.readouterr().out

    async def test_a_database_whose_identity_was_swapped(self, platform: Platform) -> None:
        victim = platform.make_tenant("swapped")
        with victim.as_admin() as connection:
            connection.execute("UPDATE tenant_identity SET tenant_id = %s", (UUID(int=1),))
        async with serving(platform) as site:
            tenant = site.services.registry.get(victim.id)
            assert tenant is not None
            with pytest.raises(Problem) as caught:
                async with TenantDatabase(site.services.pools, tenant).transaction(readonly=True):
                    pytest.fail("a connection was lent")
            assert caught.value.status == 503


class TestLock6Everything:
    """What leaves the database carries the tenant."""

    async def test_object_keys_cannot_leave_the_tenant(
        self, site: Site, seabreeze: MadeTenant, pinnacle: MadeTenant
    ) -> None:
        here, there = (site.services.registry.get(one.id) for one in (seabreeze, pinnacle))
        assert here is not None
        assert there is not None
        storage = site.services.storage
        await storage.put(here, "photos/one", b"ours")
        assert await storage.get(here, "photos/one") == b"ours"
        with pytest.raises(Problem) as caught:
            await storage.get(there, "photos/one")
        assert caught.value.status == 404
        for key in (f"../{here.id}/photos/one", "/photos/one", "a//b", "a/../b", "", "a\x00b", ".hidden"):
            with pytest.raises(ValueError, match="not a plain object key"):
                await storage.get(there, key)

    async def test_metrics_carry_the_tenant_and_the_route(self, site: Site, seabreeze: MadeTenant) -> None:
        await site.browser(seabreeze).get("/invitation/a-secret-token")
        labels = {"method": "GET", "route": "/invitation/{token}", "status_code": "404", "tenant_id": str(seabreeze.id)}
        registry = site.services.metrics.registry
        assert (registry.get_sample_value("http_request_duration_seconds_count", labels) or 0) >= 1
