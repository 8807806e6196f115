"""Passwords: argon2id with OWASP's parameters, computed off the event loop and never more than a few at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 200
T = TypeVar("T")


class Passwords:
    """Hash and verify. Memory in use is bounded by `at_once` times 19 MiB."""

    def __init__(self, at_once: int = 2) -> None:
        # OWASP Password Storage Cheat Sheet: argon2id, m=19 MiB, t=2, p=1.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._turn = asyncio.Semaphore(at_once)
        self._decoy = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """An encoded hash to store."""
        return await self._off_loop(lambda: self._hasher.hash(password))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one; with nothing stored it takes as long and says no."""

        def verify() -> bool:
            try:
                return self._hasher.verify(stored or self._decoy, password)
            except (VerificationError, InvalidHashError):
                return False

        return await self._off_loop(verify) and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    async def _off_loop(self, work: Callable[[], T]) -> T:
        async with self._turn:
            return await asyncio.to_thread(work)


def complaint(password: str, email: str) -> str | None:
    """What is wrong with a new password, in words for its owner; None when it will do (NIST SP 800-63B: length first)."""
    if len(password) < SHORTEST:
        return f"Use at least {SHORTEST} characters. Four unrelated words make a good password."
    if len(password) > LONGEST:
        return f"Use at most {LONGEST} characters."
    if (
        len(set(password)) < 5
        or password.lower() in email.lower()
        or email.partition("@")[0].lower() == password.lower()
    ):
        return "This is too easy to guess. Four unrelated words make a good password."
    return None
