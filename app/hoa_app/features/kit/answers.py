"""Refusals that a page shows beside the field and the API as a problem document: one exception, two faces."""

from collections.abc import Mapping

from hoa_app.problems import Problem


class Rejected(Problem):
    """422: what was sent cannot be taken. ``fields`` maps a form's field to what to change there."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        errors = [{"field": name, "pointer": f"/{camel(name)}", "detail": text} for name, text in fields.items()]
        super().__init__(422, "Some fields need another look", next(iter(fields.values()), ""), errors)
        self.fields = dict(fields)


class TooMany(Rejected):
    """429: one person sends more than people do. What was typed is kept, as with any form that cannot be taken."""

    def __init__(self, name: str, text: str, minutes: int) -> None:
        super().__init__({name: text})
        self.status, self.title = 429, "Slow down a little"
        self.headers["Retry-After"] = str(minutes * 60)


class Stale(Problem):
    """409: the thing was changed by someone else after the page was opened."""

    def __init__(self, thing: str, who: str = "Someone else") -> None:
        super().__init__(
            409,
            "Changed in the meantime",
            f"{who} changed this {thing} while you had it open. What you wrote is kept below and nothing was saved: "
            "look at what changed, then send it again.",
        )


def camel(name: str) -> str:
    """A form's field name as the JSON API spells it: ``valid_from`` becomes ``validFrom``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
