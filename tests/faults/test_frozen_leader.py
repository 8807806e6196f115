"""A leader that is frozen right before it drops, renames, rotates or hands over, and woken up late, harms nothing: the end
is the one of an undisturbed run, also where its successor did the opposite meanwhile.

`tests/cluster/test_operator_frozen.py` freezes one in open transactions and with a write on its way through a slow line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import frozen
from tests.faults.apirequest import api
from tests.faults.breaks import side_by_side
from tests.faults.frozen import CARRIED_OUT, Extend, Point, RotateAgain, ask_again, begin_again
from tests.faults.scenarios import Case, Drop, Lapse, Retain, Rotate, Scenario, Undelete
from tests.figures import record
from tests.never import never

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.apirequest import ApiRequest
    from tests.faults.lanes import Lane
    from tests.faults.statement import Statement
    from tests.faults.world import World


def says(*words: str) -> Callable[[], Callable[[Statement], bool]]:
    """Return what makes a predicate: the operator's statement has all these words in it, in their order."""

    def matches(statement: Statement) -> bool:
        rest = statement.text if statement.by_operator and statement.carried_out else ""
        for word in words:
            _, found, rest = rest.partition(word)
            if not found:
                return False
        return True

    return lambda: matches


def first_look_under_lock() -> Callable[[Statement], bool]:
    """Return a predicate: the look that each step takes at a tenant's database as soon as it holds the tenant's lock."""
    locked: set[int] = set()

    def matches(statement: Statement) -> bool:
        looks = statement.session in locked and "AS custom_settings_allowed" in statement.text
        locked.discard(statement.session)
        if statement.by_operator and statement.text.startswith("SELECT pg_advisory_lock"):
            locked.add(statement.session)
        return looks

    return matches


def credentials(case: Case) -> Callable[[ApiRequest], bool]:
    """Match the write of the tenant's credentials."""
    return api("patch", "secrets", name=f"tenant-{case.name}-credentials")


DROP = says("DROP DATABASE", "hoa_connect_tenant_")
RENAME = says("ALTER DATABASE", "RENAME TO")
NEW_PASSWORD = says("ALTER ROLE", "_app_b", "PASSWORD 'SCRAM")
CLOSE = says("ALTER ROLE", '_app" NOLOGIN')
POINTS = [
    Point("drop", Drop, DROP),
    Point("drop, and the data is taken over", Drop, DROP, meanwhile=begin_again, ends_as=Undelete),
    Point("drop of the roles", Drop, says("DROP ROLE")),
    Point("drop of the record", Drop, says("DELETE FROM tenants")),
    Point("drop after the window", Lapse, says("DROP DATABASE", "hoa_connect_deleted_")),
    Point("tombstone", Retain, RENAME),
    Point("tombstone, and the data is taken over", Retain, RENAME, meanwhile=begin_again, ends_as=Undelete),
    Point("rotation: Secret", Rotate, request=credentials),
    Point("rotation: password", Rotate, NEW_PASSWORD),
    Point("rotation: old login closed", Rotate, CLOSE),
    Point("rotation: old login in force again", Rotate, CLOSE, meanwhile=ask_again, ends_as=RotateAgain),
    Point("adoption: claim", Undelete, says("UPDATE placements", "claimants")),
    Point("adoption: comment", Undelete, says("COMMENT ON DATABASE")),
    Point("adoption: comment, and another heir", Undelete, says("COMMENT ON DATABASE"), meanwhile=begin_again),
    Point("adoption: record, and another heir", Undelete, says("UPDATE tenants SET uid"), meanwhile=begin_again),
    Point("adoption: name", Undelete, RENAME),
    # The third step of bringing a database to its spec goes on in a session of its own, which it has yet to open.
    Point(
        "extension, and the data is taken over",
        Extend,
        looking=first_look_under_lock,
        nth=3,
        meanwhile=begin_again,
        ends_as=Undelete,
    ),
]


@pytest.fixture(scope="module")
def asked(request: pytest.FixtureRequest) -> list[Point]:
    """The points of the tests that were selected."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    found = [item.callspec.params["point"] for item in items if item.obj is test_a_leader_woken_late_harms_nothing]
    return [point for point in POINTS if point in found]


@pytest.fixture(scope="module")
def references(lanes: list[Lane], asked: list[Point]) -> dict[Scenario, World]:
    """The worlds that undisturbed runs end in."""
    found: dict[Scenario, World] = {}

    def task(scenario: Scenario) -> Callable[[Lane], None]:
        return lambda lane: found.__setitem__(scenario, lane.clean_run(scenario)[1])

    side_by_side(lanes, [task(scenario) for scenario in dict.fromkeys(point.end for point in asked)])
    return found


@pytest.fixture(scope="module")
def outcomes(lanes: list[Lane], asked: list[Point], references: dict[Scenario, World]) -> dict[str, list[str]]:
    """What was not as it should be, by the point's name: all of them run, side by side."""
    found: dict[str, list[str]] = {}

    def task(point: Point) -> Callable[[Lane], None]:
        def work(lane: Lane) -> None:
            try:
                found[point.name] = frozen.run(lane, point, references[point.end])
            except AssertionError as error:
                found[point.name] = [str(error)]

        return work

    side_by_side(lanes, [task(point) for point in asked])
    harmless = sum(not wrong for wrong in found.values())
    record("frozen leaders woken late that harmed nothing", harmless, len(asked), at_least=True)
    return found


@pytest.mark.figures
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_leader_woken_late_harms_nothing(outcomes: dict[str, list[str]], point: Point) -> None:
    wrong = outcomes[point.name]
    never(wrong if any(line.startswith(CARRIED_OUT) for line in wrong) else (), "an old leader's write was carried out")
    assert not wrong, "\n".join(wrong)
