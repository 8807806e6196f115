"""What an owner may change about the company's portal."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from hoa_app.audit import audit
from hoa_app.db.session import Tx
from hoa_app.features.kit.answers import Rejected
from hoa_app.features.kit.forms import FormReader
from hoa_app.identity.actor import Actor


@dataclass(frozen=True)
class ProfileForm:
    """Facts of the company."""

    time_zone: str

    @classmethod
    def read(cls, raw: Mapping[str, object]) -> "ProfileForm":
        """From a submitted form; raises Rejected."""
        reader = FormReader(raw)
        form = cls(reader.zone("time_zone"))
        if reader.errors:
            raise Rejected(reader.errors)
        return form


async def save(tx: Tx, actor: Actor, form: ProfileForm) -> None:
    """Keep the company's facts."""
    await tx.execute(
        "INSERT INTO settings (key, value) VALUES ('time_zone', %s), ('looked_over', 'true')"
        " ON CONFLICT (tenant_id, key) DO UPDATE SET value = excluded.value, updated_at = now()",
        (Jsonb(form.time_zone),),
    )
    await audit(tx, actor, "settings.changed", "settings", "time_zone", {"timeZone": form.time_zone})
