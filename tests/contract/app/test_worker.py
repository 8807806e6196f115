"""The worker with real databases and a real SMTP server: each effect once, kept while mail is away, tenants apart."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import socket
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from aiosmtplib import SMTPConnectError
from structlog.testing import capture_logs

from hoa_app.feature import Feature
from hoa_app.jobs.breaker import Breaker
from hoa_app.jobs.rows import Rows
from hoa_app.worker import open_worker
from tests.contract.app.platform import ROOT, Platform

if TYPE_CHECKING:
    pass
from tests.contract.app.workers import (
    PATIENT,
    Mailbox,
    eventually,
    mailbox,
    notify,
    outbox,
    place,
    queue,
    settings,
    slug,
    state_is,
    working,
)

__all__ = ["mailbox", "place"]


async def test_two_workers_send_each_mail_once(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())
    with tenant.as_app() as connection:
        connection.execute(
            "WITH i AS (INSERT INTO invitations (email, name, role)"
            " SELECT 'n' || n || '@there.example', 'N', 'homeowner'"
            " FROM generate_series(1, 30) n RETURNING id)"
            " INSERT INTO outbox (kind, payload)"
            " SELECT 'mail.invitation', jsonb_build_object('invitation_id', id) FROM i"
        )
    chosen = settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug)

    def all_done() -> bool:
        with tenant.as_admin() as connection:
            return connection.execute("SELECT count(*) FROM outbox WHERE state <> 'done'").fetchone() == (0,)

    async with working(chosen) as one, working(chosen) as two:
        await eventually(all_done)
    assert len(mailbox.received) == 31
    assert len({message["Message-ID"] for message in mailbox.received}) == 31
    shares = [
        opened.services.metrics.registry.get_sample_value(
            "hoa_outbox_rows_total", {"tenant_id": str(tenant.id), "kind": "mail.invitation", "outcome": "done"}
        )
        for opened in (one, two)
    ]
    assert sum(share or 0 for share in shares) == 31
    swept = one.services.metrics.registry.get_sample_value("hoa_worker_swept_timestamp_seconds")
    assert swept is not None
    assert time.time() - 30 < swept <= time.time()
    with psycopg.connect(place.access.dsn(tenant.prefix)) as connection:
        usage = connection.execute("SELECT emails_sent, welcome_mail FROM hoa_usage").fetchone()
    assert usage == (31, "Sent")


async def test_the_welcome_mail_is_branded_and_its_link_is_good(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())
    async with working(settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug, HOA_URL_PORT="8080")):
        await eventually(state_is(tenant, "done"))
    (message,) = mailbox.to(tenant.admin_email)
    text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    html = message.get_body(("html",)).get_content()  # type: ignore[union-attr]
    found = re.search(rf"http://{tenant.host}:8080/invitation/([\w-]{{43}})\s", text)
    assert found is not None
    with tenant.as_admin() as connection:
        stored = connection.execute("SELECT token_hash, sent_at IS NOT NULL FROM invitations").fetchone()
    assert stored == (hashlib.sha256(found[1].encode()).digest(), True)
    assert found[1] in html
    assert "#123456" in html
    assert message["From"].addresses[0].display_name == f"{tenant.slug.title()} Management"
    assert message["Reply-To"] == f"help@{tenant.slug}.example"
    assert message["Message-ID"].startswith(f"<{outbox(tenant)['id']}@")


async def test_mail_waits_while_the_server_is_away(place: Platform, mailbox: Mailbox) -> None:
    tenant = place.make_tenant(slug())
    breaker = Breaker(threshold=2, base_seconds=0.05, cap_seconds=0.2)
    async with working(settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug), breaker=breaker) as opened:
        await eventually(lambda: breaker.is_open)
        row = outbox(tenant)
        assert (row["state"], row["attempts"]) == ("queued", 0)
        assert "mail server is away" in row["last_error"]
        with pytest.raises(SMTPConnectError):
            await opened.services.mailer.check()
        await mailbox.start()
        await opened.services.mailer.check()
        await eventually(state_is(tenant, "done"))
    assert len(mailbox.to(tenant.admin_email)) == 1
    row = outbox(tenant)
    assert (row["attempts"], row["last_error"], breaker.is_open) == (1, None, False)


async def test_an_address_refused_for_good_is_not_tried_again(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())
    mailbox.refused[tenant.admin_email] = "550 5.1.1 nobody of that name"
    async with working(settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug)):
        await eventually(state_is(tenant, "dead"))
    row = outbox(tenant)
    assert row["attempts"] == 1
    assert "550 5.1.1 nobody of that name" in row["last_error"]
    with tenant.as_admin() as connection:
        assert connection.execute("SELECT token_hash, sent_at FROM invitations").fetchone() == (None, None)


async def test_an_address_refused_for_now_is_tried_again(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())
    mailbox.refused[tenant.admin_email] = "451 come back later"
    async with working(settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug)):
        await eventually(lambda: outbox(tenant)["attempts"] >= 2)
        assert "451 come back later" in outbox(tenant)["last_error"]
        mailbox.refused.clear()
        await eventually(state_is(tenant, "done"))
    assert len(mailbox.to(tenant.admin_email)) == 1


async def test_news_hold_up_no_one_at_the_door(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())
    invited_before: list[bool] = []

    async def news(context: Any, tx: Any, payload: Any) -> None:
        invited_before.append(bool(mailbox.to(tenant.admin_email)))

    for _ in range(20):
        queue(tenant, "probe.news")
    with tenant.as_app() as connection:
        connection.execute("UPDATE outbox SET next_attempt_at = now() - interval '1 hour' WHERE kind = 'probe.news'")
    async with working(
        settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug), Feature(name="probe", jobs={"probe.news": news})
    ):
        await eventually(lambda: len(invited_before) == 20)
    assert all(invited_before)


async def test_one_tenants_trouble_does_not_delay_another(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    bad, good = place.make_tenant(slug()), place.make_tenant(slug())
    stuck = asyncio.Event()

    async def hang(context: Any, tx: Any, payload: Any) -> None:
        stuck.set()
        await asyncio.Event().wait()

    async def fail(context: Any, tx: Any, payload: Any) -> None:
        raise RuntimeError("hunter2")

    async def note(context: Any, tx: Any, payload: Any) -> None:
        return None

    for _ in range(5):
        queue(bad, "probe.hang")
    queue(bad, "probe.fail")
    with bad.as_app() as connection:
        connection.execute("UPDATE outbox SET next_attempt_at = now() - interval '1 hour' WHERE kind = 'probe.fail'")
    probe = Feature(name="probe", jobs={"probe.hang": hang, "probe.fail": fail, "probe.note": note})
    chosen = settings(place, mailbox, HOA_WORKER_CONCURRENCY="2", HOA_SHUTDOWN_SECONDS="1")
    async with working(chosen, probe):
        await eventually(stuck.is_set)
        queue(good, "probe.note")
        notify(place, good)
        await eventually(state_is(good, "done", "probe.note"))
        assert state_is(good, "done")()
    failed = outbox(bad, "probe.fail")
    assert failed["state"] == "queued"
    assert failed["attempts"] >= 1
    assert "RuntimeError" in failed["last_error"]
    assert "hunter2" not in failed["last_error"]
    assert outbox(bad, "probe.hang")["state"] == "queued"


async def test_a_suspended_tenants_mail_waits_until_it_is_active(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant, other = place.make_tenant(slug(), state="Suspended"), place.make_tenant(slug())
    async with working(settings(place, mailbox)) as opened:
        await opened.services.registry.loaded.wait()
        opened.worker.wake(tenant.id)
        await eventually(state_is(other, "done"))
        with psycopg.connect(place.access.dsn(place.registry), autocommit=True) as connection:
            assert outbox(tenant)["state"] == "queued"
            connection.execute("UPDATE tenants SET state = 'Active' WHERE tenant_id = %s", (tenant.id,))
        await eventually(state_is(tenant, "done"))
    assert len(mailbox.to(tenant.admin_email)) == 1


async def test_a_read_only_tenants_mail_still_leaves(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())
    tenant.set_state("ReadOnly")
    async with working(settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug)) as opened:
        await eventually(state_is(tenant, "done"))
        found = opened.services.registry.get(tenant.id)
        await Rows(opened.services, {}).tidy(found)
    assert len(mailbox.to(tenant.admin_email)) == 1
    with psycopg.connect(place.access.dsn(tenant.prefix)) as connection:
        assert connection.execute("SELECT emails_sent, welcome_mail FROM hoa_usage").fetchone() == (1, "Sent")


async def test_a_password_reset_carries_a_good_link(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())
    with tenant.as_app() as connection:
        connection.execute(
            "WITH u AS (INSERT INTO users (email, name, role) VALUES ('u@there.example', 'Una', 'board')"
            " RETURNING id),"
            " r AS (INSERT INTO password_resets (user_id) SELECT id FROM u RETURNING id)"
            " INSERT INTO outbox (kind, payload)"
            " SELECT 'mail.password_reset', jsonb_build_object('reset_id', id) FROM r"
        )
    async with working(settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug)):
        await eventually(state_is(tenant, "done", "mail.password_reset"))
    (message,) = mailbox.to("u@there.example")
    found = re.search(r"/reset-password/([\w-]{43})\s", message.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert found is not None
    with tenant.as_admin() as connection:
        stored = connection.execute("SELECT token_hash FROM password_resets").fetchone()
    assert stored == (hashlib.sha256(found[1].encode()).digest(),)


async def test_a_mail_sent_twice_carries_one_link(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())
    configured = settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug)
    async with working(configured):
        await eventually(state_is(tenant, "done"))
        with tenant.as_admin() as connection:
            # As if the worker had died between the server's answer and its own commit.
            connection.execute("UPDATE invitations SET token_hash = NULL, sent_at = NULL")
            connection.execute("UPDATE outbox SET state = 'queued', finished_at = NULL, next_attempt_at = now()")
        notify(place, tenant)
        await eventually(lambda: len(mailbox.to(tenant.admin_email)) == 2)
        await eventually(state_is(tenant, "done"))
    first, second = mailbox.to(tenant.admin_email)
    assert first["Message-ID"] == second["Message-ID"]
    links = [
        re.search(r"/invitation/([\w-]{43})\s", message.get_body(("plain",)).get_content())  # type: ignore[union-attr]
        for message in (first, second)
    ]
    assert links[0] is not None
    assert links[1] is not None
    assert links[0][1] == links[1][1]
    with tenant.as_admin() as connection:
        stored = connection.execute("SELECT token_hash FROM invitations").fetchone()
    assert stored == (hashlib.sha256(links[0][1].encode()).digest(),)


async def test_every_line_about_a_job_names_its_tenant_and_no_secret(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())
    mailbox.refused[tenant.admin_email] = "451 come back later"
    with capture_logs() as logs:
        async with working(settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug)):
            await eventually(lambda: outbox(tenant)["attempts"] >= 1)
            mailbox.refused.clear()
            await eventually(state_is(tenant, "done"))
    jobs = [line for line in logs if line["event"].startswith("job ")]
    assert {line["event"] for line in jobs} == {"job retried", "job done"}
    assert {(line["tenant"], line["row"]) for line in jobs} == {(str(tenant.id), str(outbox(tenant)["id"]))}
    (message,) = mailbox.to(tenant.admin_email)
    token = re.search(r"/invitation/([\w-]{43})\s", message.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert token is not None
    assert token[1] not in repr(logs)
    assert token[1] not in repr(outbox(tenant))


async def test_what_nobody_asks_about_is_forgotten(place: Platform, mailbox: Mailbox) -> None:
    tenant = place.make_tenant(slug())
    user = "(SELECT id FROM users)"
    with tenant.as_admin() as connection:
        connection.execute("INSERT INTO users (email, name, role) VALUES ('u@there.example', 'Una', 'board')")
        for age in ("1 hour", "2 days", "100 days"):
            connection.execute(
                "INSERT INTO sign_in_failures (account_hash, ip, at) VALUES (%s, 'x', now() - %s::interval)",
                (b"x", age),
            )
            connection.execute(
                f"INSERT INTO password_resets (user_id, requested_at, expires_at)"
                f" VALUES ({user}, now() - %(age)s::interval, now() - %(age)s::interval)",
                {"age": age},
            )
            connection.execute(
                f"INSERT INTO sessions (user_id, token_hash, last_seen_at, expires_at)"
                f" VALUES ({user}, sha256(convert_to(%(age)s::text, 'UTF8')), now() - %(age)s::interval, now() - %(age)s::interval)",
                {"age": age},
            )

    def left() -> tuple[Any, ...]:
        with tenant.as_admin() as connection:
            counts = "(SELECT count(*) FROM sign_in_failures), (SELECT count(*) FROM password_resets)"
            row = connection.execute(f"SELECT {counts}, (SELECT count(*) FROM sessions)").fetchone()
        assert row is not None
        return tuple(row)

    async with open_worker(settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug), []) as opened:
        await asyncio.wait_for(opened.services.registry.loaded.wait(), PATIENT)
        rows, known = Rows(opened.services, {}), opened.services.registry.get(tenant.id)
        assert known is not None
        await rows.tidy(replace(known, state="ReadOnly"))
        assert left() == (3, 3, 3)
        await rows.tidy(known)
        assert left() == (1, 2, 2)


async def test_a_row_that_breaks_its_connection_is_counted(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())

    async def cut(context: Any, tx: Any, payload: Any) -> None:
        pid = tx.info.backend_pid
        await asyncio.to_thread(_terminate, place, pid)
        await tx.execute("SELECT 1")

    queue(tenant, "probe.cut")
    async with working(
        settings(place, mailbox, HOA_ONLY_TENANT=tenant.slug), Feature(name="probe", jobs={"probe.cut": cut})
    ):
        await eventually(lambda: outbox(tenant, "probe.cut")["attempts"] >= 1)
    assert outbox(tenant, "probe.cut")["state"] == "queued"


def _terminate(place: Platform, pid: int) -> None:
    with psycopg.connect(place.access.dsn(), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))


async def test_the_process_answers_probes_works_and_stops_when_told(place: Platform, mailbox: Mailbox) -> None:
    await mailbox.start()
    tenant = place.make_tenant(slug())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = place.environment(
        HOA_SMTP_URL=f"smtp://127.0.0.1:{mailbox.port}",
        HOA_ONLY_TENANT=tenant.slug,
        HOA_HOST="127.0.0.1",
        HOA_METRICS_PORT=str(port),
        PYTHONPATH=str(ROOT / "app"),
        PATH=os.environ["PATH"],
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hoa_app.worker", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        await eventually(state_is(tenant, "done"))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            answers = {path: await client.get(path) for path in ("/livez", "/readyz", "/metrics")}
        assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 200)
        assert 'kind="mail.invitation",outcome="done"' in answers["/metrics"].text.replace(" ", "")
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), PATIENT)
    assert process.returncode == 0
    assert b"worker stopped" in output
    (message,) = mailbox.to(tenant.admin_email)
    body = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    token = re.search(r"/invitation/([\w-]+)", body)
    assert token is not None
    assert token[1].encode() not in output
