"""What can happen to a tenant in a life, as data; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]


@dataclass(frozen=True)
class Apply:
    """Apply a whole spec; `awaited`: go on only when the operator is done with it."""

    spec: Json
    why: str
    awaited: bool = True


@dataclass(frozen=True)
class Refused:
    """Apply a spec that the API server must refuse whole."""

    spec: Json
    why: str


@dataclass(frozen=True)
class Impossible:
    """Apply a spec that is well formed and cannot be had; the operator says so, and `back` makes it good again."""

    spec: Json
    back: Json
    why: str


@dataclass(frozen=True)
class Reverted:
    """Apply a spec and then the former one, which brings the former world back."""

    spec: Json
    back: Json
    why: str
    awaited: bool


@dataclass(frozen=True)
class Hand:
    """Somebody breaks something by hand; it is put right. `label` is what is taken off which child, if anything is."""

    what: str
    child: str = ""
    label: str = ""


@dataclass(frozen=True)
class Struck:
    """From here on something goes wrong once: at the n-th request, statement or Job of this tenant."""

    where: str
    what: str
    nth: int


#: An undelete window that is longer than any run.
WINDOW: Final = "30m"


@dataclass(frozen=True)
class End:
    """One way to delete a tenant: what becomes of its data, and for how long it may be had back first."""

    policy: str
    window: str

    def __str__(self) -> str:
        return self.policy + (f" and a window of {self.window}" if self.policy == "Delete" else "")

    @property
    def data_stays(self) -> bool:
        """Whether whoever applies the tenant again at once finds its data."""
        return self.policy == "Retain" or self.window == WINDOW


DROPPED: Final = End("Delete", "0s")
ENDS: Final = (End("Retain", "0s"), DROPPED, End("Delete", WINDOW), End("Delete", "1s"))


@dataclass(frozen=True)
class Reborn:
    """Delete the tenant, and apply it again: with its data back, or as a new one whose old data is dropped."""

    end: End


@dataclass(frozen=True)
class Rotated:
    """Have the credentials rotated, and once more: the login of before is in force again, with another password."""


Action = Apply | Refused | Impossible | Reverted | Hand | Struck | Reborn | Rotated


@dataclass(frozen=True)
class Life:
    """One tenant's life: first comes an Apply, and the last spec is `final`."""

    seed: int
    name: str
    actions: tuple[Action, ...]
    final: Json = field(hash=False)

    def __str__(self) -> str:
        return "\n".join(f"  {number}. {describe(action)}" for number, action in enumerate(self.actions, 1))


def describe(action: Action) -> str:
    """Return an action on one line."""
    match action:
        case Apply(_, why, awaited):
            told = f"apply: {why}" + ("" if awaited else ", and go on at once")
        case Refused(_, why):
            told = f"refused by the API server: {why}"
        case Impossible(_, _, why):
            told = f"cannot be had, and back: {why}"
        case Reverted(_, _, why, awaited):
            told = f"and back: {why}" + ("" if awaited else " (at once)")
        case Hand(what, child, label):
            told = f"by hand: {what}" + (f": {label} of {child}" if label else "")
        case Struck(where, what, nth):
            told = f"fault: {what} at {where} number {nth}"
        case Reborn(end):
            told = f"delete with {end}, and apply again"
        case Rotated():
            told = "rotate the credentials twice"
    return told
