"""The companies of the test, the app that serves them, and one identity put to every door of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hoa_app.tenancy.tenant import SigningKey
from tests.contract.app.browser import HASHED
from tests.contract.app.platform import Platform
from tests.contract.isolation.asking import Headers, Question, ask, leaks
from tests.contract.isolation.callers import LESSER, NOBODY, OWN, STRANGER, Caller, stored_secret
from tests.contract.isolation.canaries import Aviary
from tests.contract.isolation.companies import Company, Planter, Things, app_tenant, new_tag
from tests.contract.isolation.doors import SAFE, Door, Filling, address, doors, query, sent

if TYPE_CHECKING:
    from collections.abc import Iterable

REFUSED = (400, 401, 403, 404, 405, 413, 422, 429)
#: After these, whoever asked is signed out or has another password: somebody new asks.
ENDING = {
    "/sign-in", "/sign-out", "/account/password", "/account/sign-out-elsewhere", "/reset-password/{token}",
    "/invitation/{token}", "/api/v1/session",
}  # fmt: skip
#: What a stranger may leave at a company's front door.
BOOKS = {"sign_in_failures"}


@dataclass
class World:
    """Two companies at work, one that is suspended, one deleted, and two that had the same name one after the other."""

    platform: Platform
    aviary: Aviary
    own: Company
    other: Company
    suspended: Company
    deleted: Company
    before: Company
    after: Company
    old_key: SigningKey = field(default_factory=lambda: SigningKey(uuid4().hex[:16], uuid4().bytes + uuid4().bytes))
    forgeable: dict[str, str] = field(default_factory=dict)
    ended: dict[str, Headers] = field(default_factory=dict)
    demoted: Headers = ()
    planters: dict[str, Planter] = field(default_factory=dict)

    @property
    def companies(self) -> tuple[Company, ...]:
        return (self.own, self.other, self.suspended, self.deleted, self.before, self.after)

    @classmethod
    def make(cls, platform: Platform) -> World:
        """Make and fill them all."""
        aviary = Aviary()
        tags = {name: new_tag() for name in ("own", "other", "suspended", "deleted", "after")}
        slugs = {name: aviary.mark(tag, "public.slug") for name, tag in tags.items()}
        before = _company(platform, new_tag(), slugs["after"])
        Planter(before, aviary).plant(2)
        _delete(before)
        rest = {name: _company(platform, tag, slugs[name]) for name, tag in tags.items()}
        world = cls(
            platform, aviary, rest["own"], rest["other"], rest["suspended"], rest["deleted"], before, rest["after"]
        )
        for company in rest.values():
            world.planters[company.tag] = Planter(company, aviary)
            world.planters[company.tag].plant(2)
        world._wear_out()
        rest["suspended"].made.set_state("Suspended")
        _delete(rest["deleted"])
        return world

    def fresh(self, company: Company) -> Things:
        """A set of things that nobody has used."""
        planter = self.planters[company.tag]
        with company.made.as_admin() as connection, connection.pipeline():
            planter.number += 1
            return planter.one(connection)

    def _wear_out(self) -> None:
        """Credentials of the own company that are no longer good, and rows that forged tokens point at."""
        planter, own = self.planters[self.own.tag], self.own
        past = datetime.now(UTC) - timedelta(minutes=1)
        with own.made.as_admin() as connection:
            actor = own.things[0].ids["actor"]
            secret, token_hash = stored_secret()
            planter.api_token(connection, actor, token_hash=token_hash)
            self.forgeable = {"jti": secret}
            cookies = {
                "a session that was signed out": {"revoked_at": past},
                "a session past its end": {"expires_at": past},
                "a session idle for too long": {"last_seen_at": past - timedelta(days=8)},
            }
            for name, changes in cookies.items():
                token, _ = planter.session(connection, actor, **changes)
                self.ended[name] = (("cookie", f"hoa_session={token}"),)
            tokens = {"a token that was revoked": {"revoked_at": past}, "a token past its end": {"expires_at": past}}
            for name, changes in tokens.items():
                token, _ = planter.api_token(connection, actor, **changes)
                self.ended[name] = _bearer(token)
            locked_out = self._user(connection, "locked.out", "owner", disabled_at=past)
            self.ended["the token of someone locked out"] = _bearer(planter.api_token(connection, locked_out)[0])
            demoted = self._user(connection, "demoted", "owner")
            self.demoted = _bearer(planter.api_token(connection, demoted)[0])
            connection.execute("UPDATE users SET role = 'homeowner' WHERE id = %s", [demoted])

    def _user(self, connection: Any, name: str, role: str, **changes: Any) -> str:
        row = {"id": str(uuid4()), "email": f"{name}@plain.example", "name": "Plain Name", "role": role,
               "password_hash": HASHED.replace("$argon2id$", "$argon2i$"), **changes}  # fmt: skip
        columns, places = ", ".join(row), ", ".join(f"%({column})s" for column in row)
        connection.execute(f"INSERT INTO users ({columns}) VALUES ({places})".encode(), row)
        return str(row["id"])

    def checksums(self, company: Company) -> dict[str, str]:
        """A checksum of each of a company's tables."""
        with company.made.as_admin() as connection:
            names = [row[0] for row in connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
            ).fetchall()]  # fmt: skip
            sums = ", ".join(
                f"(SELECT md5(coalesce(string_agg(md5(t::text), '' ORDER BY t::text), '')) FROM {name} t)"
                for name in names
            )
            row = connection.execute(f"SELECT {sums}".encode()).fetchone()
        assert row is not None
        return dict(zip(names, row, strict=True))


def _bearer(token: str) -> Headers:
    return (("authorization", f"Bearer {token}"),)


def _company(platform: Platform, tag: str, slug: str) -> Company:
    made = platform.make_tenant(slug)
    return Company(made, tag, app_tenant(made))


def _delete(company: Company) -> None:
    """What the operator leaves of a deleted tenant in the registry; its database is still there."""
    company.made.update(state="Deleted", hosts=[], sealed_password=None, sealed_signing_keys=None)


@dataclass
class Report:
    """What came of putting identities to doors."""

    identities: int = 0
    doors: set[Door] = field(default_factory=set)
    pairs: int = 0
    faults: list[str] = field(default_factory=list)


class Sweep:
    """Puts callers to all doors of one app, and keeps what was wrong."""

    def __init__(self, world: World, app: Any) -> None:
        self.world = world
        self.app = app
        self.doors = doors(app)
        self.report = Report(doors=set(self.doors))
        self._baseline: dict[tuple[str, str, Door], int] = {}
        self._number = itertools.count()

    async def callers(self, callers: Iterable[Caller]) -> Report:
        """All of them, one after the other; after each nothing may have changed that was not the caller's to change."""
        sums = {company.tag: self.world.checksums(company) for company in self.world.companies}
        for caller in callers:
            self.report.identities += 1
            for door in self.doors:
                # To be asked for its head alone changes nothing of whom a route knows: two callers try that.
                if door.method != "HEAD" or caller.name.startswith("another tenant's token, about"):
                    await self._try(caller, door)
            for company in self.world.companies:
                now = self.world.checksums(company)
                if not self._may_change(caller, company):
                    books = BOOKS if company is caller.host and caller.kind == STRANGER else set()
                    changed = {name for name, value in now.items() if sums[company.tag][name] != value} - books
                    self._fault(caller, "any door", f"changed {sorted(changed)} of {company.made.slug}", bool(changed))
                sums[company.tag] = now
        return self.report

    @staticmethod
    def _may_change(caller: Caller, company: Company) -> bool:
        return company is caller.host and caller.kind in (OWN, LESSER)

    async def _try(self, caller: Caller, door: Door) -> None:
        self.report.pairs += 1
        question = self.question(caller, door)
        answer = await ask(self.app, question)
        for found in sorted(leaks(self.world.aviary, question, answer, caller.may_see)):
            if caller.kind == LESSER and found.place.startswith("api_tokens."):
                continue  # whoever lost a role still may list the tokens that are their own
            self._fault(caller, door, f"shows {found.place} of {found.tag}")
        said = f"answers {answer.status}"
        if caller.kind == NOBODY:
            self._fault(caller, door, said, door.path not in PROBED and answer.status != 404)
        elif caller.kind == STRANGER:
            as_nobody = await self._as_nobody(caller, door)
            self._fault(caller, door, f"{said}, nobody gets {as_nobody}", answer.status not in (*REFUSED, as_nobody))
            to = answer.header("location")
            self._fault(caller, door, f"is sent to {to}", answer.status == 303 and not to.startswith("/sign-in"))
        elif caller.forgery and door.method not in SAFE:
            self._fault(caller, door, said, answer.status not in (403, 404, 405))
        elif ":uuid}" in door.path and caller.things is not caller.me:
            self._fault(caller, door, said, answer.status not in REFUSED)
        self._fault(caller, door, said, answer.status >= 500)

    def question(self, caller: Caller, door: Door) -> Question:
        """One request of one caller."""
        using_up = door.path in ENDING or (door.method not in SAFE and caller.things is caller.me)
        mine = self.world.fresh(caller.me) if caller.kind == OWN and using_up else caller.me.things[0]
        things = mine if caller.things is caller.me else caller.things.things[0]
        csrf = caller.csrf(mine)
        named = caller.named.things[0] if caller.named else things
        body = sent(door, Filling(named, mine, csrf))
        headers = caller.headers_for(mine)
        if body.content_type:
            headers = (*headers, ("content-type", body.content_type))
        if door.method not in SAFE:
            headers = (*headers, ("x-csrf-token", csrf))
        accept = "application/json" if door.path.startswith("/api/") else "text/html"
        return Question(
            door.method, address(door, things, mine), caller.hosts or (caller.host.host,), query(door, named),
            (*headers, ("accept", accept)), body.body, caller.peer,
        )  # fmt: skip

    async def _as_nobody(self, caller: Caller, door: Door) -> int:
        """The status that somebody without any credentials gets for the same question."""
        key = (caller.host.tag, caller.things.tag, door)
        if key not in self._baseline:
            # With what is good elsewhere only: at the other tenant's own address its own would sign in.
            elsewhere = self.world.own if caller.host is self.world.other else self.world.other
            nobody = Caller(
                "nobody", caller.host, caller.things, elsewhere, peer=f"203.0.113.{next(self._number) % 250}"
            )
            self._baseline[key] = (await ask(self.app, self.question(nobody, door))).status
        return self._baseline[key]

    def _fault(self, caller: Caller, door: Door | str, what: str, wrong: bool = True) -> None:
        if wrong:
            self.report.faults.append(f"{caller.name}: {door}: {what}")


#: Probes come by a pod's address and know no tenant.
PROBED = {"/livez", "/readyz", "/health"}
