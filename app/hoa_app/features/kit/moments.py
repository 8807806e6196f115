"""Instants and days in words: shown in the tenant's own time zone, with UTC for whoever needs to be exact."""

from datetime import UTC, date, datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from markupsafe import Markup

FALLBACK_ZONE = "America/New_York"


def zone(name: str) -> ZoneInfo:
    """The named zone; the default one where this machine does not know the name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(FALLBACK_ZONE)


def today(name: str, now: datetime | None = None) -> date:
    """The calendar day in a zone."""
    return (now or datetime.now(UTC)).astimezone(zone(name)).date()


def moment(instant: datetime, name: str) -> Markup:
    """``<time>`` in the zone, with the same instant in UTC as its title."""
    local, utc = instant.astimezone(zone(name)), instant.astimezone(UTC)
    shown = f"{local:%b} {local.day}, {local.year}, {local.hour % 12 or 12}:{local:%M} {local:%p}"
    return Markup('<time datetime="{}" title="{:%Y-%m-%d %H:%M} UTC">{}</time>').format(utc.isoformat(), utc, shown)


def day(value: date | None) -> Markup:
    """``<time>`` of a calendar day, which no zone can move."""
    if value is None:
        return Markup("")
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), f"{value:%b} {value.day}, {value.year}")


def age(instant: datetime, now: datetime) -> str:
    """How long ago, in one unit."""
    minutes = max(0, int((now - instant).total_seconds() // 60))
    if minutes < 60:
        return "just now" if minutes < 2 else f"{minutes} minutes ago"
    if minutes < 60 * 24:
        return _count(minutes // 60, "hour")
    return _count(minutes // (60 * 24), "day")


@cache
def zone_choices() -> tuple[tuple[str, str], ...]:
    """Zones to choose from, with what to show: the United States first, where the communities are, then the world."""
    world = sorted(
        name
        for name in available_timezones()
        if "/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/"))
    )
    first = [
        "America/New_York",
        "America/Chicago",
        "America/Denver",
        "America/Phoenix",
        "America/Los_Angeles",
        "America/Anchorage",
        "Pacific/Honolulu",
        "America/Puerto_Rico",
    ]
    names = (*first, *(name for name in world if name not in first))
    return tuple((name, name.replace("_", " ")) for name in names)


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'} ago"
