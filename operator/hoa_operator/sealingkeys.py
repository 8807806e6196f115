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
from hoa_operator.errors import OperatorError, UserError
from hoa_operator.events import Event
from hoa_operator.kinds import SECRET, is_owned_by
from hoa_operator.kube import Conflict
from hoa_operator.manifests.secrets import read_credentials
from hoa_operator.observe import server_named
from hoa_operator.reconcile import Outcome
from hoa_operator.sealing import Resealer, generate_sealing_key
from hoa_operator.world import registered_login

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hoa_operator.apply import Doors
    from hoa_operator.keyring import Keys
    from hoa_operator.kinds import Object
    from hoa_operator.manifests.secrets import Credentials
    from hoa_operator.registry_model import RegistryRow

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
    """Takes the Secret of the sealing keys one step further at each look. `unopened` hears how many rows hold a rotation up,
    for no key opens them."""

    def __init__(
        self,
        doors: Doors,
        reporter: str,
        unopened: Callable[[int], None],
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._doors = doors
        self._settings = doors.sources.settings.sealing
        self._reporter = reporter
        self._unopened = unopened
        self._lost: list[str] = []
        self._clock = clock or (lambda: datetime.now(UTC))

    async def __call__(self, _: str) -> Outcome:
        """Look at the Secret once."""
        if not self._settings.secret:
            return Outcome()
        try:
            return await self._look()
        except Conflict:
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
        sealed_anew = held.step == keyring.PROMOTED and await self._seal_anew(secret, held)
        if held.step != keyring.PROMOTED:
            self._unopened(0)
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

    async def _seal_anew(self, secret: Object, held: Keys) -> bool:
        """Seal every row with the first key; tell whether all are. What seals here is as far as this pod has seen.

        A row that no key opens any more is sealed over what the tenant's credentials Secret holds, if that lets its app in.
        """
        sources = self._doors.sources
        if not sources.sealer.seals_with(held.keys[0]):
            return False
        resealer, done, lost = Resealer(held.keys), True, list[str]()
        for row in await sources.registry.rows():
            if row.sealed_password is None or row.sealed_signing_keys is None:
                continue
            tokens = (row.sealed_password, row.sealed_signing_keys)
            fresh = _renewed(resealer, tokens) or await self._from_secret(row, resealer)
            if fresh is None:
                lost.append(row.owner)
            elif fresh != tokens:
                done = await sources.registry.reseal(row, fresh, self._doors.epoch) and done
        await self._hold_up(secret, lost)
        return done and not lost

    async def _hold_up(self, secret: Object, lost: list[str]) -> None:
        """Say which tenants' rows the rotation waits for, when that changes."""
        self._unopened(len(lost))
        if lost and lost != self._lost:
            log.warning("rows are sealed with a key that is gone", tenants=lost)
            await self._say(secret, _waits_for(lost))
        self._lost = lost

    async def _from_secret(self, row: RegistryRow, resealer: Resealer) -> tuple[bytes, bytes] | None:
        sources = self._doors.sources
        secret = sources.cache.get(SECRET, names.credentials_secret(row.name))
        if secret is None or not is_owned_by(secret, str(row.uid)):
            return None
        known = read_credentials(secret.get("data") or {})
        if known is None or known.login != registered_login(row):
            return None
        try:
            if not await self._lets_in(row, known):
                return None
        except OperatorError as error:
            log.info(
                "a Secret's password cannot be tried", tenant=row.owner, reason=error.reason, message=error.message
            )
            return None
        log.warning("a row is sealed anew from the credentials Secret", tenant=row.owner)
        return resealer.seal(known.app_password.encode()), resealer.seal(known.signing_keys.encode())

    async def _lets_in(self, row: RegistryRow, known: Credentials) -> bool:
        sources = self._doors.sources
        placement = await sources.registry.placement(row.tenant_id)
        if placement is None:
            return False
        async with sources.fleet.door(server_named(sources.cache, placement.server_name)) as door:
            return await door.verify_login(row.tenant_id, known.login, known.app_password)

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


def _renewed(resealer: Resealer, tokens: tuple[bytes, bytes]) -> tuple[bytes, bytes] | None:
    password, keys = (resealer.renewed(token) for token in tokens)
    return None if password is None or keys is None else (password, keys)


def _waits_for(lost: Sequence[str]) -> Event:
    named = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
    return Event(
        "Warning",
        "SealedRowsUnreadable",
        f"the rotation waits: no key of this Secret opens what the registry holds of HOATenant {named}; put the key that sealed it "
        "back behind the others, from your copy, or see docs/operations/HOASealedRowsUnreadable.md",
    )


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
