"""Decides how the sealing keys are rotated, step by step: pure. The state is in their Secret, so that a kill changes nothing.

First the new key is put last: it seals nothing, and every pod learns of it. Then it goes to the front and seals, and the
registry's rows are sealed anew. When that is done, and every pod knows it, the old keys are dropped. Meanwhile a person may
put a key back among them: the new one is known by its fingerprint, not by its place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from hoa_operator import names
from hoa_operator.tenant import CLOCKS_DIFFER, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds until another look while rows are to be sealed anew, or pods to learn of it.
SOON: Final = 5.0
STAGED: Final = "Staged"
PROMOTED: Final = "Promoted"
Step = Literal["", "Staged", "Promoted"]


@dataclass(frozen=True)
class Keys:
    """The sealing keys, newest first, but for a staged one, which is last. `since` is when the step was taken, `brings` the
    fingerprint of the key that the rotation under way brings."""

    keys: tuple[str, ...] = field(repr=False)
    step: Step
    since: datetime
    rotated_at: datetime
    requested_at: datetime | None = None
    brings: str = ""

    @property
    def new(self) -> str | None:
        """The key that the rotation under way brings; None if somebody took it out. Where it was begun by a version that noted
        no fingerprint, the place must do."""
        if not self.brings:
            return self.keys[-1 if self.step == STAGED else 0]
        return next((key for key in self.keys if fingerprint(key) == self.brings), None)

    def annotations(self) -> dict[str, str | None]:
        """Return the annotations that say all but the keys; a person's request is left as it is.

        Times are written whole: cut to seconds, a rotation would be older than a request of the same second.
        """
        return {
            names.ANNOTATION_SEALING_STEP: self.step or None,
            names.ANNOTATION_SEALING_SINCE: self.since.isoformat() if self.step else None,
            names.ANNOTATION_SEALING_KEY: self.brings if self.step else None,
            names.ANNOTATION_ROTATED_AT: self.rotated_at.isoformat(),
        }


@dataclass(frozen=True)
class Pace:
    """How often keys are rotated (None: on request only), and how long every pod needs to see a changed file."""

    interval: timedelta | None
    propagation: timedelta


@dataclass(frozen=True)
class Decision:
    """What the Secret shall hold now, if something else than it does, and after how many seconds to look again."""

    become: Keys | None = None
    wait: float | None = None


def fingerprint(key: str) -> str:
    """Return what a key is known by and cannot be guessed from: a key is 256 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def read(metadata: Mapping[str, Any], text: str) -> Keys:
    """Read the Secret; raises ValueError for a time that is none."""
    said = metadata.get("annotations") or {}
    created = parse_time(metadata["creationTimestamp"])
    requested = said.get(names.ANNOTATION_ROTATE_REQUESTED)
    keys = tuple(part.strip() for part in text.split(",") if part.strip())
    step, brings = said.get(names.ANNOTATION_SEALING_STEP), said.get(names.ANNOTATION_SEALING_KEY) or ""
    known: Step = step if step in (STAGED, PROMOTED) and (len(keys) > 1 or brings) else ""
    return Keys(
        keys=keys,
        step=known,
        since=_time(said.get(names.ANNOTATION_SEALING_SINCE)) or created,
        rotated_at=_time(said.get(names.ANNOTATION_ROTATED_AT)) or created,
        requested_at=_time(requested),
        brings=brings if known else "",
    )


def decide(held: Keys, pace: Pace, now: datetime, *, sealed_anew: bool) -> Decision:
    """Return the next step. `sealed_anew` says that the first key sealed every row; a new key is asked for by `stage`."""
    seen_by_all = held.since + pace.propagation
    if held.step == STAGED and now < seen_by_all:
        return _at(seen_by_all, now)
    if held.step == STAGED or (held.step == PROMOTED and held.keys[0] != held.new):
        front = tuple(sorted(held.keys, key=lambda key: key != held.new))
        return Decision(replace(held, keys=front, step=PROMOTED, since=now), SOON)
    if held.step == PROMOTED:
        if not sealed_anew:
            return Decision(wait=SOON)
        if now < seen_by_all:
            return _at(seen_by_all, now)
        return Decision(replace(held, keys=held.keys[:1], step="", brings=""))
    moment = due_at(held, pace)
    return Decision() if moment is None or moment <= now else _at(moment, now)


def due_at(held: Keys, pace: Pace) -> datetime | None:
    """Return when the next rotation is due, if ever."""
    moments = [held.rotated_at + pace.interval] if pace.interval is not None else []
    if held.requested_at is not None and held.requested_at > held.rotated_at:
        moments.append(held.requested_at)
    return min(moments, default=None)


def is_due(held: Keys, pace: Pace, now: datetime) -> bool:
    """Tell whether a rotation is to begin, or to begin again, for somebody took its new key out."""
    if held.step and held.new is None:
        return True
    moment = due_at(held, pace)
    return not held.step and moment is not None and moment <= now


def corrected(held: Keys, now: datetime) -> Keys | None:
    """Return the keys with times to come put to now: a clock was ahead, and nothing would be done until then. None if there
    is no such time."""
    since, rotated_at = (now if at > now + CLOCKS_DIFFER else at for at in (held.since, held.rotated_at))
    if (since, rotated_at) == (held.since, held.rotated_at):
        return None
    return replace(held, since=since, rotated_at=rotated_at)


def stage(held: Keys, key: str, now: datetime) -> Keys:
    """Return the keys with a new one, which seals nothing yet."""
    return replace(held, keys=(*held.keys, key), step=STAGED, since=now, rotated_at=now, brings=fingerprint(key))


def _at(moment: datetime, now: datetime) -> Decision:
    return Decision(wait=(moment - now).total_seconds() + 0.1)


def _time(text: str | None) -> datetime | None:
    moment = parse_time(text) if text else None
    if moment is not None and moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment
