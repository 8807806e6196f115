"""What a person or a program is told of an exception: whose trouble it is, what became of the change, what to do next."""

from __future__ import annotations

import psycopg
import pytest

from hoa_app.answers import problem_of


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (psycopg.errors.DiskFull("no space left on device"), 503, "no room left"),
        (psycopg.errors.DeadlockDetected("deadlock detected"), 503, "Someone else changed the same thing"),
        (psycopg.errors.TooManyConnections("sorry, too many clients already"), 503, "Every database connection"),
        (psycopg.errors.QueryCanceled("canceling statement due to statement timeout"), 503, "took too long"),
        (psycopg.errors.AdminShutdown("terminating connection"), 503, "not reachable right now"),
        (psycopg.OperationalError("connection to 10.1.2.3 refused"), 503, "not reachable right now"),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT"), 403, "nothing can be changed"),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), 422, "cannot be stored"),
        (psycopg.ProgrammingError("column secret does not exist"), 500, "It was noted"),
    ],
)
def test_what_the_database_says_in_words(error: psycopg.Error, status: int, says: str) -> None:
    problem = problem_of(error)
    assert (problem.status, says in problem.detail) == (status, True)
    assert str(error) not in problem.detail + problem.title
    assert ("Retry-After" in problem.headers) == (status == 503)
