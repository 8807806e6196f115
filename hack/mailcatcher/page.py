"""The page: pure functions from messages to HTML. Everything from a message is escaped, its HTML shown in a sandbox."""

import re
from collections.abc import Sequence
from html import escape
from urllib.parse import urlsplit

from .store import Message

_LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; color: #1c2430; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin: 0; }
article { border: 1px solid #c9d1db; border-radius: .5rem; padding: 1rem; margin: 1rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .75rem; margin: .5rem 0; }
dt { color: #556; } dd { margin: 0; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f6f8; padding: .75rem; border-radius: .25rem; }
iframe { width: 100%; height: 24rem; border: 1px solid #c9d1db; }
"""


def inbox(messages: Sequence[Message]) -> str:
    """The whole page, newest message first."""
    body = "".join(map(_article, messages)) or "<p>Nothing has arrived yet. This page looks again every 5 seconds.</p>"
    refresh = "" if messages else '<meta http-equiv="refresh" content="5">'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mail catcher</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}<style>{_STYLE}</style></head>'
        f'<body><h1>Mail that the local cluster sent ({len(messages)})</h1><p><a href="/">Look again</a></p>'
        f"{body}</body></html>"
    )


def linked(text: str) -> str:
    """Plain text, escaped, with its web addresses clickable."""
    parts, end = [], 0
    for match in _LINK.finditer(text):
        parts += [escape(text[end : match.start()]), _anchor(match.group())]
        end = match.end()
    return "".join([*parts, escape(text[end:])])


def _anchor(address: str) -> str:
    try:
        host = urlsplit(address).netloc
    except ValueError:
        host = ""
    safe = escape(address)
    return f'<a href="{safe}" target="_blank" rel="noopener noreferrer">{safe}</a>' if host else safe


def _article(message: Message) -> str:
    facts = {"From": message.sender, "To": ", ".join(message.recipients), "Received": message.received}
    if message.attachments:
        facts["Attached"] = ", ".join(message.attachments)
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    text = f"<pre>{linked(message.text)}</pre>" if message.text else ""
    title = escape(message.subject) or "(no subject)"
    return f'<article id="m{message.id}"><h2>{title}</h2><dl>{rows}</dl>{text}{_html(message)}</article>'


def _html(message: Message) -> str:
    """The message's own HTML in a frame that runs no script and shares no origin; only its links open, in a new tab."""
    if not message.html:
        return ""
    shown = "" if message.text else " open"
    return (
        f'<details{shown}><summary>As HTML</summary><iframe title="The message as HTML" loading="lazy" '
        f'sandbox="allow-popups allow-popups-to-escape-sandbox" src="/messages/{message.id}/html"></iframe></details>'
    )
