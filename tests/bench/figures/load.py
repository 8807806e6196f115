"""A closed loop of keep-alive connections on loopback, by wrk; bounded in time."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.bench.lab import on_core
from tests.bench.openloop import Ask
from tests.programs import program

if TYPE_CHECKING:
    from collections.abc import Sequence

REPORT = """
done = function(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("RESULT %d %d %f %f %f %f %f\\n", summary.requests, bad, latency.mean / 1000,
    latency:percentile(50) / 1000, latency:percentile(95) / 1000, latency:percentile(99) / 1000,
    summary.duration / 1e6))
end
"""
IN_TURN = """
local asks, file, place = {}, io.open("%s", "rb"), 0
for length in function() return file:read("*n") end do
  file:read(1)
  asks[#asks + 1] = file:read(length)
end
function request()
  place = place %% #asks + 1
  return asks[place]
end
"""


@dataclass(frozen=True)
class Load:
    """What came of it; times in milliseconds."""

    requests: int
    errors: int
    mean: float
    p50: float
    p95: float
    p99: float
    seconds: float

    @property
    def rate(self) -> float:
        """Requests per second that were answered well."""
        return (self.requests - self.errors) / self.seconds


def drive(url: str, headers: dict[str, str], *, connections: int = 50, seconds: int = 10) -> Load:
    """Run wrk for `seconds` with `connections` at once."""
    return cycle([Ask(url, headers)], connections=connections, seconds=seconds)


def cycle(asks: Sequence[Ask], *, connections: int, seconds: int, core: int | None = None) -> Load:
    """Send the requests, all to one server, in turn, each as soon as one of the connections is free."""
    with tempfile.TemporaryDirectory() as folder:
        script, sent = Path(folder) / "load.lua", Path(folder) / "asks"
        sent.write_bytes(b"".join(b"%d %b" % (len(ask), ask) for ask in map(on_the_wire, asks)))
        script.write_text(IN_TURN % sent + REPORT)
        argv = [str(program("wrk", "wrk")), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s"]
        argv += ["-s", str(script), asks[0].url]
        held = argv if core is None else on_core(core, argv)
        done = subprocess.run(held, capture_output=True, text=True, check=True, timeout=seconds + 30)
    found = re.search(r"RESULT (\d+) (\d+)" + r" (\S+)" * 5, done.stdout)
    if found is None:
        raise RuntimeError(f"wrk said nothing that can be read:\n{done.stdout}{done.stderr}")
    return Load(int(found[1]), int(found[2]), *map(float, found.groups()[2:]))


def on_the_wire(ask: Ask) -> bytes:
    """Write a request down as it goes over the wire."""
    parts = urlsplit(ask.url)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    body = ask.body or b""
    headers = {"Host": parts.netloc, **ask.headers, **({} if ask.body is None else {"Content-Length": str(len(body))})}
    lines = [f"{ask.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body
