"""Pure decisions at the edge: hosts, callers, bodies, settings, tokens' payloads, redirects, validation messages."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import BaseRoute, Match, Route

from hoa_app.api import split_validation_error
from hoa_app.identity.bodies import form_field
from hoa_app.identity.passwords import complaint
from hoa_app.identity.roles import INVITABLE, PERMISSIONS
from hoa_app.identity.tokens import ForeignTokenError, TokenError, Verifier, key_id, mint
from hoa_app.problems import Problem
from hoa_app.routing import MATCHED, RouteIndex
from hoa_app.settings import Settings, SettingsError
from hoa_app.tenancy.bodies import PLAIN_BYTES, Body, Intake
from hoa_app.tenancy.facts import read_cookie
from hoa_app.tenancy.hosts import caller, normalize_host
from hoa_app.tenancy.pace import Pace, burst_of
from hoa_app.tenancy.tenant import Database, KeyRing, SigningKey, Tenant
from hoa_app.web import safe_next

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{1,8}){1,3}", fullmatch=True)


def tenant(number: int = 1, kid: str = "k1") -> Tenant:
    slug = f"t{number}"
    database = Database("db.example", 5432, slug, slug, password="do not show")
    keys = KeyRing((SigningKey(kid, bytes([number]) * 32),))
    return Tenant(UUID(int=number), slug, (f"{slug}.example",), slug, "Active", "small", database, keys)


class TestHosts:
    @given(NAMES, st.integers(0, 65535))
    def test_spellings_of_one_name(self, name: str, port: int) -> None:
        assert normalize_host(name.upper()) == normalize_host(f"{name}.:{port}") == normalize_host(f"{name}:") == name

    @given(st.text(max_size=40))
    def test_nothing_surprises(self, raw: str) -> None:
        found = normalize_host(raw)
        assert found is None or (found == found.lower() and ":" not in found)

    @pytest.mark.parametrize("raw", ["", ".", ":80", "[::1]:80", "a:b", "a:80:90", "é.example", "x" * 254])
    def test_what_is_no_name(self, raw: str) -> None:
        assert normalize_host(raw) is None


class TestCaller:
    @pytest.mark.parametrize(
        ("peer", "forwarded", "ip", "inside"),
        [
            ("203.0.113.5", "", "203.0.113.5", False),
            ("203.0.113.5", "10.0.0.1", "203.0.113.5", False),
            ("10.0.0.1", "", "10.0.0.1", True),
            ("10.0.0.1", "203.0.113.5", "203.0.113.5", False),
            ("10.0.0.1", "1.2.3.4, 203.0.113.5", "203.0.113.5", False),
            ("10.0.0.1", "203.0.113.5, 10.9.9.9", "203.0.113.5", False),
            ("10.0.0.1", "10.1.1.1", "10.1.1.1", False),
            ("10.0.0.1", "10.6.6.6, 10.1.1.1", "10.1.1.1", False),
            ("fd00::1", "2001:db8::1", "2001:db8::1", False),
            ("unix", "1.2.3.4", "unix", False),
        ],
    )
    def test_who(self, peer: str, forwarded: str, ip: str, inside: bool) -> None:
        found = caller(peer, "http", forwarded, "", PROXIES)
        assert (found.ip, found.inside) == (ip, inside)

    def test_scheme_counts_from_a_proxy_only(self) -> None:
        assert caller("10.0.0.1", "http", "1.2.3.4", "https", PROXIES).scheme == "https"
        assert caller("1.2.3.4", "http", "", "https", PROXIES).scheme == "http"
        assert caller("10.0.0.1", "http", "1.2.3.4", "gopher", PROXIES).scheme == "http"


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"a=1&csrf_token=abc&b=2", "application/x-www-form-urlencoded"),
            (
                b'--B\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\nabc\r\n--B--\r\n',
                "multipart/form-data; boundary=B",
            ),
            (
                b'--B\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\nabc\r\n'
                b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\ncut off',
                'multipart/form-data; boundary="B"',
            ),
        ],
    )
    def test_found(self, body: bytes, kind: str) -> None:
        assert form_field(body, kind, "csrf_token") == "abc"

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"csrf_token=abc", "text/plain"),
            (b"csrf_token=abc", "multipart/form-data"),
            (b'{"csrf_token": "abc"}', "application/json"),
            (
                b'--B\r\nContent-Disposition: form-data; name="csrf_token"; filename="x"\r\n\r\nabc\r\n--B--\r\n',
                "multipart/form-data; boundary=B",
            ),
            (
                b'--B\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\nabc',
                "multipart/form-data; boundary=B",
            ),
        ],
    )
    def test_not_found(self, body: bytes, kind: str) -> None:
        assert form_field(body, kind, "csrf_token") == ""

    @given(st.lists(st.binary(max_size=PLAIN_BYTES), max_size=6))
    async def test_beginning_loses_nothing(self, pieces: list[bytes]) -> None:
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages.append({"type": "http.request", "body": b"end", "more_body": False})
        source = iter(messages)

        async def receive() -> dict[str, object]:
            return next(source)

        intake = Intake(10**7)
        body = Body(receive, 10**7, "", intake, UUID(int=1))
        await body.begin()
        whole = b"".join(pieces) + b"end"
        assert whole.startswith(body.start)
        assert len(body.start) >= min(len(whole), PLAIN_BYTES)
        assert [await body.receive() for _ in messages] == messages
        assert intake.total == len(whole)
        body.done()
        assert intake.total == 0

    def test_a_declared_length_is_believed(self) -> None:
        async def receive() -> dict[str, object]:
            raise AssertionError

        with pytest.raises(Problem, match="413"):
            Body(receive, 100, "101", Intake(100), UUID(int=1))

    def test_one_tenant_gets_half_of_the_room(self) -> None:
        intake, one, other, third = Intake(10, room=100), UUID(int=1), UUID(int=2), UUID(int=3)
        intake.take(one, 50)
        with pytest.raises(Problem, match="503") as caught:
            intake.take(one, 1)
        assert caught.value.headers["Retry-After"]
        intake.take(other, 50)
        with pytest.raises(Problem, match="503"):
            intake.take(third, 1)
        intake.give(one, 50)
        intake.take(third, 1)


class TestTokens:
    def test_good_for_its_tenant(self) -> None:
        verifier, one = Verifier(), tenant()
        minted = mint(one, "session", 4_102_444_800)
        for _ in range(2):
            assert verifier.verify(one, minted.token).token_hash == minted.token_hash

    def test_foreign_even_with_the_same_key_id(self) -> None:
        minted = mint(tenant(1), "session", 4_102_444_800)
        with pytest.raises(ForeignTokenError):
            Verifier().verify(tenant(2, "k2"), minted.token)
        with pytest.raises(TokenError):
            Verifier().verify(tenant(2, "k1"), minted.token)

    @pytest.mark.parametrize(
        "header", [{"crit": 1}, {"crit": ["x"]}, {"crit": None}, {"b64": 1}, {"alg": ["HS256"]}, {"alg": 1}]
    )
    def test_a_strange_header_is_no_token(self, header: dict[str, object]) -> None:
        one = tenant()
        _, payload, signature = mint(one, "session", 4_102_444_800).token.split(".")
        fields = {"alg": "HS256", "kid": "k1", **header}
        head = urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
        with pytest.raises(TokenError):
            Verifier().verify(one, f"{head}.{payload}.{signature}")

    def test_expired(self) -> None:
        verifier, one = Verifier(), tenant()
        with pytest.raises(TokenError, match="expired"):
            verifier.verify(one, mint(one, "session", 1_000_000_000).token)

    def test_a_changed_character_spoils_it(self) -> None:
        one = tenant()
        head, payload, signature = mint(one, "api", 4_102_444_800).token.split(".")
        swapped = "A" if payload[10] != "A" else "B"
        with pytest.raises(TokenError):
            Verifier().verify(one, f"{head}.{payload[:10]}{swapped}{payload[11:]}.{signature}")

    @given(st.text(max_size=60))
    def test_what_is_no_token(self, text: str) -> None:
        with pytest.raises(TokenError):
            Verifier().verify(tenant(), text)
        assert isinstance(key_id(text), str)


class TestSettings:
    BASE = {"HOA_REGISTRY_DIR": "/r", "HOA_SEALING_KEYS_FILE": "/k"}

    def test_defaults(self) -> None:
        settings = Settings.from_env(self.BASE)
        assert (settings.registry_dir, settings.secure, settings.port_suffix) == (Path("/r"), False, "")

    def test_links_name_the_port_they_need(self) -> None:
        assert Settings.from_env({**self.BASE, "HOA_URL_PORT": "8080"}).port_suffix == ":8080"
        assert Settings.from_env({**self.BASE, "HOA_URL_PORT": "443", "HOA_URL_SCHEME": "https"}).port_suffix == ""

    def test_a_log_level_may_be_written_either_way(self) -> None:
        assert {Settings.from_env({**self.BASE, "HOA_LOG_LEVEL": text}).log_level for text in ("debug", "DEBUG")} == {
            "debug"
        }

    def test_mail(self) -> None:
        mail = Settings.from_env({**self.BASE, "HOA_SMTP_URL": "smtps://us%40er@mail.example"}).mail
        assert (mail.host, mail.port, mail.username, mail.implicit_tls) == ("mail.example", 465, "us@er", True)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("HOA_REGISTRY_DIR", ""),
            ("HOA_URL_SCHEME", "ftp"),
            ("HOA_PORT", "http"),
            ("HOA_PORT", "70000"),
            ("HOA_POOL_MAX_TOTAL", "0"),
            ("HOA_POOL_IDLE_SECONDS", "soon"),
            ("HOA_TRUSTED_PROXIES", "10.0.0.1/8"),
            ("HOA_SMTP_URL", "mail.example:25"),
            ("HOA_SMTP_URL", "smtp://user:secret@mail.example"),
            ("HOA_LOG_LEVEL", "loud"),
        ],
    )
    def test_mistakes_name_the_variable(self, name: str, value: str) -> None:
        with pytest.raises(SettingsError, match=name) as caught:
            Settings.from_env({**self.BASE, name: value})
        assert "secret" not in str(caught.value)


class TestSmallThings:
    def test_secrets_do_not_show(self) -> None:
        shown = repr(tenant())
        assert "do not show" not in shown
        assert "secret=" not in shown

    @given(st.text(max_size=30))
    def test_next_never_leaves(self, value: str) -> None:
        found = safe_next(value)
        assert found.startswith("/")
        assert not found.startswith(("//", "/\\"))
        assert "\\" not in found

    def test_validation_messages(self) -> None:
        assert split_validation_error("Expected `int` - at `$.units[3].label`") == ("Expected `int`", "/units/3/label")
        assert split_validation_error("Object missing required field `a`") == ("Object missing required field `a`", "")

    def test_passwords(self) -> None:
        assert complaint("four words in a row") is None
        assert complaint("short") is not None
        assert complaint("x" * 300) is not None
        assert complaint("aaaaaaaaaaaaaaaa") is not None
        assert complaint("someone@example.test", "Someone@Example.test") is not None

    def test_macs_are_separated_by_purpose_and_key(self) -> None:
        keys = tenant().keys
        assert keys.mac_matches("csrf", "m", keys.mac("csrf", "m"))
        assert not keys.mac_matches("flash", "m", keys.mac("csrf", "m"))
        assert not tenant(2).keys.mac_matches("csrf", "m", keys.mac("csrf", "m"))
        assert not keys.mac_matches("csrf", "m", "\udcff")

    def test_nobody_invites_to_more_than_they_are(self) -> None:
        for role, offered in INVITABLE.items():
            assert all(PERMISSIONS[one] <= PERMISSIONS[role] | {"home:read"} for one in offered)

    def test_cookies(self) -> None:
        assert read_cookie("a=1; hoa_session=x; b=2", "hoa_session") == "x"
        assert read_cookie("xhoa_session=evil", "hoa_session") == ""
        assert read_cookie("hoa_session=planted under /people; hoa_session=ours", "hoa_session") == "ours"


class TestPace:
    """Token buckets, by a clock that is told the time."""

    def test_a_rush_is_let_in_up_to_its_burst_and_then_at_its_rate(self) -> None:
        now = [1000.0]
        pace = Pace(lambda: now[0])
        assert sum(pace.take("t", 200) for _ in range(120)) == 40
        assert pace.take("other", 200)
        now[0] += 0.125
        assert sum(pace.take("t", 200) for _ in range(120)) == 25
        now[0] += 3600
        assert sum(pace.take("t", 200) for _ in range(120)) == 40

    def test_a_smaller_tier_has_a_burst_of_people_too(self) -> None:
        assert [burst_of(rate) for rate in (1, 5, 20, 30, 50, 250)] == [1, 5, 20, 20, 20, 50]

    def test_another_tier_counts_at_once(self) -> None:
        now = [1000.0]
        pace = Pace(lambda: now[0])
        assert sum(pace.take("t", 250) for _ in range(40)) == 40
        assert sum(pace.take("t", 5) for _ in range(100)) == 5
        now[0] += 1
        assert sum(pace.take("t", 250) for _ in range(200)) == 50

    @given(st.lists(st.floats(0, 0.3), min_size=1, max_size=200), st.integers(1, 60))
    def test_never_more_than_the_burst_and_what_came_since(self, gaps: list[float], rate: int) -> None:
        now = [5.0]
        pace = Pace(lambda: now[0])
        taken = []
        for gap in gaps:
            now[0] += gap
            if pace.take("t", rate):
                taken.append(now[0])
        for first, at in enumerate(taken):
            for count, until in enumerate(taken[first:], 1):
                assert count <= burst_of(rate) + (until - at) * rate + 1e-6


class TestRouteIndex:
    """The index finds what going through all the routes would find."""

    PATHS = ("/", "/people", "/people/new", "/people/{id:uuid}", "/people/{id:uuid}/edit", "/{token}", "/a/{b}/c/{d}")

    @staticmethod
    async def endpoint(_request: object) -> None:
        """Never run here."""

    def routes(self) -> list[BaseRoute]:
        return [Route(path, self.endpoint, methods=[method]) for path in self.PATHS for method in ("GET", "POST")]

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/people",
            "/people/",
            "/people/new",
            f"/people/{UUID(int=1)}",
            f"/people/{UUID(int=1)}/edit",
            "/x",
            "/a/1/c/2",
            "/a/1/c",
            "/people/x/y",
            "//",
            "",
        ],
    )
    def test_the_same(self, method: str, path: str) -> None:
        scope = {"type": "http", "method": method, "path": path, "root_path": ""}
        routes = self.routes()
        match, found = RouteIndex(routes).matches(dict(scope))
        each = [(route, *route.matches(dict(scope))) for route in routes]
        full = [(route, child) for route, one, child in each if one is Match.FULL]
        partial = [route for route, one, _ in each if one is Match.PARTIAL]
        if full:
            assert (match, found[MATCHED]) == (Match.FULL, full[0][0])
            assert found["path_params"] == full[0][1]["path_params"]
        else:
            assert match is (Match.PARTIAL if partial else Match.NONE)
