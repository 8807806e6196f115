"""What one process opens at start and shares: handed to requests and jobs, never a module's global."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hoa_app.db.sizes import DatabaseSizes

if TYPE_CHECKING:
    from jinja2 import Environment

    from hoa_app.db.pools import Pools
    from hoa_app.feature import Feature, NavItem
    from hoa_app.identity.passwords import Passwords
    from hoa_app.jobs.mail import Mailer
    from hoa_app.metrics import Metrics
    from hoa_app.settings import Settings
    from hoa_app.storage import Storage
    from hoa_app.tenancy.registry import Registry


@dataclass(frozen=True)
class Services:
    """One of each."""

    settings: Settings
    registry: Registry
    pools: Pools
    storage: Storage
    mailer: Mailer
    passwords: Passwords
    metrics: Metrics
    templates: Environment
    features: tuple[Feature, ...]
    nav: tuple[NavItem, ...]
    sizes: DatabaseSizes = field(default_factory=DatabaseSizes)
