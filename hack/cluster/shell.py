"""Commands, progress lines and errors that say what to do next."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HEARTBEAT_SECONDS = 20.0

Word = str | Path
"""A word of a command line."""


class ClusterError(Exception):
    """Something a person must know: what went wrong, and what to do about it."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def say(text: str) -> None:
    """One line for the person who waits. Standard error, so that verbs which print data stay clean."""
    print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`75.2` → `1m15s`."""
    whole = round(seconds)
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{seconds:.1f}s"


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, say every so often that it still runs, and how long it took."""
    started = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            say(f"    ... {title} ({duration(time.monotonic() - started)})")

    say(f"--> {title}")
    ticker = threading.Thread(target=beat, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
    say(f"    done in {duration(time.monotonic() - started)}")


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """This process's environment with `changes` made; None takes a variable away."""
    env = dict(os.environ)
    for key, value in (changes or {}).items():
        if value is None:
            env.pop(key, None)
        else:
            env[key] = value
    return env


def run(
    argv: Sequence[Word],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    stdin: str = "",
    log: Path | None = None,
) -> str:
    """Run to the end and return standard output; a failure shows the last lines and, with `log`, where the rest is."""
    words = [str(word) for word in argv]
    done = subprocess.run(
        words, cwd=cwd, env=environment(env), input=stdin, capture_output=True, text=True, check=False, errors="replace"
    )
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}\n")
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        where = f"The whole output is in {log}." if log else ""
        raise ClusterError(f"`{' '.join(words[:6])}` ended with {done.returncode}:\n{tail}", where)
    return done.stdout


def succeeds(argv: Sequence[Word], *, env: Mapping[str, str | None] | None = None) -> bool:
    """Whether a command that only looks at something answers yes."""
    try:
        words = [str(word) for word in argv]
        done = subprocess.run(
            words,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0
