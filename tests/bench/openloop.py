"""An open loop at a fixed rate, by vegeta: every request is sent when it is due, whether or not earlier ones are answered,
and its latency counts from then. So a server that stalls is charged for all who would have waited."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.lab import LOAD_CORE, on_core
from tests.programs import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MILLISECOND = 1e6


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
class Arrival:
    """What came of it; times in milliseconds, `rate` in requests per second that were answered well."""

    requests: int
    errors: int
    mean: float
    p50: float
    p99: float
    rate: float
    worst: str


def arrive(asks: Iterable[Ask], rate: float, seconds: float, core: int | None = LOAD_CORE) -> Arrival:
    """Send the requests in turn, from the first again after the last, `rate` a second; redirects are answers."""
    vegeta = str(program("vegeta", "vegeta"))
    with tempfile.TemporaryDirectory() as folder:
        targets, results = Path(folder) / "targets", Path(folder) / "results"
        targets.write_text("\n".join(ask.target() for ask in asks) + "\n")
        attack = [vegeta, "-cpus", "1", "attack", "-format=json", f"-targets={targets}", f"-output={results}"]
        attack += [f"-rate={max(1, round(rate * 60))}/1m", f"-duration={seconds}s", "-redirects=-1", "-timeout=10s"]
        subprocess.run(attack if core is None else on_core(core, attack), check=True, timeout=seconds + 60)
        report = subprocess.run(
            [vegeta, "report", "-type=json", str(results)], check=True, capture_output=True, text=True
        )
    said = json.loads(report.stdout)
    latency = said["latencies"]
    codes = said["status_codes"]
    good = sum(count for code, count in codes.items() if 200 <= int(code) < 400)
    return Arrival(
        requests=said["requests"],
        errors=said["requests"] - good,
        mean=latency["mean"] / _MILLISECOND,
        p50=latency["50th"] / _MILLISECOND,
        p99=latency["99th"] / _MILLISECOND,
        rate=said["throughput"],
        worst="; ".join((said["errors"] or [])[:3]),
    )
