"""Rotates the sealing keys: `keyring` decides; here the Secret is written and the registry's rows are sealed anew.

A Secret that was deleted is made again from what this pod has mounted.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from hoa_operator import events, keyring, names
from hoa_operator.apply import tell
from hoa_operator.dispatch import Key
from hoa_operator.errors import Fenced, OperatorError, UserError
from hoa_operator.events import Event
from hoa_operator.kinds import SECRET
from hoa_operator.kube import Conflict
from hoa_operator.reconcile import Outcome
from hoa_operator.sealing import Resealer, generate_sealing_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from hoa_operator.apply import Doors
    from hoa_operator.keyring import Keys
    from hoa_operator.kinds import Object

log = structlog.get_logger()

SEALING: Final = Key("sealing", "")
_TOLD: Final = {
    keyring.STAGED: ("SealingKeyStaged", "a new sealing key is made known to every pod; it seals nothing yet"),
    keyring.PROMOTED: ("SealingKeyPromoted", "the new sealing key seals; the registry's rows are sealed anew with it"),
    "": ("SealingKeysRotated", "every row is sealed with the new key, and the old ones are dropped; keep a copy"),
}
_MADE_AGAIN: Final = Event(
    "Warning",
    "SealingKeysMadeAgain",
    "the Secret was gone and is made again from the keys that the operator has mounted: check that they are yours, and keep "
    "a copy; a rotation that was under way has to be asked for again",
)


class SealingKeysReconciler:
    """Takes the Secret of the sealing keys one step further at each look."""

    def __init__(self, doors: Doors, reporter: str, clock: Callable[[], datetime] | None = None) -> None:
        self._doors = doors
        self._settings = doors.sources.settings.sealing
        self._reporter = reporter
        self._clock = clock or (lambda: datetime.now(UTC))

    async def __call__(self, _: str) -> Outcome:
        """Look at the Secret once."""
        if not self._settings.secret:
            return Outcome()
        try:
            return await self._look()
        except (Fenced, Conflict):
            raise
        except OperatorError as error:
            log.warning("sealing keys not looked after", reason=error.reason, message=error.message)
            return Outcome(wait=keyring.SOON, failed=error.reason)

    async def _look(self) -> Outcome:
        secret = await self._doors.kube.get(SECRET, self._settings.secret)
        if secret is None:
            await self._make_again()
            return Outcome(wait=keyring.SOON)
        held, now = _read(secret), self._clock()
        right = keyring.corrected(held, now)
        if right is not None:
            await self._correct(secret, held, right)
            return Outcome(wait=keyring.SOON)
        if keyring.is_due(held, self._settings.pace, now):
            await self._write(secret, keyring.stage(held, generate_sealing_key(), now))
            return Outcome(wait=keyring.SOON)
        sealed_anew = held.step == keyring.PROMOTED and await self._seal_anew(held)
        decision = keyring.decide(held, self._settings.pace, now, sealed_anew=sealed_anew)
        if decision.become is not None:
            await self._write(secret, decision.become)
        return Outcome(wait=decision.wait)

    async def _make_again(self) -> None:
        """Create the Secret from the mounted keys, which outlive it in the pods that run, and in no other; never overwrite."""
        settings, keys = self._doors.sources.settings, self._doors.sources.sealer.keys_text()
        secret = await self._doors.kube.create(
            {
                "apiVersion": SECRET.api_version,
                "kind": SECRET.kind,
                "metadata": {
                    "name": self._settings.secret,
                    "namespace": settings.namespace,
                    "labels": names.platform_labels(settings.release),
                },
                "type": "Opaque",
                "data": {"keys": _encoded(keys)},
            }
        )
        log.warning("the Secret of the sealing keys was gone", message=_MADE_AGAIN.message)
        await self._say(secret, _MADE_AGAIN)

    async def _seal_anew(self, held: Keys) -> bool:
        """Seal every row with the first key; tell whether all are. What seals here is as far as this pod has seen."""
        sources = self._doors.sources
        if not sources.sealer.seals_with(held.keys[0]):
            return False
        resealer, done = Resealer(held.keys), True
        for row in await sources.registry.rows():
            if row.sealed_password is None or row.sealed_signing_keys is None:
                continue
            tokens = (row.sealed_password, row.sealed_signing_keys)
            fresh = tuple(resealer.renewed(token) for token in tokens)
            if None in fresh:
                log.warning("a row is sealed with a key that is gone; its tenant says so", tenant=row.owner)
                done = False
            elif fresh != tokens:
                done = await sources.registry.reseal(row, fresh, self._doors.epoch) and done  # type: ignore[arg-type]
        return done

    async def _correct(self, secret: Object, held: Keys, right: Keys) -> None:
        metadata = {"resourceVersion": secret["metadata"]["resourceVersion"], "annotations": right.annotations()}
        await self._doors.kube.patch(SECRET, self._settings.secret, {"metadata": metadata})
        asked, last = held.requested_at, held.rotated_at
        message = (
            f"the last rotation or step was put down for a time to come ({max(last, held.since)}), and counts from now"
        )
        if asked is not None and asked <= right.rotated_at:
            message += f"; the rotation asked for at {asked} counts as met: for another, ask again with a later time"
        log.warning("times of the sealing keys corrected", message=message)
        await self._say(secret, Event("Warning", "SealingTimesCorrected", message))

    async def _write(self, secret: Object, wanted: Keys) -> None:
        patch = {
            "metadata": {"resourceVersion": secret["metadata"]["resourceVersion"], "annotations": wanted.annotations()},
            "data": {"keys": _encoded(",".join(wanted.keys))},
        }
        await self._doors.kube.patch(SECRET, self._settings.secret, patch)
        reason, message = _TOLD[wanted.step]
        log.info("sealing keys", step=reason)
        await self._say(secret, Event("Normal", reason, message))

    async def _say(self, secret: Object, event: Event) -> None:
        about = {**secret, "apiVersion": SECRET.api_version, "kind": SECRET.kind}
        await tell(self._doors, events.manifest(about, event, self._reporter, self._clock()))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _read(secret: Object) -> Keys:
    name = secret["metadata"]["name"]
    try:
        held = keyring.read(secret["metadata"], base64.b64decode(secret["data"]["keys"], validate=True).decode())
    except (KeyError, ValueError) as error:
        raise UserError(
            "SealingKeysUnreadable",
            f"Secret {name}: its keys, or the time of an annotation, cannot be read ({error}); correct them, or "
            "put the Secret back from your copy",
        ) from error
    if not held.keys:
        raise UserError("SealingKeysUnreadable", f"Secret {name} holds no key; put it back from your copy")
    return held
