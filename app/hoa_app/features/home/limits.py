"""How much of the tier's homeowners are used, said before it becomes a problem."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """Homeowners now, and the most that the tier is meant for (None: as many as come)."""

    used: int
    most: int | None

    @property
    def tone(self) -> str:
        """Calm, a hint from nine tenths on, a warning beyond the limit."""
        if self.most is None or self.used < 0.9 * self.most:
            return ""
        return "bad" if self.used > self.most else "warn"
