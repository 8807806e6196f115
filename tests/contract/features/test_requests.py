"""Requests from the phone to the answer: photos, states, comments, two managers at once, mail."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.contract.features.office import PNG, Office, hidden, id_of, shown
from tests.unit.app_features.pictures import snapshot

if TYPE_CHECKING:
    from tests.contract.features.office import Visitor

FILED = {"category": "Maintenance", "title": "The gate is broken", "description": "Since Monday."}


async def reply(visitor: Visitor, path: str, **fields: str) -> Any:
    page = await visitor.see(path)
    return await visitor.post(f"{path}/reply", {"version": hidden(page, "version"), **fields})


async def test_from_the_phone_to_the_answer(office: Office) -> None:
    ana, person, unit = await office.homeowner("ana.flow")
    path = await ana.done(
        "/requests",
        FILED,
        [("photos", ("gate.png", PNG, "image/png")), ("photos", ("x.jpg", snapshot(6), "image/jpeg"))],
    )
    page = shown(await ana.see(path))
    assert "The gate is broken" in page
    assert f"{unit['community']} {unit['label']}" in page
    listed = await office.api("GET", f"/requests?q={person['name']}", role="manager")
    assert [item["title"] for item in listed["items"]] == ["The gate is broken"]

    answer = await reply(office.manager, path, body="We mend it tomorrow.", state="InProgress")
    assert answer.status_code == 303
    story = shown(await ana.see(path))
    assert "We mend it tomorrow." in story
    assert "moved it from submitted to in progress" in story
    assert (await reply(office.manager, path, state="Resolved")).status_code == 303
    assert (await reply(ana, path, body="It is broken again.", state="Reopened")).status_code == 303
    request = (await office.api("GET", path, role="ana.flow"))["request"]
    assert (request["state"], request["version"]) == ("Reopened", 4)


async def test_the_same_form_sent_twice_files_one_request(office: Office) -> None:
    key = hidden(await office.manager.see("/requests/new"), "submission_key")
    title = office.unique("Twice")
    data = {**FILED, "title": title, "submission_key": key}
    places = {await office.manager.done("/requests", data) for _ in range(2)}
    assert len(places) == 1
    together = {**data, "submission_key": str(uuid4())}
    answers = await asyncio.gather(*(office.manager.post("/requests", together) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [303] * 4
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert office.rows("SELECT count(*) FROM requests WHERE title = %s", title) == [(2,)]


async def test_the_same_reply_sent_twice_is_said_once(office: Office) -> None:
    path = await office.manager.done("/requests", FILED)
    key = hidden(await office.manager.see(path), "submission_key")
    for _ in range(2):
        assert (await reply(office.manager, path, body="Once.", submission_key=key)).status_code == 303
    assert (await office.manager.see(path)).count('<p class="prose">Once.</p>') == 1


async def test_a_program_that_files_twice_at_once_is_answered_with_the_same_request(office: Office) -> None:
    body = {**FILED, "title": office.unique("Program"), "submissionKey": str(uuid4())}
    program = office.programs["manager"]
    answers = await asyncio.gather(*(program.post("/api/v1/requests", json=body) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_going_back_and_sending_something_else_loses_nothing(office: Office) -> None:
    ana, _, _ = await office.homeowner("ana.back")
    key = hidden(await ana.see("/requests/new"), "submission_key")
    first = await ana.done("/requests", {**FILED, "submission_key": key})
    other = {**FILED, "submission_key": key, "description": "And the lamp is out, too."}
    second = await ana.done("/requests", other)
    assert second != first
    assert "And the lamp is out, too." in shown(await ana.see(second))
    assert await ana.done("/requests", other) == second
    assert "This request was sent already." in shown(await ana.see(second))
    third = await ana.done("/requests", other, [("photos", ("lamp.png", PNG, "image/png"))])
    assert third not in (first, second)
    assert await ana.done("/requests", other, [("photos", ("lamp.png", PNG, "image/png"))]) == third

    key = hidden(await ana.see(first), "submission_key")
    for words in ("One.", "Two.", "One.", "Two."):
        assert (await reply(ana, first, body=words, submission_key=key)).status_code == 303
    page = await ana.see(first)
    assert page.count('<p class="prose">One.</p>') == page.count('<p class="prose">Two.</p>') == 1


async def test_the_second_of_two_managers_is_told_and_keeps_the_words(office: Office) -> None:
    path = await office.manager.done("/requests", FILED)
    version = hidden(await office.owner.see(path), "version")
    assert (await reply(office.manager, path, state="InReview")).status_code == 303
    answer = await office.owner.post(f"{path}/reply", {"version": version, "state": "Closed", "body": "My long answer"})
    assert answer.status_code == 409
    page = shown(answer.text)
    assert "Manager of seabreeze changed this request while you had it open" in page
    assert "My long answer" in answer.text
    assert "In review" in page
    assert hidden(answer.text, "version") == "2"
    assert office.rows("SELECT count(*) FROM request_comments WHERE request_id = %s", id_of(path)) == [(0,)]
    again = await office.owner.post(f"{path}/reply", {"version": "2", "state": "Closed", "body": "My long answer"})
    assert again.status_code == 303


async def test_of_two_moves_at_once_one_wins(office: Office) -> None:
    request = await office.request()
    bodies = [{"state": state, "version": 1} for state in ("InReview", "Answered", "Resolved", "Closed")]
    program = office.programs["manager"]
    answers = await asyncio.gather(
        *(program.post(f"/api/v1/requests/{request['id']}/state", json=body) for body in bodies)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


async def test_a_second_click_on_a_state_finds_the_request_there(office: Office) -> None:
    path = await office.manager.done("/requests", FILED)
    button = {"version": "1", "state": "InReview"}
    answers = await asyncio.gather(*(office.manager.post(f"{path}/reply", button) for _ in range(3)))
    assert [answer.status_code for answer in answers] == [303] * 3
    assert (await office.manager.see(path)).count("moved it from submitted to") == 1
    assert (await office.owner.post(f"{path}/reply", button)).status_code == 409


async def test_moves_that_make_no_sense_are_refused_in_words(office: Office) -> None:
    ana, _, _ = await office.homeowner("ana.moves")
    path = await ana.done("/requests", FILED)
    answer = await reply(ana, path, state="Answered")
    assert answer.status_code == 409
    assert "cannot become answered" in shown(answer.text)
    assert (await reply(ana, path, state="Nonsense")).status_code == 422
    empty = await reply(ana, path)
    assert empty.status_code == 422
    assert "Message May stay empty if you choose below what happens next." in shown(empty.text)
    assert "Write a message, or choose what happens next." in shown(empty.text)
    assert "(optional)" not in empty.text.split('id="reply"')[1].split("</form>")[0]
    refused = await office.api("POST", f"{path}/state", {"state": "Reopened", "version": 1}, role="manager", status=409)
    assert "From there it can become" in refused["detail"]


async def test_internal_notes_stay_with_the_staff(office: Office) -> None:
    ana, _, _ = await office.homeowner("ana.notes")
    path = await ana.done("/requests", FILED)
    await reply(office.manager, path, body="She calls a lot.", visibility="Internal")
    await reply(ana, path, body="Hello?", visibility="Internal")
    assert "She calls a lot." in await office.manager.see(path)
    assert "She calls a lot." not in await ana.see(path)
    assert "Hello?" in await ana.see(path)
    said = await office.api("GET", f"{path}/comments", role="ana.notes")
    assert [comment["body"] for comment in said["items"]] == ["Hello?"]


async def test_words_are_shown_as_words(office: Office) -> None:
    evil = "<script>alert(1)</script>"
    path = await office.manager.done("/requests", {**FILED, "title": evil, "description": evil})
    await reply(office.manager, path, body=evil)
    page = await office.manager.see(path)
    assert evil not in page
    assert page.count("&lt;script&gt;") >= 3


async def test_someone_looks_after_it(office: Office) -> None:
    path = await office.manager.done("/requests", FILED)
    page = await office.manager.see(path)
    board = re.findall(r'<option value="([0-9a-f-]{36})"[^>]*>Board of', page)[0]
    data = {"assignee_id": board, "version": hidden(page, "version")}
    assert (await office.manager.post(f"{path}/assign", data)).status_code == 303
    assert "asked Board of seabreeze to look after it" in shown(await office.manager.see(path))
    assert (await office.manager.post(f"{path}/assign", data)).status_code == 303
    stale = await office.owner.post(f"{path}/assign", data)
    assert stale.status_code == 409
    stranger = {"assignee_id": str(uuid4()), "version": "2"}
    assert (await office.manager.post(f"{path}/assign", stranger)).status_code == 422
    assert (await office.visitors["board"].post(f"{path}/assign", data)).status_code == 403
    told = office.rows(
        "SELECT payload->>'user_id' FROM outbox WHERE payload->>'request_id' = %s ORDER BY created_at", str(id_of(path))
    )
    assert told[-1] == (board,)


async def test_filters_and_counts_agree(office: Office) -> None:
    word = office.unique("filterword").replace(" ", "")
    requests = [
        await office.request(title=f"{word} {n}", category=category)
        for n, category in enumerate(("Maintenance", "Question", "Question"))
    ]
    await office.api(
        "POST", f"/requests/{requests[1]['id']}/state", {"state": "Answered", "version": 1}, role="manager"
    )
    page = shown(await office.manager.see(f"/requests?q={word}"))
    assert "Open 2 Answered and closed 1 All 3" in page
    assert "Answered (1)" in page
    closed = shown(await office.manager.see(f"/requests?q={word}&state=done&category=Question"))
    assert f"{word} 1" in closed
    assert f"{word} 0" not in closed
    assert "Nothing found" in shown(await office.manager.see(f"/requests?q={word}&assigned=me"))
    _, person, unit = await office.homeowner("filter.place")
    await office.request(title=f"{word} there", personId=person["id"], unitId=unit["id"])
    assert f"{word} there" in shown(await office.manager.see(f"/requests?q={unit['community']}"))
    for held in (unit["label"], person["name"], f"{word} THERE"):
        assert f"{word} there" in shown(await office.manager.see(f"/requests?q={held.swapcase()}")), held
    assert f"#{requests[0]['number']} " in shown(await office.manager.see(f"/requests?q=%23{requests[0]['number']}"))
    ((author,),) = office.rows("SELECT name FROM users WHERE id = %s", requests[0]["createdBy"])
    assert f"{word} 0" in shown(await office.manager.see(f"/requests?q={author.upper()}"))
    assert f"{word} there" not in shown(await office.manager.see(f"/requests?q={author.upper()}")), (
        "it is somebody else's"
    )


async def test_pages_of_requests_hold_each_once(office: Office) -> None:
    word = office.unique("pageword").replace(" ", "")
    made = {(await office.request(title=f"{word} {n}"))["id"] for n in range(7)}
    seen, after = [], ""
    while True:
        answer = await office.api(
            "GET", f"/requests?q={word}&limit=3" + (f"&after={after}" if after else ""), role="manager"
        )
        seen += [item["id"] for item in answer["items"]]
        if answer["next"] is None:
            break
        after = answer["next"]
    assert len(seen) == 7
    assert set(seen) == made
    await office.api("GET", "/requests?after=broken", role="manager", status=400)


async def test_a_homeowner_of_two_units_says_which(office: Office) -> None:
    ana, person, _ = await office.homeowner("ana.two")
    second, foreign = await office.unit(), await office.unit()
    await office.own(person, second)
    refused = await ana.post("/requests", FILED)
    assert refused.status_code == 422
    assert "Choose which of your units" in refused.text
    assert (await ana.post("/requests", {**FILED, "unit_id": foreign["id"]})).status_code == 422
    path = await ana.done("/requests", {**FILED, "unit_id": second["id"]})
    assert second["label"] in await ana.see(path)


async def test_staff_files_for_a_homeowner(office: Office) -> None:
    ana, person, unit = await office.homeowner("ana.phoned")
    page = await office.manager.see(f"/requests/new?person={person['id']}")
    assert person["name"] in page
    data = {**FILED, "person_id": person["id"], "unit_id": unit["id"]}
    path = await office.manager.done("/requests", data)
    assert "The gate is broken" in await ana.see(path)


async def test_one_homeowner_cannot_flood_the_office(office: Office) -> None:
    ana, _, _ = await office.homeowner("ana.flood")
    path = await ana.done("/requests", FILED)
    answers = await asyncio.gather(*(ana.post(f"{path}/reply", {"body": f"Hello {n}?"}) for n in range(30)))
    assert sorted(answer.status_code for answer in answers) == [303] * 20 + [429] * 10
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "You wrote very often within ten minutes. Your text is kept here" in shown(refused.text)
    assert re.search(r"Hello \d+\?</textarea>", refused.text)
    words = {"body": "From a program"}
    program = await office.programs["ana.flood"].post(f"/api/v1{path}/comments", json=words)
    assert program.status_code == 429
    assert program.headers["retry-after"] == "600"
    assert (await reply(office.manager, path, body="We heard you.")).status_code == 303

    answers = [await ana.post("/requests", {**FILED, "title": f"Again {n}"}) for n in range(21)]
    assert [answer.status_code for answer in answers] == [303] * 19 + [429] * 2
    assert "You filed 20 requests within an hour." in shown(answers[-1].text)
    assert 'value="Again 20"' in answers[-1].text
