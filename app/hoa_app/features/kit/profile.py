"""Facts of the company that every page needs: for now, the time zone its days begin in."""

from hoa_app.db.session import Tx
from hoa_app.features.kit.moments import FALLBACK_ZONE


async def time_zone(tx: Tx) -> str:
    """The company's time zone, as the onboarding or the settings page left it."""
    row = await (await tx.execute("SELECT value FROM settings WHERE key = 'time_zone'")).fetchone()
    return str(row["value"]) if row else FALLBACK_ZONE
