"""The tables of a company as the app's migrations make them, without the tenant's column and policies: a schema is theirs."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Collate, Lower, Now
from django.utils import timezone


def in_two_weeks() -> object:
    """When an invitation ends."""
    return timezone.now() + timedelta(days=14)


def in_an_hour() -> object:
    """When a reset of a password ends."""
    return timezone.now() + timedelta(hours=1)


class Row(models.Model):
    """What most tables have."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    created_at = models.DateTimeField(default=timezone.now, db_default=Now())

    class Meta:
        abstract = True


class Changing(Row):
    """What people change has a version."""

    updated_at = models.DateTimeField(default=timezone.now, db_default=Now())
    version = models.IntegerField(default=1, db_default=1)

    class Meta:
        abstract = True


class User(AbstractBaseUser):
    """Who signs in, by their address."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    email = models.TextField(unique=True)
    name = models.TextField()
    role = models.TextField()
    password = models.CharField(max_length=128, db_default="!")
    disabled_at = models.DateTimeField(null=True)
    terms_version = models.TextField(null=True)
    terms_accepted_at = models.DateTimeField(null=True)
    last_sign_in_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_default=Now())
    updated_at = models.DateTimeField(default=timezone.now, db_default=Now())
    objects = BaseUserManager()
    USERNAME_FIELD = "email"

    @property
    def is_active(self) -> bool:
        """Whether they may sign in."""
        return self.disabled_at is None

    def can(self, permission: str) -> bool:
        """Managers may do what is measured here."""
        return self.role in {"owner", "manager"} or permission.endswith(":read")

    class Meta:
        db_table = "users"


class ApiToken(Row):
    user = models.ForeignKey(User, models.CASCADE)
    name = models.TextField()
    token_hash = models.BinaryField(unique=True)
    last_used_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "api_tokens"


class PasswordReset(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid4)
    user = models.ForeignKey(User, models.CASCADE)
    token_hash = models.BinaryField(null=True, unique=True)
    requested_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(default=in_an_hour)
    used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "password_resets"


class SignInFailure(models.Model):
    account_hash = models.BinaryField()
    ip = models.TextField()
    at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        db_table = "sign_in_failures"
        indexes = [models.Index(fields=["account_hash", "at"]), models.Index(fields=["ip", "at"])]


class Outbox(Row):
    kind = models.TextField()
    payload = models.JSONField()
    dedupe_key = models.TextField(null=True, unique=True)
    state = models.TextField(default="queued")
    attempts = models.IntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    last_error = models.TextField(null=True)

    class Meta:
        db_table = "outbox"
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(state="queued"), name="outbox_due"),
            models.Index(fields=["finished_at"], condition=~Q(state="queued"), name="outbox_finished"),
        ]


class Setting(models.Model):
    key = models.TextField(primary_key=True)
    value = models.JSONField()
    updated_at = models.DateTimeField(default=timezone.now, db_default=Now())

    class Meta:
        db_table = "settings"


class UsageCounter(models.Model):
    name = models.TextField(primary_key=True)
    value = models.BigIntegerField(default=0)

    class Meta:
        db_table = "usage_counters"


class AuditEntry(models.Model):
    """Who did what; the sequence orders it. Nothing here chains or seals it, as the app's database does."""

    sequence = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=timezone.now)
    actor_id = models.UUIDField(null=True)
    actor_label = models.TextField()
    action = models.TextField()
    subject_type = models.TextField()
    subject_id = models.TextField(null=True)
    detail = models.JSONField(default=dict)

    class Meta:
        db_table = "audit_log"
        indexes = [models.Index(fields=["subject_type", "subject_id"])]


class Community(Changing):
    name = models.TextField()
    address = models.TextField(default="")
    time_zone = models.TextField()

    class Meta:
        db_table = "communities"
        constraints = [models.UniqueConstraint(Lower("name"), name="communities_name")]


class Unit(Changing):
    community = models.ForeignKey(Community, models.PROTECT)
    label = models.TextField()
    sort_key = models.TextField()
    address = models.TextField(default="")

    class Meta:
        db_table = "units"
        constraints = [models.UniqueConstraint("community", Lower("label"), name="units_label")]
        indexes = [models.Index(fields=["community", "sort_key", "id"])]


class Person(Changing):
    user = models.OneToOneField(User, models.SET_NULL, null=True)
    name = models.TextField()
    email = models.TextField(default="", blank=True)
    phone = models.TextField(default="", blank=True)
    mailing_address = models.TextField(default="", blank=True)

    class Meta:
        db_table = "people"
        constraints = [models.UniqueConstraint(fields=["email"], condition=~Q(email=""), name="people_email")]
        indexes = [models.Index(Collate(Lower("name"), "C"), "id", name="people_name")]


class Invitation(Row):
    email = models.TextField()
    name = models.TextField()
    role = models.TextField()
    person = models.ForeignKey(Person, models.SET_NULL, null=True)
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, db_column="invited_by", related_name="+")
    token_hash = models.BinaryField(null=True, unique=True)
    sent_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(default=in_two_weeks)
    accepted_at = models.DateTimeField(null=True)
    accepted_user = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "invitations"
        constraints = [
            models.UniqueConstraint(
                Lower("email"), condition=Q(accepted_at=None, revoked_at=None), name="invitations_open_email"
            )
        ]


class Ownership(Row):
    person = models.ForeignKey(Person, models.PROTECT)
    unit = models.ForeignKey(Unit, models.PROTECT)
    valid_from = models.DateField()
    valid_to = models.DateField(null=True)
    is_primary = models.BooleanField(default=False)
    updated_at = models.DateTimeField(default=timezone.now, db_default=Now())

    class Meta:
        db_table = "ownerships"
        constraints = [
            models.UniqueConstraint(
                fields=["unit"], condition=Q(is_primary=True, valid_to=None), name="ownerships_primary"
            )
        ]


class Import(Row):
    created_by = models.ForeignKey(User, models.CASCADE, db_column="created_by")
    filename = models.TextField()
    state = models.TextField(default="Previewed")
    line_count = models.IntegerField()
    error_count = models.IntegerField()
    delimiter = models.TextField()
    unknown_columns = ArrayField(models.TextField(), default=list)
    counts = models.JSONField(default=dict)
    imported_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "imports"


class ImportRow(models.Model):
    of_import = models.ForeignKey(Import, models.CASCADE, db_column="import_id")
    line = models.IntegerField()
    community = models.TextField()
    unit = models.TextField()
    unit_address = models.TextField()
    name = models.TextField()
    email = models.TextField()
    phone = models.TextField()
    mailing_address = models.TextField()
    owner_since = models.DateField(null=True)
    is_primary = models.BooleanField(null=True)
    person_key = models.TextField()
    community_id = models.UUIDField(null=True)
    unit_id = models.UUIDField(null=True)
    person_id = models.UUIDField(null=True)
    ownership_id = models.UUIDField(null=True)
    outcome = models.TextField(null=True)

    class Meta:
        db_table = "import_rows"
        constraints = [models.UniqueConstraint(fields=["of_import", "line"], name="import_rows_line")]


class ImportProblem(models.Model):
    of_import = models.ForeignKey(Import, models.CASCADE, db_column="import_id")
    place = models.IntegerField()
    line = models.IntegerField()
    column_name = models.TextField()
    value = models.TextField()
    problem = models.TextField()
    remedy = models.TextField()

    class Meta:
        db_table = "import_errors"
        constraints = [models.UniqueConstraint(fields=["of_import", "place"], name="import_errors_place")]


class Request(Changing):
    number = models.BigIntegerField(unique=True)
    created_by = models.ForeignKey(User, models.PROTECT, db_column="created_by", related_name="+")
    person = models.ForeignKey(Person, models.PROTECT, null=True)
    community = models.ForeignKey(Community, models.PROTECT, null=True)
    unit = models.ForeignKey(Unit, models.PROTECT, null=True)
    category = models.TextField()
    title = models.TextField()
    description = models.TextField()
    state = models.TextField(default="Submitted")
    assignee = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    submission_key = models.UUIDField(null=True)
    changed_by = models.ForeignKey(User, models.PROTECT, null=True, db_column="changed_by", related_name="+")

    class Meta:
        db_table = "requests"
        indexes = [models.Index(fields=["state", "-number"]), models.Index(fields=["person", "-number"])]
        constraints = [models.UniqueConstraint(fields=["created_by", "submission_key"], name="requests_submission")]


class RequestComment(Row):
    request = models.ForeignKey(Request, models.CASCADE)
    author = models.ForeignKey(User, models.PROTECT)
    visibility = models.TextField()
    body = models.TextField()
    submission_key = models.UUIDField(null=True)

    class Meta:
        db_table = "request_comments"
        constraints = [models.UniqueConstraint(fields=["author", "submission_key"], name="comments_submission")]


class RequestEvent(Row):
    request = models.ForeignKey(Request, models.CASCADE)
    actor = models.ForeignKey(User, models.PROTECT)
    kind = models.TextField()
    detail = models.JSONField(default=dict)

    class Meta:
        db_table = "request_events"


class RequestPhoto(Row):
    request = models.ForeignKey(Request, models.CASCADE)
    storage_key = models.TextField(unique=True)
    filename = models.TextField()
    media_type = models.TextField()
    bytes = models.BigIntegerField()
    created_by = models.ForeignKey(User, models.PROTECT, db_column="created_by")

    class Meta:
        db_table = "request_photos"
