"""A closed loop of keep-alive connections against one URL on loopback, by wrk; bounded in time."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPORT = """
done = function(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("RESULT %d %d %f %f %f %f\\n", summary.requests, bad, latency.mean / 1000,
    latency:percentile(50) / 1000, latency:percentile(95) / 1000, summary.duration / 1e6))
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
    seconds: float


def drive(url: str, headers: dict[str, str], *, connections: int = 50, seconds: int = 10) -> Load:
    """Run wrk for `seconds` with `connections` at once."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "report.lua"
        script.write_text(REPORT)
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", "-s", str(script)]
        for name, value in headers.items():
            argv += ["-H", f"{name}: {value}"]
        done = subprocess.run([*argv, url], capture_output=True, text=True, check=True, timeout=seconds + 30)
    found = re.search(r"RESULT (\d+) (\d+) (\S+) (\S+) (\S+) (\S+)", done.stdout)
    if found is None:
        raise RuntimeError(f"wrk said nothing that can be read:\n{done.stdout}{done.stderr}")
    return Load(int(found[1]), int(found[2]), *map(float, found.groups()[2:]))
