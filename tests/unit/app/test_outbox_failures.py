"""What becomes of a failed row, whose failure an SMTP answer is, and when the breaker lets a call through."""

from __future__ import annotations

import aiosmtplib
import pytest

from hoa_app.jobs.breaker import Breaker, OpenError, ServerAwayError
from hoa_app.jobs.mail import one_line, readable_on, sort_failure
from hoa_app.jobs.outcome import JobError, Permanent, Policy, Postponed, judge

POLICY = Policy()
DAY = 86400.0


def test_backoff_grows_to_its_cap() -> None:
    delays = [judge(JobError("no"), attempts, 0, POLICY).delay for attempts in range(11)]
    for attempts, delay in enumerate(delays):
        full = min(3600.0, 5.0 * 2**attempts)
        assert 0.8 * full <= delay <= 1.2 * full


@pytest.mark.parametrize(
    ("error", "attempts", "age", "state", "counted"),
    [
        (JobError("no"), 10, 0, "queued", 1),
        (JobError("no"), 11, 0, "dead", 1),
        (Permanent("never"), 0, 0, "dead", 1),
        (Postponed("away", 5), 50, DAY, "queued", 0),
        (Postponed("away", 5), 0, 5 * DAY, "dead", 0),
        (ValueError("x"), 0, 0, "queued", 1),
    ],
)
def test_verdicts(error: Exception, attempts: int, age: float, state: str, counted: int) -> None:
    verdict = judge(error, attempts, age, POLICY)
    assert (verdict.state, verdict.counted) == (state, counted)


def test_messages_hold_no_secret() -> None:
    assert judge(ValueError("pass word"), 0, 0, POLICY).message == (
        "Unexpected ValueError; the worker's log has the details."
    )
    assert (
        judge(JobError("see http://a/invitation/s3cret\nmore"), 0, 0, POLICY).message == "see http://a/invitation/..."
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(550, "no", "a@b")]), Permanent),
        (aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(450, "later", "a@b")]), JobError),
        (aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(421, "bye", "a@b")]), ServerAwayError),
        (aiosmtplib.SMTPDataError(554, "spam"), Permanent),
        (aiosmtplib.SMTPDataError(452, "full"), JobError),
        (aiosmtplib.SMTPSenderRefused(550, "not you", "a@b"), JobError),
        (aiosmtplib.SMTPAuthenticationError(535, "wrong"), ServerAwayError),
        (aiosmtplib.SMTPHeloError(554, "go away"), ServerAwayError),
        (aiosmtplib.SMTPConnectError("refused"), ServerAwayError),
        (aiosmtplib.SMTPReadTimeoutError("slow"), ServerAwayError),
        (ConnectionResetError(), ServerAwayError),
    ],
)
def test_whose_failure_it_is(error: Exception, kind: type[Exception]) -> None:
    assert type(sort_failure(error, "mail:25")) is kind


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def call(breaker: Breaker, error: Exception | None = None) -> None:
    with breaker.guard():
        if error is not None:
            raise error


def test_the_breaker_opens_probes_and_closes() -> None:
    clock = Clock()
    breaker = Breaker(threshold=2, base_seconds=1, cap_seconds=8, clock=clock)
    for _ in range(2):
        with pytest.raises(ServerAwayError):
            call(breaker, ServerAwayError("down"))
    with pytest.raises(OpenError):
        call(breaker)
    clock.now = 2.0
    with breaker.guard(), pytest.raises(OpenError):
        call(breaker)
    assert not breaker.is_open
    call(breaker)


def test_a_failed_probe_doubles_the_pause_and_an_answer_closes() -> None:
    clock = Clock()
    breaker = Breaker(threshold=1, base_seconds=1, cap_seconds=8, clock=clock)
    for pause in (1, 2, 4, 8, 8):
        with pytest.raises(ServerAwayError):
            call(breaker, ServerAwayError("down"))
        with pytest.raises(OpenError) as held:
            call(breaker)
        assert held.value.retry_after == pause
        clock.now += pause
    with pytest.raises(Permanent):
        call(breaker, Permanent("no such address"))
    assert not breaker.is_open


def test_header_text_and_ink() -> None:
    assert one_line("a\r\nBcc: b@c\u2028d") == "a Bcc: b@c d"
    assert (readable_on("#ffffff"), readable_on("#123456")) == ("#000000", "#ffffff")
