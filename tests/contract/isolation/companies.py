"""Companies with a canary in every column that holds words, and in every file; and people who can sign in to each."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from psycopg.types.json import Jsonb

from hoa_app.identity.tokens import mint
from hoa_app.tenancy.tenant import Branding, Database, KeyRing, SigningKey, Tenant
from tests.contract.app.browser import HASHED

if TYPE_CHECKING:
    import psycopg

    from tests.contract.app.platform import MadeTenant
    from tests.contract.isolation.canaries import Aviary

DAY = 86_400


@dataclass
class Things:
    """One of everything that a company holds, by kind, and somebody who owns the company: `ids` and `secrets` by name."""

    tag: str
    ids: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    email: str = ""

    def __getitem__(self, kind: str) -> str:
        """Id or secret of that kind."""
        return self.ids.get(kind) or self.secrets[kind]


@dataclass
class Company:
    """A tenant, the canaries planted in it, and as many sets of things as there are routes."""

    made: MadeTenant
    tag: str
    tenant: Tenant
    things: list[Things] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.made.host

    def csrf(self, anchor: str) -> str:
        """The token that forms of this company carry for a session or a visit."""
        return self.tenant.keys.mac("csrf", anchor)


def new_tag() -> str:
    """Eight hex digits, of which a company's slug, id and canaries are made."""
    return secrets.token_hex(4)


def app_tenant(made: MadeTenant) -> Tenant:
    """The tenant as the app would parse it from the registry."""
    from base64 import urlsafe_b64decode

    keys = tuple(SigningKey(key["kid"], urlsafe_b64decode(key["k"] + "==")) for key in made.keys)
    where = Database("", 0, made.prefix, f"{made.prefix}_app", "disable", made.app_password)
    return Tenant(
        id=made.id, slug=made.slug, hosts=(made.host,), display_name="", state="Active", tier="small", database=where,
        keys=KeyRing(keys), branding=Branding(),
    )  # fmt: skip


class Planter:
    """Fills one company through its database, as people at work would have."""

    def __init__(self, company: Company, aviary: Aviary) -> None:
        self.company = company
        self.aviary = aviary
        self.number = 0

    def plant(self, sets: int) -> None:
        """Names in the registry, then so many sets of things."""
        made, mark = self.company.made, self.mark
        made.update(
            display_name=f"{mark('public.display_name')} Management",
            branding={
                "primaryColor": "#123456",
                "supportEmail": f"{mark('public.support_email')}@help.example",
                "logoURL": f"https://logos.example/{mark('public.logo_url')}.svg",
            },
        )
        for key in made.keys:
            self.aviary.keep(self.company.tag, "registry.signing_key", key["k"])
        self.aviary.keep(self.company.tag, "registry.password", made.app_password)
        with made.as_admin() as connection:
            self._once(connection)
            with connection.pipeline():
                for _ in range(sets):
                    self.number += 1
                    self.company.things.append(self.one(connection))

    def mark(self, place: str) -> str:
        return self.aviary.mark(self.company.tag, place)

    def _insert(self, connection: psycopg.Connection[Any], table: str, **values: Any) -> str:
        """One row; every text is the canary of its column, with the set's number behind it. Returns the row's id."""
        row = {"id": str(uuid4()), **values}
        row = {name: value for name, value in row.items() if value is not None}
        if "id" in row:
            self.aviary.keep(self.company.tag, f"{table}.id", row["id"])
        columns, places = ", ".join(row), ", ".join(f"%({name})s" for name in row)
        connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})".encode(), row)
        return str(row.get("id", ""))

    def _text(self, place: str, after: str = "") -> str:
        return f"{self.mark(place)}{self.number}{after}"

    def _once(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            "INSERT INTO settings (key, value) VALUES (%s, %s)",
            [self.mark("settings.key"), Jsonb(self.mark("settings.value"))],
        )
        connection.execute(
            "INSERT INTO usage_counters (name, value) VALUES (%s, 1)", [self.mark("usage_counters.name")]
        )
        connection.execute(
            "INSERT INTO sign_in_failures (account_hash, ip) VALUES (%s, %s)",
            [self.mark("sign_in_failures.account_hash").encode(), self.mark("sign_in_failures.ip")],
        )
        connection.execute(
            "INSERT INTO audit_log (actor_label, action, subject_type, subject_id, detail) VALUES (%s, %s, %s, %s, %s)",
            [self.mark(f"audit_log.{column}") for column in ("actor_label", "action", "subject_type", "subject_id")]
            + [Jsonb({"what": self.mark("audit_log.detail")})],
        )

    def one(self, connection: psycopg.Connection[Any]) -> Things:
        """One of everything."""
        things = Things(self.company.tag)
        self._people_who_sign_in(connection, things)
        self._records(connection, things)
        self._imports(connection, things)
        self._requests(connection, things)
        return things

    def _user(self, connection: psycopg.Connection[Any], role: str, password_hash: str) -> tuple[str, str]:
        email = f"{self.mark('users.email')}{self.number}.{role}@people.example"
        user = self._insert(
            connection, "users", email=email, name=self._text("users.name"), role=role, password_hash=password_hash,
            terms_version=self.mark("users.terms_version"),
        )  # fmt: skip
        return user, email

    def _people_who_sign_in(self, connection: psycopg.Connection[Any], things: Things) -> None:
        ids, tag, keep = things.ids, self.company.tag, self.aviary.keep
        ids["actor"], things.email = self._user(connection, "owner", HASHED)
        ids["user"], _ = self._user(connection, "manager", self._text("users.password_hash"))
        things.secrets["cookie"], ids["own_session"] = self.session(connection, ids["actor"])
        things.secrets["bearer"], _ = self.api_token(connection, ids["actor"])
        _, ids["session"] = self.session(connection, ids["actor"])
        _, ids["api_token"] = self.api_token(connection, ids["actor"])
        link, reset = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        things.secrets |= {
            "invitation_link": keep(tag, "invitations.link", link),
            "reset_link": keep(tag, "password_resets.link", reset),
        }
        ids["invitation"] = self._insert(
            connection, "invitations", email=f"{self._text('invitations.email')}@invited.example",
            name=self._text("invitations.name"), role="manager", token_hash=_hash(link),
        )  # fmt: skip
        connection.execute(
            "INSERT INTO password_resets (user_id, token_hash) VALUES (%s, %s)", [ids["user"], _hash(reset)]
        )
        self._insert(
            connection, "outbox", kind=self.mark("outbox.kind"), payload=Jsonb({"x": self.mark("outbox.payload")}),
            dedupe_key=self._text("outbox.dedupe_key"), state="dead", last_error=self.mark("outbox.last_error"),
        )  # fmt: skip

    def session(self, connection: psycopg.Connection[Any], user: str, **changes: Any) -> tuple[str, str]:
        """A browser's session; returns its token and its id."""
        minted = mint(self.company.tenant, "session", int(time.time()) + DAY)
        row = {
            "token_hash": minted.token_hash, "user_id": user, "via": "browser", "user_agent": self._text("sessions.user_agent"),
            "ip": self._text("sessions.ip"), "expires_at": "2099-01-01", **changes,
        }  # fmt: skip
        made = self._insert(connection, "sessions", **row)
        return self.aviary.keep(self.company.tag, "sessions.token", minted.token), made

    def api_token(self, connection: psycopg.Connection[Any], user: str, **changes: Any) -> tuple[str, str]:
        """An API token; returns it and its id."""
        minted = mint(self.company.tenant, "api", int(time.time()) + DAY)
        row = {"token_hash": minted.token_hash, "user_id": user, "name": self._text("api_tokens.name"),
               "expires_at": "2099-01-01", **changes}  # fmt: skip
        made = self._insert(connection, "api_tokens", **row)
        return self.aviary.keep(self.company.tag, "api_tokens.token", minted.token), made

    def _records(self, connection: psycopg.Connection[Any], things: Things) -> None:
        ids, text = things.ids, self._text
        ids["community"] = self._insert(
            connection, "communities", name=text("communities.name"), address=text("communities.address"),
            time_zone="America/New_York",
        )  # fmt: skip
        for kind in ("unit", "other_unit", "spare_unit"):
            ids[kind] = self._insert(
                connection, "units", community_id=ids["community"], label=f"{text('units.label')} {kind}",
                address=text("units.address"),
            )  # fmt: skip
        ids["person"] = self._insert(
            connection, "people", name=text("people.name"), email=f"{text('people.email')}@homes.example",
            phone=text("people.phone"), mailing_address=text("people.mailing_address"),
        )  # fmt: skip
        ids["ownership"] = self._insert(
            connection, "ownerships", person_id=ids["person"], unit_id=ids["unit"], valid_from="2020-01-01"
        )

    def _imports(self, connection: psycopg.Connection[Any], things: Things) -> None:
        ids, text = things.ids, self._text
        for kind, errors in (("import", 0), ("bad_import", 1)):
            ids[kind] = self._insert(
                connection, "imports", created_by=ids["actor"], filename=text("imports.filename", ".csv"), line_count=1,
                error_count=errors, delimiter=",", unknown_columns=[text("imports.unknown_columns")],
            )  # fmt: skip
        row = {name: text(f"import_rows.{name}") for name in
               ("community", "unit", "unit_address", "name", "phone", "mailing_address", "person_key")}  # fmt: skip
        self._insert(
            connection, "import_rows", id=None, import_id=ids["import"], line=2, email=f"{text('import_rows.email')}@new.example",
            **row,
        )  # fmt: skip
        words = {name: text(f"import_errors.{name}") for name in ("column_name", "value", "problem", "remedy")}
        self._insert(connection, "import_errors", id=None, import_id=ids["bad_import"], place=1, line=2, **words)

    def _requests(self, connection: psycopg.Connection[Any], things: Things) -> None:
        ids, text = things.ids, self._text
        about = {
            "created_by": ids["actor"],
            "person_id": ids["person"],
            "community_id": ids["community"],
            "unit_id": ids["unit"],
        }
        ids["request"] = self._insert(
            connection, "requests", **about, category="Maintenance", title=text("requests.title"),
            description=text("requests.description"), state="InReview",
        )  # fmt: skip
        for visibility in ("Public", "Internal"):
            self._insert(
                connection, "request_comments", request_id=ids["request"], author_id=ids["actor"], visibility=visibility,
                body=text("request_comments.body"),
            )  # fmt: skip
        self._insert(
            connection, "request_events", request_id=ids["request"], actor_id=ids["actor"], kind="Assigned",
            detail=Jsonb({"to": text("request_events.detail")}),
        )  # fmt: skip
        content = b"\x89PNG " + text("request_photos.file").encode()
        photo = str(uuid4())
        key = f"requests/{ids['request']}/{photo}.png"
        ids["photo"] = self._insert(
            connection, "request_photos", id=photo, request_id=ids["request"], storage_key=key, bytes=len(content),
            filename=text("request_photos.filename", ".png"), media_type="image/png", created_by=ids["actor"],
        )  # fmt: skip
        path = self.company.made.platform.folder / "files" / "tenants" / str(self.company.made.id) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


#: Columns whose words are chosen from a list, or made by a machine: no person's words are ever in them.
WORDLESS = {
    "alembic_version.version_num", "users.role", "invitations.role", "sessions.via", "outbox.state", "requests.category",
    "requests.state", "request_comments.visibility", "request_events.kind", "request_photos.media_type",
    "request_photos.storage_key", "communities.time_zone", "units.sort_key", "imports.state", "imports.delimiter",
    "imports.counts", "import_rows.outcome", "sessions.token_hash", "api_tokens.token_hash", "invitations.token_hash",
    "password_resets.token_hash", "audit_log.hash", "audit_log.previous_hash", "audit_heads.hash",
}  # fmt: skip


def unplanted(company: Company) -> list[str]:
    """Return the columns that could hold somebody's words and hold no canary: what a migration adds must be planted, too."""
    query = (
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND data_type IN ('text', 'character varying', 'jsonb', 'json', 'bytea', 'ARRAY', 'xml')"
        " AND table_name IN (SELECT relname FROM pg_class WHERE relkind = 'r')"
    )
    with company.made.as_admin() as connection:
        found = []
        for table, column in connection.execute(query).fetchall():
            has = f"SELECT count(*) FROM {table} WHERE position(%s in encode(convert_to({column}::text, 'UTF8'), 'escape')) > 0"
            if f"{table}.{column}" in WORDLESS:
                continue
            marked = f"zq{company.tag}q"
            if column == "account_hash":
                marked = marked.encode().hex()
            if not connection.execute(has.encode(), [marked]).fetchone()[0]:  # type: ignore[index]
                found.append(f"{table}.{column}")
    return found
