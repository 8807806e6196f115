"""The JSON API of the spine: roles and permissions, problems, the OpenAPI document; and the audit log behind it."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from PIL import Image

from hoa_app.audit import audit
from hoa_app.db.session import TenantDatabase
from hoa_app.identity.roles import PERMISSIONS, Role
from tests.contract.app.browser import add_user

if TYPE_CHECKING:
    import httpx

    from tests.contract.app.browser import Site
    from tests.contract.app.platform import MadeTenant


class TestRoles:
    """What a role may do, asked over HTTP."""

    @pytest.mark.parametrize("role", list(Role))
    async def test_me(self, site: Site, seabreeze: MadeTenant, role: Role) -> None:
        program = await site.program(seabreeze, add_user(seabreeze, role.value))
        me = (await program.get("/api/v1/me")).json()
        assert me["role"] == role.value
        assert set(me["permissions"]) == PERMISSIONS[role]
        assert me["tenantId"] == str(seabreeze.id)

    @pytest.mark.parametrize(
        ("role", "status"), [(Role.OWNER, 200), (Role.MANAGER, 200), (Role.BOARD, 403), (Role.HOMEOWNER, 403)]
    )
    async def test_a_missing_permission_is_403(
        self, site: Site, seabreeze: MadeTenant, role: Role, status: int
    ) -> None:
        program = await site.program(seabreeze, add_user(seabreeze, role.value))
        assert (await program.get("/api/v1/users")).status_code == status

    async def test_nobody_is_401(self, site: Site, seabreeze: MadeTenant) -> None:
        answer = await site.client(seabreeze.host).get("/api/v1/users")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        problem = answer.json()
        assert (problem["status"], problem["title"]) == (401, "Not signed in")
        assert problem["instance"] == f"urn:hoaconnect:request:{answer.headers['x-request-id']}"

    async def test_a_foreign_user_is_404(self, site: Site, seabreeze: MadeTenant, pinnacle: MadeTenant) -> None:
        there = await site.program(pinnacle, add_user(pinnacle, "owner"))
        theirs = (await there.get("/api/v1/me")).json()["id"]
        here = await site.program(seabreeze, add_user(seabreeze, "owner"))
        for unknown in (theirs, str(uuid4())):
            answer = await here.get(f"/api/v1/users/{unknown}")
            assert answer.status_code == 404
            assert answer.json()["title"] == "Not found"
        assert (await here.get("/api/v1/users/not-an-id")).status_code == 404

    async def test_there_is_always_an_owner(self, site: Site, seabreeze: MadeTenant) -> None:
        program = await site.program(seabreeze, add_user(seabreeze, "owner"))
        with seabreeze.as_admin() as connection:
            connection.execute(
                "UPDATE users SET role = 'board' WHERE role = 'owner' AND email <> 'owner@seabreeze.example'"
            )
        me = (await program.get("/api/v1/me")).json()["id"]
        for change in ({"role": "manager"}, {"disabled": True}):
            answer = await program.patch(f"/api/v1/users/{me}", json=change)
            assert (answer.status_code, answer.json()["title"]) == (409, "An owner is needed")

    async def test_two_owners_cannot_remove_each_other(self, site: Site, seabreeze: MadeTenant) -> None:
        with seabreeze.as_admin() as connection:
            connection.execute("UPDATE users SET role = 'board' WHERE role = 'owner'")
            connection.execute("UPDATE users SET role = 'owner' WHERE email = 'owner@seabreeze.example'")
        add_user(seabreeze, "owner")
        second = add_user(seabreeze, "owner", "second@seabreeze.example")
        with seabreeze.as_admin() as connection:
            connection.execute("UPDATE users SET role = 'owner' WHERE email = %s", (second,))
        programs = [await site.program(seabreeze, email) for email in ("owner@seabreeze.example", second)]
        ids = [(await program.get("/api/v1/me")).json()["id"] for program in programs]
        answers = await asyncio.gather(
            programs[0].patch(f"/api/v1/users/{ids[1]}", json={"role": "board"}),
            programs[1].patch(f"/api/v1/users/{ids[0]}", json={"role": "board"}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        with seabreeze.as_admin() as connection:
            connection.execute("UPDATE users SET role = 'owner' WHERE email = 'owner@seabreeze.example'")

    async def test_invitations(self, site: Site, seabreeze: MadeTenant) -> None:
        manager = await site.program(seabreeze, add_user(seabreeze, "manager"))
        body = {"email": f"{uuid4().hex}@new.example", "name": "New One", "role": "board"}
        made = await manager.post("/api/v1/invitations", json=body)
        assert made.status_code == 201
        listed = (await manager.get("/api/v1/invitations")).json()["items"]
        assert made.json()["id"] in [one["id"] for one in listed]
        assert (await manager.post("/api/v1/invitations", json={**body, "role": "owner"})).status_code == 403
        assert (await manager.post("/api/v1/invitations", json={**body, "email": "x"})).status_code == 422
        known = await manager.post("/api/v1/invitations", json={**body, "email": "Manager@Seabreeze.example"})
        assert known.status_code == 409
        assert (await manager.delete(f"/api/v1/invitations/{made.json()['id']}")).status_code == 204
        assert (await manager.delete(f"/api/v1/invitations/{made.json()['id']}")).status_code == 404


class TestInvitingAgain:
    """One address, one open invitation, whoever clicks how often."""

    async def test_clicks_at_once_are_one_invitation_and_one_mail(self, site: Site, seabreeze: MadeTenant) -> None:
        manager = await site.program(seabreeze, add_user(seabreeze, "manager"))
        body = {"email": f"{uuid4().hex}@new.example", "name": "New One", "role": "board"}
        answers = await asyncio.gather(*(manager.post("/api/v1/invitations", json=body) for _ in range(5)))
        assert [answer.status_code for answer in answers] == [201] * 5
        (made,) = {answer.json()["id"] for answer in answers}
        assert self.mails(seabreeze, body["email"]) == 1
        other = (await manager.post("/api/v1/invitations", json={**body, "role": "homeowner"})).json()
        assert other["id"] != made
        assert self.mails(seabreeze, body["email"]) == 2

    async def test_once_its_mail_has_left_it_is_sent_again(self, site: Site, seabreeze: MadeTenant) -> None:
        manager = await site.program(seabreeze, add_user(seabreeze, "manager"))
        body = {"email": f"{uuid4().hex}@new.example", "name": "New One", "role": "board"}
        first = (await manager.post("/api/v1/invitations", json=body)).json()["id"]
        with seabreeze.as_admin() as connection:
            connection.execute("UPDATE invitations SET sent_at = now() WHERE id = %s", (first,))
        second = (await manager.post("/api/v1/invitations", json=body)).json()["id"]
        with seabreeze.as_admin() as connection:
            connection.execute("UPDATE outbox SET state = 'dead' WHERE dedupe_key = 'invitation:' || %s", (second,))
        third = (await manager.post("/api/v1/invitations", json=body)).json()["id"]
        assert len({first, second, third}) == 3
        assert self.mails(seabreeze, body["email"]) == 3

    async def test_a_manager_leaves_an_owners_invitation_alone(self, site: Site, seabreeze: MadeTenant) -> None:
        owner = await site.program(seabreeze, add_user(seabreeze, "owner"))
        manager = await site.program(seabreeze, add_user(seabreeze, "manager"))
        body = {"email": f"{uuid4().hex}@new.example", "name": "Next Owner", "role": "owner"}
        made = (await owner.post("/api/v1/invitations", json=body)).json()["id"]
        lowered = {**body, "email": body["email"].upper(), "role": "homeowner"}
        answer = await manager.post("/api/v1/invitations", json=lowered)
        assert answer.status_code == 409
        assert "Only an owner can change" in answer.json()["detail"]
        listed = (await owner.get("/api/v1/invitations")).json()["items"]
        assert [one["role"] for one in listed if one["id"] == made] == ["owner"]
        with seabreeze.as_admin() as connection:
            connection.execute("UPDATE invitations SET expires_at = now() WHERE id = %s", (made,))
        assert (await manager.post("/api/v1/invitations", json=lowered)).status_code == 201

    @staticmethod
    def mails(tenant: MadeTenant, email: str) -> int:
        with tenant.as_admin() as connection:
            row = connection.execute(
                "SELECT count(*) FROM outbox o JOIN invitations i ON o.dedupe_key = 'invitation:' || i.id"
                " WHERE i.email = %s",
                (email,),
            ).fetchone()
        assert row is not None
        found: int = row[0]
        return found


class TestProblems:
    """What is wrong, where, and nothing about the inside."""

    @pytest.mark.parametrize(
        ("content", "status", "pointer"),
        [
            (b"", 400, None),
            (b"{", 400, None),
            (b"\xff", 400, None),
            (b"[]", 422, ""),
            (b'{"email": "a@b.example"}', 422, ""),
            (b'{"email": 1, "password": "x"}', 422, "/email"),
        ],
    )
    async def test_bodies(
        self, site: Site, seabreeze: MadeTenant, content: bytes, status: int, pointer: str | None
    ) -> None:
        answer = await site.client(seabreeze.host).post("/api/v1/session", content=content)
        assert answer.status_code == status
        assert [one.get("pointer") for one in answer.json().get("errors", [])] == ([] if pointer is None else [pointer])

    @pytest.mark.parametrize(
        ("path", "where"),
        [
            ("/api/v1/people?q=%00", {"parameter": "q"}),
            ("/api/v1/users?after=a%07", {"parameter": "after"}),
            ("/people?q=%00", None),
        ],
    )
    async def test_control_characters_in_a_query(
        self, site: Site, seabreeze: MadeTenant, path: str, where: dict[str, str] | None
    ) -> None:
        owner = await site.program(seabreeze, add_user(seabreeze, "owner"))
        answer = await owner.get(path, headers={"accept": "application/json"})
        assert (answer.status_code, answer.json()["title"]) == (422, "Some values are not acceptable")
        if where:
            (error,) = answer.json()["errors"]
            assert where.items() <= error.items()

    @pytest.mark.parametrize(
        ("path", "body", "pointer"),
        [
            ("/session", {"email": "a\0@b.example", "password": "x"}, "/email"),
            ("/invitations", {"email": "a@b.example", "name": "a\x1bb", "role": "board"}, "/name"),
            ("/tokens", {"name": "a\x7fb"}, "/name"),
        ],
    )
    async def test_control_characters_in_a_body(
        self, site: Site, seabreeze: MadeTenant, path: str, body: dict[str, str], pointer: str
    ) -> None:
        owner = await site.program(seabreeze, add_user(seabreeze, "owner"))
        answer = await owner.post(f"/api/v1{path}", json=body)
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]

    async def test_what_looks_like_an_escape_is_text(self, site: Site, seabreeze: MadeTenant) -> None:
        owner = await site.program(seabreeze, add_user(seabreeze, "owner"))
        answer = await owner.post("/api/v1/tokens", json={"name": 'C:\\u0000, a "quote", a\ttab'})
        assert answer.status_code == 201
        assert (await owner.delete(f"/api/v1/tokens/{answer.json()['id']}")).status_code == 204

    @pytest.mark.parametrize(
        ("page", "action", "data"),
        [
            ("/sign-in", "/sign-in", {"email": "a\0@b.example", "password": "x"}),
            ("/forgot-password", "/forgot-password", {"email": "a\0@b.example"}),
        ],
    )
    async def test_control_characters_in_a_form(
        self, site: Site, seabreeze: MadeTenant, page: str, action: str, data: dict[str, str]
    ) -> None:
        answer = await site.browser(seabreeze).post(action, data, page=page)
        assert (answer.status_code, "control character" in answer.text) == (422, True)

    async def test_numbers_longer_than_any_number(self, site: Site, seabreeze: MadeTenant) -> None:
        browser = await site.signed_in(seabreeze, add_user(seabreeze, "owner"))
        form = {"token_name": "x", "token_days": "9" * 5000}
        answer = await browser.post("/account/tokens", form, page="/account")
        assert answer.status_code == 422

    async def test_query(self, site: Site, seabreeze: MadeTenant) -> None:
        program = await site.program(seabreeze, add_user(seabreeze, "owner"))
        answer = await program.get("/api/v1/users?limit=many")
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == "limit"

    async def test_methods_and_paths(self, site: Site, seabreeze: MadeTenant) -> None:
        client = site.client(seabreeze.host)
        wrong = await client.put("/api/v1/session", json={})
        assert (wrong.status_code, wrong.headers["content-type"]) == (405, "application/problem+json")
        assert wrong.headers["allow"] == "DELETE, POST"
        assert (await client.get("/api/v1/nowhere")).json()["status"] == 404
        page = await site.browser(seabreeze).get("/nowhere")
        assert page.status_code == 404
        assert "Seabreeze Management" in page.text

    async def test_pages(self, site: Site, seabreeze: MadeTenant) -> None:
        emails = [add_user(seabreeze, "homeowner", f"page-{n}@seabreeze.example") for n in range(5)]
        program = await site.program(seabreeze, add_user(seabreeze, "owner"))
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            page = (await program.get("/api/v1/users", params={"limit": 2, "after": after})).json()
            assert len(page["items"]) <= 2
            seen += [one["email"] for one in page["items"]]
            after = page["next"]
        assert seen == sorted(set(seen), key=str.lower)
        assert set(emails) <= set(seen)


async def test_the_openapi_document(site: Site, seabreeze: MadeTenant) -> None:
    document: dict[str, Any] = (await site.client(seabreeze.host).get("/api/v1/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()
    served = {
        (method, route.path)
        for route in site.app.routes[0].routes
        if route.path.startswith("/api/v1/") and route.path != "/api/v1/openapi.json"
        for method in route.methods - {"HEAD"}
    }
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert len(served) == len(described)
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))


async def test_the_openapi_document_says_what_is_answered(site: Site, seabreeze: MadeTenant) -> None:
    owner = await site.program(seabreeze, add_user(seabreeze, "owner"))
    paths = (await owner.get("/api/v1/openapi.json")).json()["paths"]

    async def call(method: str, path: str, described: str = "", **sent: Any) -> httpx.Response:
        answer = await owner.request(method, f"/api/v1{path}", **sent)
        operation = paths[f"/api/v1{described or path.partition('?')[0]}"][method.lower()]
        kind = answer.headers.get("content-type", "").partition(";")[0]
        told = operation["responses"].get(str(answer.status_code), {})
        assert told, f"{method} {path} answered {answer.status_code}: {answer.text[:200]}"
        assert kind in told["content"] if "content" in told else not answer.content
        body = operation.get("requestBody", {}).get("content", {})
        given = answer.request.headers.get("content-type", "")
        assert given in body if answer.request.content else not body, f"{method} {path} takes {list(body)}"
        return answer

    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    filed = (
        await call("POST", "/requests", json={"category": "Question", "title": "A question", "description": "Why?"})
    ).json()
    photos = f"/requests/{filed['id']}/photos"
    png: dict[str, Any] = {"content": picture.getvalue(), "headers": {"content-type": "image/png"}}
    photo = (await call("POST", f"{photos}?filename=a.png", "/requests/{id}/photos", **png)).json()
    await call("GET", f"{photos}/{photo['id']}", "/requests/{id}/photos/{photo}")
    csv: dict[str, Any] = {"content": b"community,unit,name\nHarbor,1,Ana\n", "headers": {"content-type": "text/csv"}}
    await call("POST", "/imports?filename=a.csv", **csv)
    await call("GET", "/me")
    token = (await call("POST", "/tokens", json={"name": "x"})).json()
    await call("DELETE", f"/tokens/{token['id']}", "/tokens/{id}")
    await call("GET", "/requests?limit=1")
    await call("GET", "/users?limit=1")


class TestAudit:
    """Rows are added, chained and never changed."""

    async def write(self, site: Site, tenant: MadeTenant, number: int) -> None:
        known = site.services.registry.get(tenant.id)
        assert known is not None
        async with TenantDatabase(site.services.pools, known).transaction() as tx:
            for step in range(number):
                await audit(tx, None, "tests.ran", "test", str(step), {"step": step})

    async def test_the_chain_holds_under_concurrency(self, site: Site, pinnacle: MadeTenant) -> None:
        await asyncio.gather(*(self.write(site, pinnacle, 5) for _ in range(8)))
        with pinnacle.as_app() as connection:
            rows = connection.execute("SELECT sequence FROM audit_log ORDER BY sequence").fetchall()
            assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
            assert len(rows) >= 40
            assert connection.execute("SELECT audit_log_break()").fetchone() == (None,)

    async def test_tampering_shows(self, platform: Any, site: Site) -> None:
        tenant = platform.make_tenant("tampered")
        with tenant.as_app() as connection:
            for step in range(4):
                connection.execute(
                    "INSERT INTO audit_log (actor_label, action, subject_type, detail) VALUES ('a', 'b', 'c', %s::jsonb)",
                    (f'{{"step": {step}}}',),
                )
        with tenant.as_admin() as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DELETE FROM audit_log")
            connection.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only")
            connection.execute("UPDATE audit_log SET actor_label = 'someone else' WHERE sequence = 3")
            assert connection.execute("SELECT audit_log_break()").fetchone() == (3,)
            connection.execute("UPDATE audit_log SET hash = audit_row_hash(audit_log) WHERE sequence = 3")
            assert connection.execute("SELECT audit_log_break()").fetchone() == (4,)
            connection.execute("DELETE FROM audit_log WHERE sequence = 3")
            assert connection.execute("SELECT audit_log_break()").fetchone() == (4,)

    async def test_a_client_cannot_choose_its_place(self, seabreeze: MadeTenant) -> None:
        with seabreeze.as_app() as connection:
            row = connection.execute(
                "INSERT INTO audit_log (sequence, at, actor_label, action, subject_type, previous_hash, hash)"
                " VALUES (1, '1999-01-01', 'x', 'y', 'z', '', '') RETURNING sequence > 1, at > now() - interval '1 minute'"
            ).fetchone()
        assert row == (True, True)
