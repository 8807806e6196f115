"""The open loop: every request is sent when it is due, whether or not earlier ones are answered, and its latency counts from
when it was due. So a server that stalls is charged for all who would have waited, and so is one whose load comes late
because the machine has nothing left."""

from __future__ import annotations

import asyncio
import base64
import csv
import json
import math
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from tests.bench.lab import LOAD_CORE, on_core
from tests.programs import program

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping, Sequence

_TIMEOUT_SECONDS: Final = 10


@dataclass(frozen=True)
class Ask:
    """One request; `body` is sent as it stands."""

    url: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes | None = None

    def target(self) -> str:
        """Return it as vegeta reads it, one line of JSON."""
        known: dict[str, Any] = {
            "method": self.method,
            "url": self.url,
            "header": {name: [value] for name, value in self.headers.items()},
        }
        if self.body is not None:
            known["body"] = base64.b64encode(self.body).decode()
        return json.dumps(known)


@dataclass(frozen=True)
class Answered:
    """One request: its status, 0 for none, and when it was due, was sent and was answered, in seconds of one clock."""

    status: int
    due: float
    sent: float
    ended: float

    @property
    def milliseconds(self) -> float:
        """What it took since it was due."""
        return 1000 * (self.ended - self.due)


@dataclass(frozen=True)
class Arrival:
    """What came of many."""

    answers: Sequence[Answered]

    @property
    def requests(self) -> int:
        """How many were sent."""
        return len(self.answers)

    @property
    def codes(self) -> Counter[int]:
        """How often each status was the answer, 0 for none."""
        return Counter(each.status for each in self.answers)

    @property
    def errors(self) -> int:
        """How many were not answered well; redirects are answers."""
        return sum(count for code, count in self.codes.items() if not 200 <= code < 400)

    @property
    def mean(self) -> float:
        """Milliseconds, of all."""
        return statistics.fmean(each.milliseconds for each in self.answers)

    @property
    def p50(self) -> float:
        """Milliseconds."""
        return quantile([each.milliseconds for each in self.answers], 0.5)

    @property
    def p99(self) -> float:
        """Milliseconds."""
        return p99([each.milliseconds for each in self.answers])

    @property
    def lag(self) -> float:
        """By how many milliseconds the load itself was late, 99 times of 100 at most."""
        return p99([1000 * (each.sent - each.due) for each in self.answers])

    @classmethod
    def together(cls, rounds: Iterable[Arrival]) -> Arrival:
        """Return what came of all of them: a p99 of one short round is told by a handful of answers."""
        return cls([answer for each in rounds for answer in each.answers])

    def __str__(self) -> str:
        codes = ", ".join(f"{count} x {code or 'no answer'}" for code, count in self.codes.most_common())
        return f"{codes}; p99 {self.p99:.1f} ms"


def arrive(asks: Iterable[Ask], rate: float, seconds: float, core: int | None = LOAD_CORE) -> Arrival:
    """Send the requests in turn at an even pace, by vegeta, from the first again after the last, `rate` a second."""
    vegeta = str(program("vegeta", "vegeta"))
    pace = max(1, round(rate * 60))
    with tempfile.TemporaryDirectory() as folder:
        targets, results, table = (Path(folder) / name for name in ("targets", "results", "table"))
        targets.write_text("\n".join(ask.target() for ask in asks) + "\n")
        attack = [vegeta, "-cpus", "1", "attack", "-format=json", f"-targets={targets}", f"-output={results}"]
        attack += [f"-rate={pace}/1m", f"-duration={seconds}s", "-redirects=-1", f"-timeout={_TIMEOUT_SECONDS}s"]
        attack += ["-max-body=0"]
        subprocess.run(attack if core is None else on_core(core, attack), check=True, timeout=seconds + 60)
        subprocess.run([vegeta, "encode", "-to=csv", f"-output={table}", str(results)], check=True)
        with table.open(newline="") as file:
            rows = list(csv.reader(file))
    # Nanoseconds of the clock when it was sent, status, nanoseconds until the answer; further on the number it was sent as.
    sent = [(int(row[8]), int(row[1]), int(row[0]) / 1e9, int(row[2]) / 1e9) for row in rows]
    assert sent, "vegeta sent nothing"
    began = min(at - number * 60 / pace for number, _, at, _ in sent)
    return Arrival([Answered(status, began + number * 60 / pace, at, at + took) for number, status, at, took in sent])


def come_and_go(asks: Sequence[Ask], rate: float, turns: random.Random) -> Arrival:
    """Send each request once, as many people do who think in between for as long as they like and know nothing of each
    other: `rate` a second on average, by a process of Poisson's."""
    due, at = [], 0.0
    for _ in asks:
        due.append(at)
        at += turns.expovariate(rate)
    return Arrival(asyncio.run(_send(asks, due)))


async def _send(asks: Sequence[Ask], due: Sequence[float]) -> Sequence[Answered]:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    # Cookies are the people's, and each request carries its own.
    jar, connector = aiohttp.DummyCookieJar(), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=jar, connector=connector) as client:
        began = time.monotonic() + 0.1

        async def one(ask: Ask, at: float) -> Answered:
            await asyncio.sleep(began + at - time.monotonic())
            sent = time.monotonic()
            try:
                async with client.request(
                    ask.method, ask.url, headers=ask.headers, data=ask.body, allow_redirects=False
                ) as answer:
                    await answer.read()
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError):
                status = 0
            return Answered(status, began + at, sent, time.monotonic())

        return await asyncio.gather(*(one(ask, at) for ask, at in zip(asks, due, strict=True)))


def quantile(values: Sequence[float], share: float) -> float:
    """Return what this share of the values are at most, the nearest rank."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def p99(values: Sequence[float]) -> float:
    """Return what 99 of 100 are at most."""
    return quantile(values, 0.99)
