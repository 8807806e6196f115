"""Routes found by their beginning instead of one by one: with a hundred of them, that is most of what routing costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from starlette.datastructures import URLPath
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import Receive, Scope, Send

MATCHED = "hoa.matched"
ALLOWED = "hoa.allowed"


class RouteIndex(BaseRoute):
    """Stands for all the routes it holds. Paths without parameters come first, then those that share a beginning."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.routes = [route for route in routes if isinstance(route, Route)]
        if len(self.routes) != len(routes):
            raise TypeError("features add plain routes only; mounts belong to the spine")
        self._fixed: defaultdict[str, list[Route]] = defaultdict(list)
        self._beginning: defaultdict[str, list[Route]] = defaultdict(list)
        for route in self.routes:
            literal, brace, _ = route.path.partition("{")
            if brace:
                self._beginning[literal[: literal.rindex("/") + 1]].append(route)
            else:
                self._fixed[route.path].append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The first route that takes path and method, else one that takes the path."""
        partial: tuple[Match, Scope] = (Match.NONE, {})
        methods: set[str] = set()
        for route in self._candidates(scope["path"]):
            match, found = route.matches(scope)
            if match is Match.FULL:
                return match, {**found, MATCHED: route}
            if match is Match.PARTIAL:
                methods |= route.methods or set()
                partial = partial if partial[0] is Match.PARTIAL else (match, {**found, MATCHED: route})
        if methods:
            partial[1][ALLOWED] = methods
        return partial

    def _candidates(self, path: str) -> list[Route]:
        found = self._fixed.get(path)
        candidates = list(found) if found else []
        end = path.rfind("/")
        while end >= 0:
            candidates += self._beginning.get(path[: end + 1], ())
            end = path.rfind("/", 0, end)
        return candidates

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand over to the route that matched; where none takes the method, say which ones the path takes."""
        scope["route"] = scope[MATCHED]
        if allowed := scope.get(ALLOWED):
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        await scope[MATCHED].handle(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        """The path of a route by its name."""
        for route in self.routes:
            try:
                return route.url_path_for(name, **path_params)
            except NoMatchFound:
                continue
        raise NoMatchFound(name, dict(path_params))
