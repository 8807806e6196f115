"""A tenant's signing keys as the contract writes them (section 1): parsed, encoded, and dropped when nothing can need them: pure."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What a key signs is good for a year at most (API tokens, contract section 1); a day more covers every clock, and the two
#: minutes for which the app still signs with a key that was replaced.
LIFETIME: Final = timedelta(days=366)
#: A Secret holds a mebibyte; so many keys are a tenth of that. Only somebody who rotates all the time comes near.
MOST: Final = 400


@dataclass(frozen=True)
class SigningKey:
    """A tenant's key for signing tokens: `k` is 32 random bytes, `created_at` has a time zone."""

    kid: str
    k: bytes = field(repr=False)
    created_at: datetime


def encode_signing_keys(keys: Sequence[SigningKey]) -> bytes:
    """Return the JSON of contract section 1, in the order given: newest first."""
    return json.dumps(
        [
            {
                "kid": key.kid,
                "k": base64.urlsafe_b64encode(key.k).rstrip(b"=").decode("ascii"),
                "createdAt": key.created_at.isoformat(),
            }
            for key in keys
        ],
        separators=(",", ":"),
    ).encode()


def decode_signing_keys(text: str) -> tuple[SigningKey, ...]:
    """Read what `encode_signing_keys` wrote; raises ValueError if it is not that, or holds no key."""
    try:
        keys = tuple(
            SigningKey(str(entry["kid"]), _bytes(entry["k"]), datetime.fromisoformat(entry["createdAt"]))
            for entry in json.loads(text)
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the signing keys are not in the agreed form") from error
    if not keys or any(key.created_at.tzinfo is None for key in keys):
        raise ValueError("there is no signing key, or one without a time zone")
    return keys


def still_needed(keys: Sequence[SigningKey], now: datetime) -> tuple[SigningKey, ...]:
    """Return the newest key and those whose tokens may still be good: a key signs until pods know the next newer one."""
    replaced = [key.created_at for key in keys[:-1]]
    older = [key for key, since in zip(keys[1:], replaced, strict=True) if now < since + LIFETIME]
    return (keys[0], *older)[:MOST]


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
