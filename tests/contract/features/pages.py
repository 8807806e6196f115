"""What can be said of any page without knowing it: labels, headings, ids, and nothing that the security policy forbids."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"input", "meta", "link", "img", "br", "hr", "col"}
FORBIDDEN = {"style", "onclick", "onload", "onsubmit", "onchange", "hx-on"}


@dataclass
class Page(HTMLParser):
    """A parsed page; ``faults`` says what is wrong with it."""

    faults: list[str] = field(default_factory=list)
    ids: Counter[str] = field(default_factory=Counter)
    labelled: set[str] = field(default_factory=set)
    pointed: set[str] = field(default_factory=set)
    controls: list[tuple[str, bool]] = field(default_factory=list)
    headings: Counter[str] = field(default_factory=Counter)
    open: list[str] = field(default_factory=list)
    forms: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.headings[tag] += 1
        if "id" in given:
            self.ids[given["id"]] += 1
        self.faults += [f"{name} on <{tag}>" for name in given if name in FORBIDDEN or name.startswith("hx-on")]
        if tag == "script" and not given.get("src", "").startswith("/assets/"):
            self.faults.append("inline script")
        if tag == "style":
            self.faults.append("inline style")
        if tag == "img" and "alt" not in given:
            self.faults.append("image without alt")
        if tag == "label" and "for" in given:
            self.labelled.add(given["for"])
        self.pointed |= set(given.get("aria-describedby", "").split()) | set(given.get("aria-labelledby", "").split())
        self._control(tag, given)
        if tag not in VOID:
            self.open.append(tag)

    def _control(self, tag: str, given: dict[str, str]) -> None:
        if tag == "form":
            self.forms.append(given.get("method", "get") == "post")
        if tag == "input" and given.get("name") == "csrf_token":
            self.forms.pop()
            self.forms.append(False)
        elif tag in {"input", "select", "textarea", "button"} and self.forms and self.forms[-1]:
            self.faults.append(f"{given.get('name') or tag} stands before the form's token")
        if tag in {"input", "select", "textarea"} and given.get("type") != "hidden":
            named = "label" in self.open or "aria-label" in given
            self.controls.append((given.get("id", ""), named))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")
        if tag == "form" and self.forms and self.forms.pop():
            self.faults.append("form without a token")

    def found(self) -> list[str]:
        """Everything that is wrong, the page being read."""
        wrong = list(self.faults)
        wrong += [f"id {name} {count} times" for name, count in self.ids.items() if count > 1]
        wrong += [
            f"no label for {key or 'a control'}"
            for key, named in self.controls
            if not named and key not in self.labelled
        ]
        wrong += [f"nothing has id {key}" for key in (self.labelled | self.pointed) - set(self.ids)]
        if self.headings["h1"] != 1:
            wrong.append(f"{self.headings['h1']} h1")
        if self.headings["main"] != 1:
            wrong.append("no main")
        if self.open:
            wrong.append(f"left open: {self.open}")
        return wrong


def faults(html: str) -> list[str]:
    """What is wrong with a page."""
    page = Page()
    page.feed(html)
    page.close()
    return page.found()
