"""The statements, in SQLAlchemy's own language and built once, as its cache wants them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ARRAY, Date, Text, bindparam, case, cast, collate, exists, func, or_, select

from tests.bench.peers.fastapi_sqlalchemy.models import (
    Community,
    Invitation,
    Ownership,
    Person,
    Session,
    Setting,
    Unit,
    User,
)

IDLE = timedelta(days=7)
TOUCH = timedelta(minutes=1)

_today = cast(func.timezone(Community.time_zone, func.now()), Date)
_owned = (
    select(Community.name + " " + Unit.label)
    .select_from(Ownership)
    .join(Unit, Unit.id == Ownership.unit_id)
    .join(Community, Community.id == Unit.community_id)
    .where(Ownership.person_id == Person.id, Ownership.valid_from <= _today)
    .where(or_(Ownership.valid_to.is_(None), Ownership.valid_to > _today))
    .order_by(func.lower(Community.name), collate(Unit.sort_key, "C"))
    .correlate(Person)
    .scalar_subquery()
)
_invited = exists().where(
    Invitation.person_id == Person.id,
    Invitation.accepted_at.is_(None),
    Invitation.revoked_at.is_(None),
    Invitation.expires_at > func.now(),
)
PERSON = select(
    Person.id,
    Person.name,
    Person.email,
    Person.phone,
    Person.mailing_address,
    Person.version,
    Person.user_id,
    case((Person.user_id.is_not(None), "Active"), (_invited, "Invited"), else_="None").label("portal"),
    select(User.email).where(User.id == Person.user_id).correlate(Person).scalar_subquery().label("signs_in_as"),
    func.array(_owned, type_=ARRAY(Text)).label("units"),
)
ONE = PERSON.where(Person.id == bindparam("id"))
MANY = PERSON.order_by(collate(func.lower(Person.name), "C"), Person.id).limit(bindparam("most"))
SIGNED_IN = (
    select(
        Session.id.label("session_id"),
        User.id,
        User.email,
        User.name,
        User.role,
        (Session.last_seen_at < func.now() - TOUCH).label("stale"),
    )
    .join(User, User.id == Session.user_id)
    .where(
        Session.token_hash == bindparam("token_hash"),
        Session.revoked_at.is_(None),
        Session.expires_at > func.now(),
        Session.last_seen_at > func.now() - IDLE,
        User.disabled_at.is_(None),
    )
)
TIME_ZONE = select(Setting.value).where(Setting.key == "time_zone")
COMMUNITIES = select(Community.id, Community.name).order_by(func.lower(Community.name))
INVITATIONS = select(Invitation.id, Invitation.person_id).where(
    Invitation.person_id.in_(bindparam("people", expanding=True)),
    Invitation.accepted_at.is_(None),
    Invitation.revoked_at.is_(None),
)
