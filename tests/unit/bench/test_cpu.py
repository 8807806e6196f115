"""The cost of a program counts what its children use, too."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.bench import cpu

BUSY = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"


def test_a_child_counts() -> None:
    before = cpu.seconds(os.getpid())
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in cpu.family(os.getpid())
        assert cpu.seconds(os.getpid()) - before > 0.15
        child.stdin.close()


def test_what_is_gone_counts_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert cpu.seconds(child.pid) == 0.0
