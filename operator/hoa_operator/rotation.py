"""Decides when a tenant's credentials are rotated, and how long the login before may still be used: pure.

A rotation is one write of the credentials Secret: the other app login, new passwords, a new signing key before the old
ones. All that follows is what always follows when the Secret says something else than Postgres and the registry. The
login before is closed only when the registry has named the new one for so long that every pod of the app has read it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from hoa_operator.postgres.names import APP, APP_B
from hoa_operator.signing import encode_signing_keys, still_needed
from hoa_operator.tenant import CLOCKS_DIFFER

if TYPE_CHECKING:
    from datetime import datetime

    from hoa_operator.manifests.secrets import Credentials
    from hoa_operator.signing import SigningKey
    from hoa_operator.tenant import CredentialsWish

#: So many times the overlap a login is left open while it is used: a pod may be cut off from the registry.
PATIENCE: Final = 5


@dataclass(frozen=True)
class AppLogins:
    """How the app's two logins stand: `current` is what the Secret names, `registered` what the registry does, since
    `since` at the earliest, which was `age` ago, both by the registry's clock, so that no other clock counts; `other_open` tells
    whether the one that is not current may still log in, `other_used` whether it has sessions: of pods that have not followed
    yet."""

    current: str
    registered: str | None
    since: datetime | None
    age: timedelta | None
    other_open: bool
    suspended: bool
    other_used: bool = False

    def overlap_ends(self, overlap: float) -> datetime | None:
        """Return when the other login is closed at the latest, for people; None when it is not open or not to be closed yet."""
        if self.overlap_left(overlap) is None or self.since is None:
            return None
        return self.since + self._patience(overlap)

    def overlap_left(self, overlap: float) -> timedelta | None:
        """Return how long the other login is left open at most, nothing or less once that is over; else None as above."""
        if self.registered != self.current or not self.other_open or self.age is None:
            return None
        return self._patience(overlap) - self.age

    def overlapping(self, overlap: float) -> bool:
        """Tell whether the other login stays open. Once closed it is not opened again but by a rotation."""
        if self.registered is not None and self.registered != self.current:
            return True
        left = self.overlap_left(overlap)
        return left is not None and left > timedelta(0) and not self.suspended

    def _patience(self, overlap: float) -> timedelta:
        return timedelta(seconds=overlap) * (PATIENCE if self.other_used else 1)


@dataclass(frozen=True)
class Fresh:
    """What a rotation brings."""

    app_password: str
    migrator_password: str
    key: SigningKey


def other(login: str) -> str:
    """Return the app login that is not `login`."""
    return APP_B if login == APP else APP


def due_at(wish: CredentialsWish, rotated_at: datetime) -> datetime | None:
    """Return when the next rotation is due; None without an interval and without a request that is newer than the last."""
    moments = []
    if wish.rotation_interval is not None:
        moments.append(rotated_at + wish.rotation_interval)
    if wish.rotate_requested_at is not None and wish.rotate_requested_at > rotated_at:
        moments.append(wish.rotate_requested_at)
    return min(moments, default=None)


def is_met(wish: CredentialsWish, rotated_at: datetime) -> bool:
    """Tell whether a request counts as met by the last rotation, being no later than it."""
    return wish.rotate_requested_at is not None and wish.rotate_requested_at <= rotated_at


def rotated(old: Credentials, fresh: Fresh) -> Credentials:
    """Return the credentials after a rotation: what `old` signed is still good."""
    keys = still_needed((fresh.key, *old.keys), fresh.key.created_at)
    return replace(
        old,
        app_password=fresh.app_password,
        migrator_password=fresh.migrator_password,
        signing_keys=encode_signing_keys(keys).decode(),
        login=other(old.login),
    )


def tidied(credentials: Credentials, now: datetime) -> Credentials | None:
    """Return the credentials without signing keys that nothing can need any more, and none of a time to come; None if there
    is nothing to change.

    A clock that was ahead leaves a key of the future behind: no interval would end and no request count until then.
    """
    kept = still_needed(_made_by(credentials.keys, now), now)
    if kept == credentials.keys:
        return None
    return replace(credentials, signing_keys=encode_signing_keys(kept).decode())


def _made_by(keys: tuple[SigningKey, ...], now: datetime) -> tuple[SigningKey, ...]:
    """Return the keys with times at which they can have been made."""
    return tuple(replace(key, created_at=now) if key.created_at > now + CLOCKS_DIFFER else key for key in keys)
