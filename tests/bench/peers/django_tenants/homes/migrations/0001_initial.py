import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.datetime
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import homes.models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="User",
            fields=[
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("email", models.TextField(unique=True)),
                ("name", models.TextField()),
                ("role", models.TextField()),
                ("password", models.CharField(db_default="!", max_length=128)),
                ("disabled_at", models.DateTimeField(null=True)),
                ("terms_version", models.TextField(null=True)),
                ("terms_accepted_at", models.DateTimeField(null=True)),
                ("last_sign_in_at", models.DateTimeField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
            ],
            options={
                "db_table": "users",
            },
        ),
        migrations.CreateModel(
            name="Setting",
            fields=[
                ("key", models.TextField(primary_key=True, serialize=False)),
                ("value", models.JSONField()),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
            ],
            options={
                "db_table": "settings",
            },
        ),
        migrations.CreateModel(
            name="UsageCounter",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False)),
                ("value", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "usage_counters",
            },
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("name", models.TextField()),
                ("token_hash", models.BinaryField(unique=True)),
                ("last_used_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(null=True)),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "db_table": "api_tokens",
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("sequence", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("actor_id", models.UUIDField(null=True)),
                ("actor_label", models.TextField()),
                ("action", models.TextField()),
                ("subject_type", models.TextField()),
                ("subject_id", models.TextField(null=True)),
                ("detail", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "audit_log",
                "indexes": [models.Index(fields=["subject_type", "subject_id"], name="audit_log_subject_49ae6c_idx")],
            },
        ),
        migrations.CreateModel(
            name="Community",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("version", models.IntegerField(db_default=1, default=1)),
                ("name", models.TextField()),
                ("address", models.TextField(default="")),
                ("time_zone", models.TextField()),
            ],
            options={
                "db_table": "communities",
                "constraints": [
                    models.UniqueConstraint(django.db.models.functions.text.Lower("name"), name="communities_name")
                ],
            },
        ),
        migrations.CreateModel(
            name="Import",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("filename", models.TextField()),
                ("state", models.TextField(default="Previewed")),
                ("line_count", models.IntegerField()),
                ("error_count", models.IntegerField()),
                ("delimiter", models.TextField()),
                (
                    "unknown_columns",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None),
                ),
                ("counts", models.JSONField(default=dict)),
                ("imported_at", models.DateTimeField(null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        db_column="created_by", on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "imports",
            },
        ),
        migrations.CreateModel(
            name="Outbox",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("kind", models.TextField()),
                ("payload", models.JSONField()),
                ("dedupe_key", models.TextField(null=True, unique=True)),
                ("state", models.TextField(default="queued")),
                ("attempts", models.IntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("finished_at", models.DateTimeField(null=True)),
                ("last_error", models.TextField(null=True)),
            ],
            options={
                "db_table": "outbox",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "queued")), fields=["next_attempt_at"], name="outbox_due"
                    ),
                    models.Index(
                        condition=models.Q(("state", "queued"), _negated=True),
                        fields=["finished_at"],
                        name="outbox_finished",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PasswordReset",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("token_hash", models.BinaryField(null=True, unique=True)),
                ("requested_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField(default=homes.models.in_an_hour)),
                ("used_at", models.DateTimeField(null=True)),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "db_table": "password_resets",
            },
        ),
        migrations.CreateModel(
            name="Person",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("version", models.IntegerField(db_default=1, default=1)),
                ("name", models.TextField()),
                ("email", models.TextField(blank=True, default="")),
                ("phone", models.TextField(blank=True, default="")),
                ("mailing_address", models.TextField(blank=True, default="")),
                (
                    "user",
                    models.OneToOneField(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "people",
            },
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("email", models.TextField()),
                ("name", models.TextField()),
                ("role", models.TextField()),
                ("token_hash", models.BinaryField(null=True, unique=True)),
                ("sent_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(default=homes.models.in_two_weeks)),
                ("accepted_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                (
                    "accepted_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "invited_by",
                    models.ForeignKey(
                        db_column="invited_by",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to="homes.person"),
                ),
            ],
            options={
                "db_table": "invitations",
            },
        ),
        migrations.CreateModel(
            name="Request",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("version", models.IntegerField(db_default=1, default=1)),
                ("number", models.BigIntegerField(unique=True)),
                ("category", models.TextField()),
                ("title", models.TextField()),
                ("description", models.TextField()),
                ("state", models.TextField(default="Submitted")),
                ("submission_key", models.UUIDField(null=True)),
                (
                    "assignee",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "changed_by",
                    models.ForeignKey(
                        db_column="changed_by",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "community",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to="homes.community"),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        db_column="created_by",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to="homes.person"),
                ),
            ],
            options={
                "db_table": "requests",
            },
        ),
        migrations.CreateModel(
            name="RequestComment",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("visibility", models.TextField()),
                ("body", models.TextField()),
                ("submission_key", models.UUIDField(null=True)),
                ("author", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL)),
                ("request", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="homes.request")),
            ],
            options={
                "db_table": "request_comments",
            },
        ),
        migrations.CreateModel(
            name="RequestEvent",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("kind", models.TextField()),
                ("detail", models.JSONField(default=dict)),
                ("actor", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL)),
                ("request", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="homes.request")),
            ],
            options={
                "db_table": "request_events",
            },
        ),
        migrations.CreateModel(
            name="RequestPhoto",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("storage_key", models.TextField(unique=True)),
                ("filename", models.TextField()),
                ("media_type", models.TextField()),
                ("bytes", models.BigIntegerField()),
                (
                    "created_by",
                    models.ForeignKey(
                        db_column="created_by", on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("request", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="homes.request")),
            ],
            options={
                "db_table": "request_photos",
            },
        ),
        migrations.CreateModel(
            name="SignInFailure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("account_hash", models.BinaryField()),
                ("ip", models.TextField()),
                ("at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
            options={
                "db_table": "sign_in_failures",
                "indexes": [
                    models.Index(fields=["account_hash", "at"], name="sign_in_fai_account_c17d1e_idx"),
                    models.Index(fields=["ip", "at"], name="sign_in_fai_ip_181db3_idx"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Unit",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("version", models.IntegerField(db_default=1, default=1)),
                ("label", models.TextField()),
                ("sort_key", models.TextField()),
                ("address", models.TextField(default="")),
                ("community", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="homes.community")),
            ],
            options={
                "db_table": "units",
            },
        ),
        migrations.AddField(
            model_name="request",
            name="unit",
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to="homes.unit"),
        ),
        migrations.CreateModel(
            name="Ownership",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("valid_from", models.DateField()),
                ("valid_to", models.DateField(null=True)),
                ("is_primary", models.BooleanField(default=False)),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), default=django.utils.timezone.now
                    ),
                ),
                ("person", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="homes.person")),
                ("unit", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="homes.unit")),
            ],
            options={
                "db_table": "ownerships",
            },
        ),
        migrations.CreateModel(
            name="ImportProblem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("place", models.IntegerField()),
                ("line", models.IntegerField()),
                ("column_name", models.TextField()),
                ("value", models.TextField()),
                ("problem", models.TextField()),
                ("remedy", models.TextField()),
                (
                    "of_import",
                    models.ForeignKey(
                        db_column="import_id", on_delete=django.db.models.deletion.CASCADE, to="homes.import"
                    ),
                ),
            ],
            options={
                "db_table": "import_errors",
                "constraints": [models.UniqueConstraint(fields=("of_import", "place"), name="import_errors_place")],
            },
        ),
        migrations.CreateModel(
            name="ImportRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("line", models.IntegerField()),
                ("community", models.TextField()),
                ("unit", models.TextField()),
                ("unit_address", models.TextField()),
                ("name", models.TextField()),
                ("email", models.TextField()),
                ("phone", models.TextField()),
                ("mailing_address", models.TextField()),
                ("owner_since", models.DateField(null=True)),
                ("is_primary", models.BooleanField(null=True)),
                ("person_key", models.TextField()),
                ("community_id", models.UUIDField(null=True)),
                ("unit_id", models.UUIDField(null=True)),
                ("person_id", models.UUIDField(null=True)),
                ("ownership_id", models.UUIDField(null=True)),
                ("outcome", models.TextField(null=True)),
                (
                    "of_import",
                    models.ForeignKey(
                        db_column="import_id", on_delete=django.db.models.deletion.CASCADE, to="homes.import"
                    ),
                ),
            ],
            options={
                "db_table": "import_rows",
                "constraints": [models.UniqueConstraint(fields=("of_import", "line"), name="import_rows_line")],
            },
        ),
        migrations.AddIndex(
            model_name="person",
            index=models.Index(
                django.db.models.functions.comparison.Collate(django.db.models.functions.text.Lower("name"), "C"),
                models.F("id"),
                name="people_name",
            ),
        ),
        migrations.AddConstraint(
            model_name="person",
            constraint=models.UniqueConstraint(
                condition=models.Q(("email", ""), _negated=True), fields=("email",), name="people_email"
            ),
        ),
        migrations.AddConstraint(
            model_name="invitation",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("email"),
                condition=models.Q(("accepted_at", None), ("revoked_at", None)),
                name="invitations_open_email",
            ),
        ),
        migrations.AddConstraint(
            model_name="requestcomment",
            constraint=models.UniqueConstraint(fields=("author", "submission_key"), name="comments_submission"),
        ),
        migrations.AddIndex(
            model_name="unit",
            index=models.Index(fields=["community", "sort_key", "id"], name="units_communi_01e806_idx"),
        ),
        migrations.AddConstraint(
            model_name="unit",
            constraint=models.UniqueConstraint(
                models.F("community"), django.db.models.functions.text.Lower("label"), name="units_label"
            ),
        ),
        migrations.AddIndex(
            model_name="request",
            index=models.Index(fields=["state", "-number"], name="requests_state_21d069_idx"),
        ),
        migrations.AddIndex(
            model_name="request",
            index=models.Index(fields=["person", "-number"], name="requests_person__632092_idx"),
        ),
        migrations.AddConstraint(
            model_name="request",
            constraint=models.UniqueConstraint(fields=("created_by", "submission_key"), name="requests_submission"),
        ),
        migrations.AddConstraint(
            model_name="ownership",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_primary", True), ("valid_to", None)),
                fields=("unit",),
                name="ownerships_primary",
            ),
        ),
    ]
