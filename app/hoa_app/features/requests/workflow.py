"""The life of a request: which states follow which, and who may move it; pure, so that page, API and tests agree."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a request stands."""

    SUBMITTED = "Submitted"
    IN_REVIEW = "InReview"
    IN_PROGRESS = "InProgress"
    ANSWERED = "Answered"
    RESOLVED = "Resolved"
    CLOSED = "Closed"
    REOPENED = "Reopened"


class Category(StrEnum):
    """What a request is about."""

    MAINTENANCE = "Maintenance"
    ARCHITECTURAL = "Architectural"
    QUESTION = "Question"


class Party(StrEnum):
    """Who moves a request: the people who answer it, or the homeowner who filed it."""

    STAFF = "Staff"
    REPORTER = "Reporter"


@dataclass(frozen=True)
class StateText:
    """How people read a state: its name, the button that leads to it, and its tone in the stylesheet."""

    label: str
    action: str
    tone: str


STATES: dict[State, StateText] = {
    State.SUBMITTED: StateText("Submitted", "Submit", "new"),
    State.IN_REVIEW: StateText("In review", "Start review", "active"),
    State.IN_PROGRESS: StateText("In progress", "Start work", "active"),
    State.ANSWERED: StateText("Answered", "Mark as answered", "good"),
    State.RESOLVED: StateText("Resolved", "Mark as resolved", "good"),
    State.CLOSED: StateText("Closed", "Close", "quiet"),
    State.REOPENED: StateText("Reopened", "Reopen", "new"),
}
CATEGORIES: dict[Category, str] = {
    Category.MAINTENANCE: "Maintenance",
    Category.ARCHITECTURAL: "Architectural change",
    Category.QUESTION: "General question",
}
OPEN = frozenset({State.SUBMITTED, State.IN_REVIEW, State.IN_PROGRESS, State.REOPENED})
_LEAVING_OPEN = frozenset({State.IN_PROGRESS, State.ANSWERED, State.RESOLVED, State.CLOSED})

_STAFF: dict[State, frozenset[State]] = {
    State.SUBMITTED: _LEAVING_OPEN | {State.IN_REVIEW},
    State.IN_REVIEW: _LEAVING_OPEN,
    State.IN_PROGRESS: frozenset({State.ANSWERED, State.RESOLVED, State.CLOSED}),
    State.ANSWERED: frozenset({State.IN_PROGRESS, State.RESOLVED, State.CLOSED, State.REOPENED}),
    State.RESOLVED: frozenset({State.CLOSED, State.REOPENED}),
    State.CLOSED: frozenset({State.REOPENED}),
    State.REOPENED: _LEAVING_OPEN | {State.IN_REVIEW},
}
_REPORTER: dict[State, frozenset[State]] = {
    State.SUBMITTED: frozenset({State.CLOSED}),
    State.IN_REVIEW: frozenset({State.CLOSED}),
    State.IN_PROGRESS: frozenset(),
    State.ANSWERED: frozenset({State.CLOSED, State.REOPENED}),
    State.RESOLVED: frozenset({State.CLOSED, State.REOPENED}),
    State.CLOSED: frozenset({State.REOPENED}),
    State.REOPENED: frozenset({State.CLOSED}),
}
_MOVES = {Party.STAFF: _STAFF, Party.REPORTER: _REPORTER}


class MoveRefusedError(ValueError):
    """A request cannot go from where it is to the state asked for."""


def moves(state: State, parties: frozenset[Party]) -> tuple[State, ...]:
    """States that someone in ``parties`` may move a request to, in the order of a request's life."""
    allowed = frozenset[State]().union(*(_MOVES[party][state] for party in parties))
    return tuple(candidate for candidate in STATES if candidate in allowed)


def check_move(state: State, target: State, parties: frozenset[Party]) -> None:
    """Raise MoveRefusedError, with words for the person, unless the move is allowed."""
    if target in moves(state, parties):
        return
    if target == state:
        raise MoveRefusedError(f"This request is already {STATES[state].label.lower()}.")
    options = ", ".join(STATES[move].label.lower() for move in moves(state, parties))
    reach = f"From there it can become {options}." if options else "You cannot change it from there."
    raise MoveRefusedError(
        f"A request that is {STATES[state].label.lower()} cannot become {STATES[target].label.lower()}. {reach}"
    )
