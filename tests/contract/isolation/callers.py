"""Who asks, and what they may see: the right identity in every spelling, and every wrong one that somebody could try."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.jwk import OctKey

from hoa_app.identity.tokens import audience, hash_secret, issuer
from hoa_app.tenancy.tenant import SigningKey
from tests.contract.isolation.canaries import DATA, PUBLIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.isolation.asking import Headers
    from tests.contract.isolation.companies import Company, Things
    from tests.contract.isolation.world import World

VISIT = "a-visit-that-anybody-may-begin"
STRANGER, OWN, LESSER, NOBODY = "stranger", "own", "lesser", "nobody"


@dataclass(frozen=True)
class Caller:
    """One identity. `host` is whose address it asks, `things` whose ids it names, `me` who it is elsewhere.

    `kind` says how it must be treated: STRANGER as somebody who has not signed in, OWN as one of the company's, LESSER as
    one of the company's whose none of these things are, NOBODY is not even told that there is a company. `named` gives the
    ids in the body where they are not those of the path. `forgery`: its forms come from elsewhere and may not be taken.
    """

    name: str
    host: Company
    things: Company
    me: Company
    kind: str = STRANGER
    hosts: tuple[str, ...] = ()
    headers: Headers = ()
    carries: str = ""
    csrf_of: str = ""
    forgery: bool = False
    named: Company | None = None
    peer: str = "192.0.2.7"

    @property
    def may_see(self) -> frozenset[tuple[str, str]]:
        """Scopes of companies."""
        if self.kind == NOBODY:
            return frozenset()
        return frozenset({(self.host.tag, PUBLIC), *([(self.host.tag, DATA)] if self.kind == OWN else [])})

    def headers_for(self, mine: Things) -> Headers:
        """What it sends along: `carries` names which of its own credentials, and how."""
        credentials = {
            "": (), "bearer": (("authorization", f"Bearer {mine['bearer']}"),),
            "cookie": (("cookie", f"hoa_session={mine['cookie']}; hoa_visit={VISIT}"),),
        }[self.carries]  # fmt: skip
        visit: Headers = () if self.carries == "cookie" else (("cookie", f"hoa_visit={VISIT}"),)
        return (*credentials, *self.headers, *visit)

    def csrf(self, mine: Things) -> str:
        """The token of a form: of its session where that is one of this company's, else of the visit."""
        if self.csrf_of:
            return self.csrf_of
        own = self.kind == OWN and self.carries == "cookie"
        return self.host.csrf(f"session:{mine.ids['own_session']}" if own else f"visit:{VISIT}")


def everyone(world: World) -> list[Caller]:
    """All of them."""
    found = [
        *_strangers(world),
        *_own(world),
        *_forged(world),
        *_ended(world),
        *_closed(world),
        *_reused(world),
        *_inside(world),
    ]
    return [replace(caller, peer=f"198.51.{number // 250}.{number % 250 + 1}" if caller.peer == "192.0.2.7" else caller.peer)
            for number, caller in enumerate(found)]  # fmt: skip


def _strangers(world: World) -> Iterator[Caller]:
    """Somebody of another company, with all that is good there."""
    own, other = world.own, world.other
    for things in (own, other):
        about = "its things" if things is own else "their own things"
        yield Caller(f"nobody, about {about}", own, things, other)
        yield Caller(f"another tenant's token, about {about}", own, things, other, carries="bearer")
        yield Caller(f"another tenant's cookie, about {about}", own, things, other, carries="cookie")
    theirs = other.things[0]
    both = f"hoa_session={own.things[0]['cookie']}x; hoa_session={theirs['cookie']}"
    yield Caller("another tenant's cookie beside a broken one", own, own, other, headers=(("cookie", both),))
    yield Caller("another tenant's cookie under the secure name", own, own, other,
                 headers=(("cookie", f"__Host-hoa_session={theirs['cookie']}"),))  # fmt: skip
    yield Caller("another tenant's token as Basic", own, own, other,
                 headers=(("authorization", f"Basic {urlsafe_b64encode(theirs['bearer'].encode()).decode()}"),))  # fmt: skip
    yield Caller("another tenant's token in X-Api-Key", own, own, other, headers=(("x-api-key", theirs["bearer"]),))
    for spelling in (own.host.upper(), f"{own.host}.", f"{own.host}:8080"):
        yield Caller(
            f"another tenant's token at {spelling.replace(own.tag, '')}",
            own,
            own,
            other,
            hosts=(spelling,),
            carries="bearer",
        )


def _own(world: World) -> Iterator[Caller]:
    """Somebody of the company who reaches for another's: by ids, by headers, by another spelling, by another's host."""
    own, other = world.own, world.other
    for carries in ("bearer", "cookie"):
        yield Caller(f"own {carries}, another tenant's ids", own, other, own, OWN, carries=carries)
        yield Caller(
            f"own {carries}, another tenant's ids in the body", own, own, own, OWN, carries=carries, named=other
        )
        yield Caller(f"own {carries} at another tenant's host", other, other, own, carries=carries)
        yield Caller(f"own {carries} and ids at another tenant's host", other, own, own, carries=carries)
        yield Caller(
            f"own {carries} at the suspended tenant's host", world.suspended, world.suspended, own, carries=carries
        )
        yield Caller(
            f"own {carries} at the deleted tenant's host", world.deleted, world.deleted, own, NOBODY, carries=carries
        )
        for hosts in ((own.host, other.host), (other.host, own.host), (own.host, own.host), ()):
            yield Caller(f"own {carries}, {len(hosts)} Host headers, first {hosts and hosts[0] == own.host}", own, other, own, NOBODY,
                         hosts=hosts or ("",), carries=carries)  # fmt: skip
        yield Caller(f"own {carries}, forwarded for another tenant's host", own, own, own, OWN, carries=carries, headers=(
            *((header, other.host) for header in FORWARDED), ("forwarded", f"host={other.host};proto=https"),
            *((header, f"http://{other.host}/api/v1/people") for header in ("x-original-url", "x-rewrite-url")),
        ))  # fmt: skip
        yield Caller(f"own {carries}, x-tenant-id of another", own, own, own, carries=carries,
                     headers=(("x-tenant-id", str(other.made.id)),))  # fmt: skip
        yield Caller(f"own {carries}, x-tenant-id of its own, from outside", own, own, own, carries=carries,
                     headers=(("x-tenant-id", str(own.made.id)),))  # fmt: skip
    theirs, mine = other.things[0], own.things[0]
    yield Caller("own token beside another tenant's cookie", own, other, own, OWN, carries="bearer",
                 headers=(("cookie", f"hoa_session={theirs['cookie']}"),))  # fmt: skip
    yield Caller("another tenant's token beside the own cookie", own, other, own, carries="cookie",
                 headers=(("authorization", f"Bearer {theirs['bearer']}"),))  # fmt: skip
    for name, csrf in (
        ("another session's", own.csrf(f"session:{own.things[1].ids['own_session']}")),
        ("another tenant's", other.csrf(f"session:{mine.ids['own_session']}")),
        ("a visit's", own.csrf(f"visit:{VISIT}")),
        ("no", "0" * 64),
    ):
        yield Caller(f"own cookie, {name} CSRF token", own, own, own, OWN, carries="cookie", csrf_of=csrf, forgery=True)
    yield Caller("a form sent from another tenant's page", own, own, own, OWN, carries="cookie",
                 headers=(("origin", f"http://{other.host}"), ("sec-fetch-site", "same-site")), forgery=True)  # fmt: skip


FORWARDED = ("x-forwarded-host", "x-forwarded-server", "x-host", "x-original-host", "x-http-host-override")


def _forged(world: World) -> Iterator[Caller]:
    """Tokens that are nobody's: every claim right but the one that counts, and a row in the database to match."""
    own, other = world.own, world.other
    ours, theirs = own.tenant.keys.signing, other.tenant.keys.signing
    rows = world.forgeable
    yield _with(world, "own claims signed with another tenant's key", forged(own, rows, theirs))
    yield _with(
        world, "own claims and key id, another tenant's key", forged(own, rows, SigningKey(ours.kid, theirs.secret))
    )
    yield _with(world, "own claims signed with a key that was taken out", forged(own, rows, world.old_key))
    yield _with(world, "own claims signed with an empty key", forged(own, rows, SigningKey(ours.kid, bytes(32))))
    yield _with(world, "own claims, alg none", unsigned(own, rows, "none"))
    yield _with(world, "own claims, alg NONE", unsigned(own, rows, "NonE"))
    yield _with(world, "own claims, no signature", forged(own, rows, ours).rpartition(".")[0] + ".")
    yield _with(world, "own claims, another algorithm", forged(own, rows, ours, alg="HS512"))
    yield _with(world, "expired", forged(own, rows, ours, exp=int(time.time()) - 60))
    for claim, value in (
        ("tenantId", str(other.made.id)),
        ("iss", issuer(other.tenant)),
        ("aud", audience(other.tenant)),
    ):
        yield _with(world, f"own key, {claim} of another tenant", forged(own, rows, ours, **{claim: value}))
    yield _with(world, "own key, a type of token that there is not", forged(own, rows, ours, typ="admin"))
    yield _with(world, "own key, a secret without a row", forged(own, {"jti": "never stored"}, ours))


def _with(world: World, name: str, token: str) -> Caller:
    return Caller(name, world.own, world.own, world.other, headers=(("authorization", f"Bearer {token}"),))


def claims_of(company: Company, row: dict[str, str], **changes: Any) -> dict[str, Any]:
    """What a good token of the company says, with changes."""
    good = {"iss": issuer(company.tenant), "aud": audience(company.tenant), "tenantId": str(company.made.id), "typ": "api",
            "iat": int(time.time()), "exp": int(time.time()) + 3600}  # fmt: skip
    return {**good, **row, **changes}


def forged(company: Company, row: dict[str, str], key: SigningKey, alg: str = "HS256", **changes: Any) -> str:
    """A token made by hand; `row` holds the secret of a row that is really there."""
    header = {"alg": alg, "kid": key.kid}
    return jwt.encode(header, claims_of(company, row, **changes), OctKey.import_key(key.secret), algorithms=[alg])


def unsigned(company: Company, row: dict[str, str], alg: str) -> str:
    """A token that says it needs no signature."""
    import json

    def part(value: dict[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': alg, 'kid': company.tenant.keys.signing.kid})}.{part(claims_of(company, row))}."


def _ended(world: World) -> Iterator[Caller]:
    """What was good once."""
    for name, headers in world.ended.items():
        yield Caller(name, world.own, world.own, world.other, headers=headers)
    yield Caller("an owner who is a homeowner now", world.own, world.own, world.other, LESSER, headers=world.demoted)


def _closed(world: World) -> Iterator[Caller]:
    """People of a company that is suspended or gone: at its own address, and at another's."""
    own, other = world.own, world.other
    for closed, kind in ((world.suspended, STRANGER), (world.deleted, NOBODY)):
        state = "suspended" if kind == STRANGER else "deleted"
        for carries in ("bearer", "cookie"):
            yield Caller(f"the {state} tenant's {carries} at home", closed, closed, closed, kind, carries=carries)
            yield Caller(f"the {state} tenant's {carries} at another's", own, closed, closed, carries=carries)
        yield Caller(f"nobody at the {state} tenant's", closed, closed, other, kind)
        yield Caller(f"another tenant's token at the {state} tenant's", closed, closed, other, kind, carries="bearer")


def _reused(world: World) -> Iterator[Caller]:
    """A name that belonged to somebody else before: nothing of that company's is good for the next one."""
    before, after = world.before, world.after
    for carries in ("bearer", "cookie", ""):
        yield Caller(f"the predecessor's {carries or 'links'}, its things", after, before, before, carries=carries)
        yield Caller(
            f"the predecessor's {carries or 'links'}, the successor's things", after, after, before, carries=carries
        )
    old = before.things[0]
    yield Caller("the predecessor's cookie and CSRF token", after, after, before, carries="cookie",
                 csrf_of=before.csrf(f"session:{old.ids['own_session']}"))  # fmt: skip
    yield Caller("the predecessor's visit and CSRF token", after, after, before, csrf_of=before.csrf(f"visit:{VISIT}"))


def _inside(world: World) -> Iterator[Caller]:
    """From inside the platform x-tenant-id is taken, and must agree with the host."""
    own, other = world.own, world.other
    for carries in ("bearer", "cookie", ""):
        yield Caller(f"inside, x-tenant-id of another, own {carries or 'nothing'}", own, own, own, carries=carries, peer=INSIDE,
                     headers=(("x-tenant-id", str(other.made.id)),))  # fmt: skip
    yield Caller("inside, x-tenant-id and token of another", own, own, other, carries="bearer", peer=INSIDE,
                 headers=(("x-tenant-id", str(other.made.id)),))  # fmt: skip
    yield Caller("inside, own x-tenant-id, token of another", own, own, other, carries="bearer", peer=INSIDE,
                 headers=(("x-tenant-id", str(own.made.id)),))  # fmt: skip
    yield Caller("inside, x-tenant-id and host of another, own token", other, other, own, carries="bearer", peer=INSIDE,
                 headers=(("x-tenant-id", str(other.made.id)),))  # fmt: skip


INSIDE = "10.1.2.3"


def stored_secret() -> tuple[str, bytes]:
    """A secret and the hash a row is found under."""
    import secrets

    secret = secrets.token_urlsafe(32)
    return secret, hash_secret(secret)
