"""The right identity at every door: what shows that the doors open at all, and that a canary behind one would be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.contract.isolation.asking import Answer, Question, ask
from tests.contract.isolation.callers import OWN, Caller
from tests.contract.isolation.doors import Door, Filling, address, doors, query, sent

if TYPE_CHECKING:
    from tests.contract.isolation.canaries import Found
    from tests.contract.isolation.world import World

#: Doors that answer with nothing of a company's: files of the app, probes, what is gone, and what was made just now of what was sent.
CONTENTLESS = {
    "GET /health", "GET /livez", "GET /readyz", "GET /assets/app.css", "GET /assets/htmx/htmx-2.min.js",
    "GET /assets/brand.css", "GET /api/v1/openapi.json", "GET /imports/template.csv", "DELETE /api/v1/session",
    "DELETE /api/v1/tokens/{id:uuid}", "DELETE /api/v1/units/{id:uuid}",
    "DELETE /api/v1/invitations/{id:uuid}", "DELETE /api/v1/requests/{id:uuid}/photos/{photo:uuid}", "POST /api/v1/people",
    "POST /api/v1/communities", "POST /api/v1/invitations",
}  # fmt: skip
#: What an API token may not do, only somebody who signed in.
BY_PERSONS = {"POST /api/v1/tokens", "DELETE /api/v1/session"}


@dataclass
class Rightful:
    """Puts an owner's requests to every door, each with things that nobody has used."""

    world: World
    app: Any

    async def all(self) -> dict[Door, tuple[Answer, set[Found]]]:
        """The answer of each door, and the canaries that it or the page it leads to shows."""
        return {door: await self._one(door) for door in doors(self.app) if door.method != "HEAD"}

    async def _one(self, door: Door) -> tuple[Answer, set[Found]]:
        own = self.world.own
        mine = self.world.fresh(own)
        by_token = door.path.startswith("/api/") and str(door) not in BY_PERSONS
        carries = "bearer" if by_token else "cookie"
        caller = Caller("the owner", own, own, own, OWN, carries=carries)
        body = sent(door, Filling(mine, mine, caller.csrf(mine)))
        headers = (*caller.headers_for(mine), ("x-csrf-token", caller.csrf(mine)))
        if body.content_type:
            headers = (*headers, ("content-type", body.content_type))
        question = Question(door.method, address(door, mine, mine), (own.host,), query(door, mine), headers, body.body)
        answer = await ask(self.app, question)
        seen = self.world.aviary.search(answer.whole)
        if to := answer.header("location"):
            seen |= self.world.aviary.search((await self._follow(to, answer, caller, mine)).whole)
        return answer, seen

    async def _follow(self, to: str, answer: Answer, caller: Caller, mine: Any) -> Answer:
        """Go where a form leads, with the cookies that it set."""
        cookies = [value.split(b";")[0].decode("latin-1") for name, value in answer.headers if name == b"set-cookie"]
        headers = (*caller.headers_for(mine), *(("cookie", cookie) for cookie in cookies))
        path, _, rest = to.partition("?")
        return await ask(self.app, Question("GET", path, (self.world.own.host,), rest, headers))
