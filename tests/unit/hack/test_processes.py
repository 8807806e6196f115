"""Processes are known by id and start time, so that nobody else's is ever ended."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hack.cluster.node import processes
from hack.cluster.shell import ClusterError


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_record_finds_its_process_again(sleeper: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    saved = processes.save(tmp_path / "sleep.json", sleeper.pid, "abc")
    assert processes.load(tmp_path / "sleep.json") == saved
    assert (saved.pid, saved.digest) == (sleeper.pid, "abc")


def test_another_process_with_the_same_number_is_not_ours(sleeper: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    saved = processes.save(tmp_path / "sleep.json", sleeper.pid)
    assert saved.alive
    assert not replace(saved, started=saved.started - 1).alive
    assert not replace(saved, boot="an earlier start of this machine").alive


def test_stop_ends_it_and_forgets_it(tmp_path: Path) -> None:
    file = tmp_path / "sleep.json"
    pid = processes.start(["sleep", "60"], tmp_path / "log")
    record = processes.save(file, pid)
    processes.stop(file)
    assert not record.alive
    assert not file.exists()
    os.waitpid(pid, 0)
    processes.stop(file)


def test_a_process_that_ended_at_once_is_told(tmp_path: Path) -> None:
    pid = processes.start(["false"], tmp_path / "log")
    os.waitpid(pid, 0)
    with pytest.raises(ClusterError, match="etcd ended as soon as it was started"):
        processes.save(tmp_path / "etcd.json", pid)


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1}', "[]"])
def test_a_record_cut_short_is_no_record(text: str, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text(text)
    assert processes.load(tmp_path / "broken.json") is None


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(ClusterError, match="in vain: the moon rises"):
        processes.wait(lambda: None, 0, "the moon rises")
