"""The mail catcher: what arrives is kept within bounds and shown without harm."""

import json
import smtplib
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from hack.mailcatcher import page, web
from hack.mailcatcher.__main__ import Catcher
from hack.mailcatcher.store import Store
from tests.processes import free_port


def mail(subject: str = "Hello", text: str = "Welcome", html: str = "") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "hoa@example.test", "ada@example.test", subject
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


def kept(message: EmailMessage) -> Store:
    store = Store()
    store.add("hoa@example.test", ("ada@example.test",), message.as_bytes())
    return store


def test_text_and_html_are_read() -> None:
    message = kept(mail(subject="Grüße", text="Ja: ü", html="<p>ü</p>")).all()[0]
    assert (message.subject, message.text.strip(), message.html.strip()) == ("Grüße", "Ja: ü", "<p>ü</p>")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe\x00",
        b"Content-Type: text/plain; charset=klingon\n\nqapla'",
        b"Content-Type: multipart/mixed\n\nx",
    ],
)
def test_whatever_arrives_is_kept(raw: bytes) -> None:
    store = Store()
    store.add("a", ("b",), raw)
    assert page.inbox(store.all())


def test_memory_is_bounded_by_number_and_by_bytes() -> None:
    few, small = Store(max_messages=3), Store(max_bytes=1000)
    for number in range(10):
        few.add("a", ("b",), mail(subject=str(number)).as_bytes())
        small.add("a", ("b",), mail(subject=str(number), text="x" * 300).as_bytes())
    assert [message.subject for message in few.all()] == ["9", "8", "7"]
    assert small.all()[0].subject == "9"
    assert sum(message.size for message in small.all()) <= 1000


def test_everything_is_escaped_on_the_page() -> None:
    evil = '<script>alert("x")</script>'
    shown = page.inbox(kept(mail(subject=evil, text=evil, html=evil)).all())
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 2
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in shown


def test_links_in_text_are_clickable_and_end_where_the_sentence_does() -> None:
    shown = page.linked('Open http://a.localhost:8080/invitation/x-_1?a=1&b=2. Not javascript:alert(1) nor http://"x')
    assert 'href="http://a.localhost:8080/invitation/x-_1?a=1&amp;b=2" target="_blank"' in shown
    assert shown.count("<a ") == 1


def test_a_restart_forgets_nothing_and_a_deletion_leaves_no_file(tmp_path: Path) -> None:
    before = Store(tmp_path, max_messages=2)
    for number in range(3):
        before.add("a", ("b", "c"), mail(subject=str(number)).as_bytes())
    after = Store(tmp_path, max_messages=2)
    assert after.all() == before.all()
    assert after.add("a", ("b",), mail().as_bytes()).id == 4
    after.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def doors() -> Iterator[tuple[int, str]]:
    """A running mail catcher: its SMTP port and its page's address."""
    store = Store()
    port = free_port()
    smtp = Controller(Catcher(store), hostname="127.0.0.1", port=port)
    smtp.start()
    server = web.server(store, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield port, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
    smtp.stop()


def test_a_mail_sent_is_a_mail_shown_until_forgotten(doors: tuple[int, str]) -> None:
    port, address = doors
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.send_message(mail(html="<b>Welcome</b>"))
    with urllib.request.urlopen(f"{address}/api/messages") as answer:
        (message,) = json.load(answer)
    assert message["recipients"] == ["ada@example.test"]
    with urllib.request.urlopen(f"{address}/messages/{message['id']}/html") as answer:
        assert b"<b>Welcome</b>" in answer.read()
        assert answer.headers["Content-Security-Policy"].startswith("sandbox ")
    urllib.request.urlopen(urllib.request.Request(f"{address}/api/messages", method="DELETE")).close()
    with urllib.request.urlopen(f"{address}/api/messages") as answer:
        assert json.load(answer) == []


@pytest.mark.parametrize("path", ["/messages/1/html", "/messages/x/html", "/messages/²/html", "/elsewhere", "/api"])
def test_an_unknown_address_is_404(doors: tuple[int, str], path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(doors[1] + urllib.parse.quote(path))
    refused.value.close()
    assert refused.value.code == 404
