"""Who must act when something is wrong: a person (`UserError`), time (`WorldError`), or a successor (`Fenced`,
`Outdated`).

Every error carries a CamelCase `reason` for a condition and a `message` a person can act on; neither ever holds a
secret.
"""

from __future__ import annotations


class Explained(Exception):
    """Anything the operator can explain; `reason` is CamelCase, `message` says what is wrong, where, and what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class OperatorError(Explained):
    """What went wrong with the work at hand."""


class UserError(OperatorError):
    """A person must change something: no retry until the spec or an object it depends on changes."""


class WorldError(OperatorError):
    """Time may heal it: retried with backoff, or after `retry_after` seconds if the world told us how long."""

    def __init__(self, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after


class Fenced(Explained):
    """Another instance leads now: stop at once, undo nothing, and let the process end.

    No error of any work, so that nobody who minds those holds it up on its way out or writes it down.
    """

    def __init__(self, message: str = "another operator instance has taken the lead") -> None:
        super().__init__("Fenced", message)


class Outdated(OperatorError):
    """What is stored was written by a later build than this one: give up the lead, and end, so that a later one leads."""

    def __init__(self, message: str) -> None:
        super().__init__("Outdated", message)


class ForeignRegistry(UserError):
    """The registry belongs to another Kubernetes cluster: touch nothing, and wait until a person decides."""

    def __init__(self, message: str) -> None:
        super().__init__("RegistryOfAnotherCluster", message)


class TenantRecordLeft(UserError):
    """An earlier HOATenant went without a teardown, and its row is not retained yet; `todo` comes before waiting, and `then` is
    what the new one does after it."""

    def __init__(self, whose: str, todo: str = "", then: str = "goes on without it") -> None:
        super().__init__(
            "TenantRecordLeft",
            f"the registry still holds an earlier HOATenant {whose} that went without a teardown, as when its namespace is deleted. "
            f"{todo}Its data is retained an hour after the operator missed it, and this one then {then}; but "
            "while most tenants of the registry have lost their HOATenants, nothing is retained: "
            "docs/operations/retained-databases.md#the-earlier-hoatenant-went-without-a-deletion",
        )


class SlugTaken(UserError):
    """Another tenant, perhaps one being deleted, holds the slug."""

    def __init__(self, slug: str, owner: str) -> None:
        super().__init__(
            "SlugTaken",
            f"slug {slug!r} belongs to HOATenant {owner}; choose another spec.slug, or wait until that one is deleted",
        )
        self.slug = slug
        self.owner = owner


class HostTaken(UserError):
    """Another tenant holds the host."""

    def __init__(self, host: str, owner: str) -> None:
        super().__init__(
            "HostTaken",
            f"host {host!r} belongs to HOATenant {owner}; remove it from spec.domains here, or from that tenant first",
        )
        self.host = host
        self.owner = owner


class HostLeaving(WorldError):
    """Another tenant holds the host still, and gives it up."""

    def __init__(self, host: str, owner: str) -> None:
        super().__init__(
            "HostLeaving",
            f"host {host!r} is still held by HOATenant {owner}, which gives it up; wait until it is free. "
            "Should it last, see what the conditions of that HOATenant say",
        )
