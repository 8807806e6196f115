"""The zygote's own process: ``python -m tests.forking SOCKET MODULE [IMPORT ...]``; see ``tests.zygote``.

For each connection: one line of JSON in (arguments, env, cwd, log), ``{"pid": n}`` out, and ``{"code": n}`` when that
child has ended (negative: the signal). It ends its children when it is ended itself.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def main(address: str, module: str, *imports: str) -> None:
    """Import, listen, fork."""
    for name in (module, *imports):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{address}.new")
    listener.listen(64)
    Path(f"{address}.new").rename(address)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                _fork(module, listener, selector)
            else:
                _reap(key, selector)


def _fork(module: str, listener: socket.socket, selector: selectors.BaseSelector) -> None:
    asking, _ = listener.accept()
    request = json.loads(asking.makefile("r").readline())
    pid = os.fork()
    if pid == 0:
        selector.close()
        listener.close()
        asking.close()
        _become(module, request)
    os.setpgid(pid, pid)  # before anybody hears of it: whoever signals the group finds one
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, asking))
    asking.sendall(json.dumps({"pid": pid}).encode() + b"\n")


def _reap(key: selectors.SelectorKey, selector: selectors.BaseSelector) -> None:
    pid, asking = key.data
    _, status = os.waitpid(pid, 0)
    selector.unregister(key.fd)
    os.close(key.fd)
    try:
        asking.sendall(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode() + b"\n")
    except OSError:
        pass  # nobody asks any more
    finally:
        asking.close()


def _become(module: str, request: dict[str, Any]) -> None:
    """Be what ``python -m module`` would be; never returns."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setpgid(0, 0)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        sys.argv = [module, *request["arguments"]]
        code = _run(module)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(module: str) -> int:
    # The copy that was imported goes, so that the module is run as `python -m` runs it: once, as __main__.
    sys.modules.pop(module, None)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == "__main__":
    main(*sys.argv[1:])
