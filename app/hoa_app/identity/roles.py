"""The four roles and what each may do. Roles live in the database; what a role means lives here only."""

from __future__ import annotations

from enum import StrEnum

HOMEOWNER_PERMISSIONS = frozenset({"home:read", "requests:read", "requests:create"})
BOARD_PERMISSIONS = frozenset(
    {"communities:read", "people:read", "requests:read", "requests:answer", "requests:create"}
)
MANAGER_PERMISSIONS = BOARD_PERMISSIONS | {
    "communities:write",
    "people:write",
    "requests:write",
    "users:read",
    "users:invite",
    "imports:run",
}
OWNER_PERMISSIONS = MANAGER_PERMISSIONS | {"users:write", "settings:write", "audit:read"}


class Role(StrEnum):
    """What a user is to the management company."""

    OWNER = "owner"
    MANAGER = "manager"
    BOARD = "board"
    HOMEOWNER = "homeowner"

    @property
    def permissions(self) -> frozenset[str]:
        """Everything the role may do."""
        return PERMISSIONS[self]

    @property
    def label(self) -> str:
        """For people."""
        return {"owner": "Owner", "manager": "Manager", "board": "Board member", "homeowner": "Homeowner"}[self.value]


PERMISSIONS: dict[Role, frozenset[str]] = {
    Role.OWNER: OWNER_PERMISSIONS,
    Role.MANAGER: MANAGER_PERMISSIONS,
    Role.BOARD: BOARD_PERMISSIONS,
    Role.HOMEOWNER: HOMEOWNER_PERMISSIONS,
}

# Nobody hands out more than they hold: an inviter may give these roles.
INVITABLE: dict[Role, frozenset[Role]] = {
    Role.OWNER: frozenset(Role),
    Role.MANAGER: frozenset({Role.MANAGER, Role.BOARD, Role.HOMEOWNER}),
    Role.BOARD: frozenset(),
    Role.HOMEOWNER: frozenset(),
}
