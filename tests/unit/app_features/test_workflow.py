"""Which states follow which, for staff and for whoever filed the request."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_app.features.requests.workflow import OPEN, STATES, MoveRefusedError, Party, State, check_move, moves

STAFF, REPORTER = frozenset({Party.STAFF}), frozenset({Party.REPORTER})


def test_staff_takes_a_request_through_its_life() -> None:
    path = [
        State.SUBMITTED,
        State.IN_REVIEW,
        State.IN_PROGRESS,
        State.ANSWERED,
        State.RESOLVED,
        State.CLOSED,
        State.REOPENED,
    ]
    for here, there in itertools.pairwise(path):
        check_move(here, there, STAFF)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (State.CLOSED, State.IN_PROGRESS),
        (State.RESOLVED, State.IN_REVIEW),
        (State.IN_PROGRESS, State.SUBMITTED),
        (State.SUBMITTED, State.REOPENED),
    ],
)
def test_staff_cannot_skip_back(here: State, there: State) -> None:
    with pytest.raises(MoveRefusedError, match="cannot become"):
        check_move(here, there, STAFF)


def test_a_homeowner_withdraws_and_reopens_but_never_answers() -> None:
    assert moves(State.SUBMITTED, REPORTER) == (State.CLOSED,)
    assert moves(State.ANSWERED, REPORTER) == (State.CLOSED, State.REOPENED)
    assert moves(State.IN_PROGRESS, REPORTER) == ()
    reach = {there for here in State for there in moves(here, REPORTER)}
    assert reach == {State.CLOSED, State.REOPENED}


def test_the_refusal_says_what_is_possible() -> None:
    with pytest.raises(MoveRefusedError, match="From there it can become closed, reopened"):
        check_move(State.RESOLVED, State.IN_PROGRESS, STAFF)
    with pytest.raises(MoveRefusedError, match="already closed"):
        check_move(State.CLOSED, State.CLOSED, STAFF)
    with pytest.raises(MoveRefusedError, match="You cannot change it"):
        check_move(State.IN_PROGRESS, State.CLOSED, REPORTER)


@given(st.sampled_from(State), st.sets(st.sampled_from(Party)).map(frozenset))
def test_offered_moves_are_exactly_the_accepted_ones(here: State, parties: frozenset[Party]) -> None:
    offered = moves(here, parties)
    assert here not in offered
    for there in State:
        if there in offered:
            check_move(here, there, parties)
        else:
            with pytest.raises(MoveRefusedError):
                check_move(here, there, parties)


def test_nobody_is_ever_stuck() -> None:
    for state in State:
        assert moves(state, STAFF)
        assert state in STATES
    assert State.CLOSED not in OPEN
