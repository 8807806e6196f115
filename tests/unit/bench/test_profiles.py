"""Where a server's time went, by whose code was running."""

from __future__ import annotations

from tests.bench.profiles import Profile, package_of, shares

RUN = "_run_module_as_main (<frozen runpy>:198);run (uvloop/__init__.py:96)"


def test_a_sample_counts_for_whose_code_was_running() -> None:
    stacks = [
        f"{RUN};handle (hoa_app/tenancy/line.py:40);execute (psycopg/connection_async.py:400) 6",
        f"{RUN};handle (hoa_app/tenancy/line.py:41) 3",
        f"{RUN};root (hoa_app/templates/people/list.html:12) 1",
    ]
    assert shares(stacks) == {"psycopg": 0.6, "hoa_app": 0.3, "templates": 0.1}
    assert Profile(shares(stacks)).words(2) == "psycopg 60 %, hoa_app 30 %"


def test_python_itself_has_modules_and_what_was_compiled_no_file() -> None:
    assert package_of("loads (json/__init__.py:346)") == "json"
    assert package_of("getaddrinfo (socket.py:962)") == "socket"
    assert package_of("<module> (<string>:1)") == "Python"
    assert package_of("what has no place") == "Python"
