"""Passwords: argon2id, off the event loop and a few at a time, because each check takes 19 MiB and a core on purpose."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from hoa_app.problems import unavailable

T = TypeVar("T")
MIN_LENGTH = 12
MAX_LENGTH = 256
# OWASP's password storage cheat sheet: m = 19 MiB, t = 2, p = 1.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)


QUEUE = 32


class Passwords:
    """Hashes and checks, at most `concurrency` at once in this process.

    Others wait: each tenant in a line of its own, and the lines take turns, so that a rush at one portal is not everyone's.
    """

    def __init__(self, concurrency: int = 2, queue: int = QUEUE) -> None:
        self._executor = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="argon2")
        self._free = concurrency
        self._queue = queue
        self._lines: OrderedDict[UUID, deque[asyncio.Future[None]]] = OrderedDict()
        self._nobody = HASHER.hash("nobody has this password")

    async def hash(self, tenant_id: UUID, password: str) -> str:
        """The PHC string to store. Raises the 503 problem when too many of the tenant's wait already."""
        return await self._run(tenant_id, HASHER.hash, password)

    async def verify(self, tenant_id: UUID, stored: str | None, password: str) -> bool:
        """Whether the password fits. Without a stored hash it takes just as long and says no. Raises like `hash`."""
        fits = await self._run(tenant_id, _verify, stored or self._nobody, password[:MAX_LENGTH])
        return fits and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's, so that a sign-in should replace it."""
        return HASHER.check_needs_rehash(stored)

    async def _run(self, tenant_id: UUID, work: Callable[..., T], *arguments: str) -> T:
        await self._turn(tenant_id)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)
        finally:
            self._pass_on()

    async def _turn(self, tenant_id: UUID) -> None:
        if self._free:
            self._free -= 1
            return
        line = self._lines.setdefault(tenant_id, deque())
        if len(line) >= self._queue:
            raise unavailable("Too many people are signing in at once. Try again in a moment.", retry_after=2)
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """The next turn is the first one's of the tenant that waits longest for one."""
        while self._lines:
            tenant_id, line = self._lines.popitem(last=False)
            turn = line.popleft()
            if line:
                self._lines[tenant_id] = line
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

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
