"""What the operator does when its own namespace is deleted: let go of every tenant, touch no data, and be gone.

Kubernetes ends a terminating namespace's pods before it deletes anything else in it, so the tenants' finalizers would wait
for an operator that is no more. Databases, roles and registry stay as they are: docs/operations/namespace-deletion.md.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from hoa_operator import names
from hoa_operator.errors import OperatorError
from hoa_operator.kinds import TENANT, name_of
from hoa_operator.kube import Conflict

if TYPE_CHECKING:
    from hoa_operator.kinds import Object
    from hoa_operator.kube import Kube

log = structlog.get_logger()

#: Seconds between two looks at the namespace.
LOOK_SECONDS: Final = 5.0
#: Seconds that the end waits for an answer whether it is the whole namespace's; a pod has 60 (`terminationGracePeriodSeconds`).
LAST_LOOK_SECONDS: Final = 45.0
#: Seconds after which one unanswered look of the last ones is given up for the next.
_ONE_LOOK: Final = 5.0
#: Refusals in a row after which the right to look is taken for gone, as when an older build's Role is back.
_REFUSALS: Final = 4
_TOGETHER: Final = 32
_ROUNDS: Final = 20
_PAUSE: Final = 0.5


class Farewell:
    """Looks at the namespace, and lets go of everything when it goes. `kube` is not fenced: a standby does the same, and letting
    go twice is letting go."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._trouble: str | None = None
        self.going = False

    async def look(self) -> bool | None:
        """Tell whether the namespace goes; what cannot be read is said once, and is None: neither yes nor no."""
        if self.going:
            return True
        try:
            self.going = await self._kube.is_leaving()
        except OperatorError as error:
            if error.reason != self._trouble:
                log.warning("namespace not read", reason=error.reason, message=error.message)
            self._trouble = error.reason
            return None
        self._trouble = None
        return self.going

    async def last_look(self) -> bool:
        """Tell whether the namespace goes, and ask until there is an answer: nobody else may come to ask again."""
        refused = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_LOOK_SECONDS):
                while refused < _REFUSALS:
                    going = await self._look_briefly()
                    if going is not None:
                        return going
                    refused = refused + 1 if self._trouble == "Forbidden" else 0
                    await asyncio.sleep(_PAUSE)
        log.error(
            "ended without knowing whether the namespace is being deleted; if it is, and hangs: "
            "docs/operations/namespace-deletion.md"
        )
        return self.going

    async def _look_briefly(self) -> bool | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_ONE_LOOK):
                return await self.look()
        return None

    async def watch(self, found: asyncio.Event) -> None:
        """Set `found` when the namespace goes."""
        while True:
            if await self.look():
                break
            await asyncio.sleep(LOOK_SECONDS)
        log.warning("the namespace is being deleted: tenants are let go of, and no data is touched")
        found.set()

    async def let_go(self) -> bool:
        """Take the finalizer off every tenant; tell whether none has it any more."""
        for _ in range(_ROUNDS):
            try:
                held = [item for item in await self._tenants() if _is_held(item)]
                if not held:
                    return True
                limit = asyncio.Semaphore(_TOGETHER)
                await asyncio.gather(*(self._release(item, limit) for item in held))
                log.info("tenants let go of", count=len(held))
            except OperatorError as error:
                log.warning("tenants not let go of", reason=error.reason, message=error.message)
                await asyncio.sleep(_PAUSE)
        return False

    async def _tenants(self) -> list[Object]:
        items = await self._kube.list_all(TENANT, metadata_only=True)
        return list(items)

    async def _release(self, item: Object, limit: asyncio.Semaphore) -> None:
        meta = item["metadata"]
        others = [name for name in meta["finalizers"] if name != names.FINALIZER]
        patch = {"metadata": {"finalizers": others, "resourceVersion": meta["resourceVersion"]}}
        async with limit:
            try:
                await self._kube.patch(TENANT, name_of(item), patch)
            except Conflict:
                log.debug("tenant changed meanwhile; it is looked at again", tenant=name_of(item))
            except OperatorError as error:
                if error.reason != "NotFound":
                    raise


def _is_held(item: Object) -> bool:
    return names.FINALIZER in (item["metadata"].get("finalizers") or ())
