"""Room for uploads: database and files together take no more than the tenant's limit. Only uploads are held to it, nothing else."""

from dataclasses import dataclass

from hoa_app.db.session import Tx
from hoa_app.features.kit.answers import Rejected
from hoa_app.services import Services
from hoa_app.settings import MEBIBYTE
from hoa_app.tenancy.tenant import Tenant

NEAR = 0.8
_UNITS = ((1024**4, "TB"), (1024**3, "GB"), (MEBIBYTE, "MB"))


class StorageFull(Rejected):
    """507: there is no room for what was uploaded. What was typed is kept, as with any form that cannot be taken."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__({name: text})
        self.status, self.title = 507, "No room for more files"


@dataclass(frozen=True)
class Space:
    """Bytes a tenant uses, database and files, and how many it may."""

    used: int
    limit: int

    @property
    def tone(self) -> str:
        """Calm, a warning from four fifths on, bad once it is full."""
        if self.used >= self.limit:
            return "bad"
        return "warn" if self.used >= NEAR * self.limit else ""

    @property
    def words(self) -> str:
        """For people, such as "9.8 of 10 GB"."""
        size, unit = next((pair for pair in _UNITS if self.limit >= pair[0]), (MEBIBYTE, "MB"))
        return f"{_short(self.used / size)} of {_short(self.limit / size)} {unit}"


async def space(services: Services, tenant: Tenant, tx: Tx, files: int) -> Space:
    """What a tenant uses, when its files have so many bytes."""
    return Space(files + await services.sizes.of(tenant.id, tx), tenant.limits.storage_bytes)


def check_room(found: Space, more: int, name: str, advice: str) -> None:
    """Raise unless ``more`` bytes fit. ``name`` is the form's field, ``advice`` what this person can do about it."""
    if found.used + more > found.limit:
        raise StorageFull(name, f"The storage of this portal is full: {found.words} are in use. {advice}")


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if number < 100 else f"{number:.0f}"
