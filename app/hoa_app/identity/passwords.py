"""Passwords: argon2id, off the event loop and a few at a time, because each check takes 19 MiB and a core on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")
MIN_LENGTH = 12
MAX_LENGTH = 256
# OWASP's password storage cheat sheet: m = 19 MiB, t = 2, p = 1.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)


class Passwords:
    """Hashes and checks; at most `concurrency` at once in this process, the others wait their turn."""

    def __init__(self, concurrency: int = 2) -> None:
        self._executor = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="argon2")
        self._nobody = HASHER.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The PHC string to store."""
        return await self._run(HASHER.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password fits. Without a stored hash it takes just as long and says no."""
        fits = await self._run(_verify, stored or self._nobody, password[:MAX_LENGTH])
        return fits and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's, so that a sign-in should replace it."""
        return HASHER.check_needs_rehash(stored)

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)

    def close(self) -> None:
        """Let the threads go."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _verify(stored: str, password: str) -> bool:
    try:
        return HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def password_errors(form: Mapping[str, str], *personal: str) -> dict[str, str]:
    """What is wrong with the new password in a form, by field."""
    found = complaint(form.get("password", ""), *personal)
    return {"password": found} if found else {}


def complaint(password: str, *personal: str) -> str | None:
    """Why a new password is not acceptable, in words for the form; None when it is.

    Length is what counts (NIST SP 800-63B); no rules about kinds of characters.
    """
    if len(password) < MIN_LENGTH:
        return f"Use at least {MIN_LENGTH} characters; a few words in a row work well."
    if len(password) > MAX_LENGTH:
        return f"Use at most {MAX_LENGTH} characters."
    lowered = password.lower()
    if len(set(lowered)) < 4 or lowered in {part.lower() for part in personal} or lowered in COMMON:
        return "This password is too easy to guess. Choose another one."
    return None


COMMON = frozenset(
    {"1234567890", "password123", "password1234", "qwertyuiop", "0123456789", "passw0rd123", "letmein1234"}
)
