"""Problem documents for invalid bodies, which change nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log
from serving.http.bodies import MAX_BODY_BYTES
from serving.http.openapi.route_docs import ROUTES
from tests.support.serving.route_world import (
    A_TRACK,
    PLAY,
    REPORT,
    SECRET_TEXT,
    an_item,
    counts,
    filled,
    problem,
    put_lead,
    score_of,
)
from tests.support.serving.world import Http

LONG = "x" * 20_001
BAD: list[tuple[str, bytes | dict[str, Any], int, str | None]] = [
    ("/v1/score", b"", 422, None),
    ("/v1/score", b"{", 422, None),
    ("/v1/score", b'{"subjects": [' + SECRET_TEXT.encode(), 422, None),
    ("/v1/score", b"[" * 100_000, 422, None),
    ("/v1/score", b'{"subjects": [{"id": "\xff\xfe"}]}', 422, None),
    ("/v1/score", b'{"subjects": [{"id": NaN, "typeId": "comment"}]}', 422, None),
    ("/v1/score", b'"' + SECRET_TEXT.encode() + b'"', 422, None),
    ("/v1/score", {}, 422, "/subjects"),
    ("/v1/score", {"subjects": []}, 422, "/subjects"),
    ("/v1/score", {"subjects": [{"id": str(i), "typeId": "comment"} for i in range(1_001)]}, 422, "/subjects"),
    ("/v1/score", {"subjects": [{"id": "", "typeId": "comment"}]}, 422, "/subjects/0/id"),
    ("/v1/score", {"subjects": [{"id": "a\n", "typeId": "comment"}]}, 422, "/subjects/0/id"),
    ("/v1/score", {"subjects": [{"id": "a", "typeId": SECRET_TEXT}]}, 422, "/subjects/0/typeId"),
    ("/v1/score", {"subjects": [{"id": "a", "typeId": "comment", SECRET_TEXT: 1}]}, 422, "/subjects/0"),
    ("/v1/score", score_of(data={"text": LONG}), 422, "/subjects/0/data/text"),
    ("/v1/score", score_of(data={"text": 5}), 422, "/subjects/0/data/text"),
    ("/v1/score", score_of(data={"text": "x"}) | {"harms": ["nope"]}, 404, "/harms/0"),
    ("/v1/score", score_of(data={"text": "x"}) | {"harms": []}, 422, "/harms"),
    ("/v1/score", score_of(data={"text": "x"}) | {"harms": ["sexism"]}, 409, "/subjects/0"),
    ("/v1/score", score_of(data={"text": "\ud800"}), 422, "/subjects/0/data/text"),
    ("/v1/leads/claim", {"reviewer": "\ud800"}, 422, "/reviewer"),
    ("/v1/score", score_of(), 404, "/subjects/0/id"),
    ("/v1/score", {"subjects": [{"id": "m", "typeId": "mood", "data": {"text": "x"}}]}, 422, "/subjects/0/typeId"),
    ("/v1/items", {"items": [an_item(text=LONG)]}, 422, "/items/0/data/text"),
    ("/v1/items", {"items": [an_item(), an_item(occurredAt="yesterday")]}, 422, "/items/1/occurredAt"),
    ("/v1/items", {"items": [an_item(occurredAt="2026-03-01T12:00:00")]}, 422, "/items/0/occurredAt"),
    ("/v1/items", {"items": [an_item(), an_item(occurredAt="2099-01-01T00:00:00Z")]}, 422, "/items/1/occurredAt"),
    ("/v1/items", {"items": [an_item(occurredAt="1970-01-01T00:00:00Z")]}, 422, "/items/0/occurredAt"),
    ("/v1/items", {"items": [{**A_TRACK, "data": {"durationS": -1}}]}, 422, "/items/0/data/durationS"),
    ("/v1/signals", {"signals": [{**REPORT, "kind": SECRET_TEXT}]}, 422, "/signals/0/kind"),
    ("/v1/signals", {"signals": [REPORT, {**REPORT, "harm": "nope"}]}, 404, "/signals/1/harm"),
    ("/v1/signals", {"signals": [{**REPORT, "score": 1.5}]}, 422, "/signals/0/score"),
    ("/v1/signals", {"signals": [{**REPORT, "kind": "classifier"}]}, 422, "/signals/0/score"),
    ("/v1/plays", {"plays": [{**PLAY, "seconds": -1}]}, 422, "/plays/0/seconds"),
    ("/v1/plays", b'{"plays":[{"subject":{"id":"t","typeId":"track"},"accountId":"a","seconds":Infinity}]}', 422,
     "/plays/0"),
    ("/v1/leads/claim", {"reviewer": "", "n": 1}, 422, "/reviewer"),
    ("/v1/leads/claim", {"reviewer": "ann", "n": 0}, 422, "/n"),
    ("/v1/leads/claim", {"reviewer": "ann", "n": 101}, 422, "/n"),
    ("/v1/leads/claim", {"reviewer": "ann", "harms": ["nope"]}, 404, "/harms"),
    ("/v1/leads/l_none/release", {"reviewer": "ann"}, 404, None),
    ("/v1/leads/%00/release", {"reviewer": "ann"}, 404, None),
    ("/v1/leads/l_none/decision", {"verdict": "violating", "reviewer": "ann"}, 404, None),
    ("/v1/leads/l_none/decision", {"verdict": SECRET_TEXT, "reviewer": "ann"}, 422, "/verdict"),
    ("/v1/decisions", {"subject": {"id": "c9", "typeId": "comment"}, "harm": "spam", "verdict": "violating",
                       "reviewer": "ann"}, 404, "/subject/id"),
    ("/v1/decisions", {"subject": {"id": "c9", "typeId": "track"}, "harm": "spam", "verdict": "violating",
                       "reviewer": "ann"}, 422, "/subject/typeId"),
    ("/v1/decisions", {"subject": {"id": "c9", "typeId": "comment"}, "harm": "nope", "verdict": "violating",
                       "reviewer": "ann"}, 404, "/harm"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(BAD)), ids=[f"{case[0]}-{i}" for i, case in enumerate(BAD)])
def test_bad_input_is_one_clear_problem_and_changes_nothing(
    client: Http, engine: Engine, caplog: pytest.LogCaptureFixture, case: int
) -> None:
    path, body, status, pointer = BAD[case]
    put_lead(engine, "c7")
    before = counts(engine)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with caplog.at_level(logging.DEBUG):
        found = problem(
            client.post(path, content=content, headers={"content-type": "application/json", "Idempotency-Key": "b"}),
            status,
        )
    if pointer is None:
        assert found["errors"] == []
    else:
        assert [x["pointer"] for x in found["errors"]] == [pointer]
    assert found["detail"]
    assert counts(engine) == before
    assert SECRET_TEXT not in caplog.text


def test_one_response_names_every_wrong_entry_of_a_batch(client: Http, engine: Engine) -> None:
    items = [
        an_item(""), an_item(), an_item(occurredAt="yesterday"), {"id": "c1"},
        an_item(occurredAt="2099-01-01T00:00:00Z"),
    ]  # fmt: skip
    found = problem(client.post("/v1/items", json={"items": items}), 422)
    assert [(x["pointer"], x["detail"].split(" ")[0]) for x in found["errors"]] == [
        ("/items/0/id", "Expected"), ("/items/2/occurredAt", "Not"), ("/items/3/typeId", "Object"),
        ("/items/4/occurredAt", "2099-01-01T00:00:00Z"),
    ]  # fmt: skip
    assert found["detail"] == "Expected at least 1 character. In all, 4 entries are wrong."
    signals = [
        {**REPORT, "kind": "?"},
        {**REPORT, "harm": "nope"},
        REPORT,
        {**REPORT, "occurredAt": "2099-01-01T00:00Z"},
    ]
    found = problem(client.post("/v1/signals", json={"signals": signals}), 422)
    assert [x["pointer"] for x in found["errors"]] == ["/signals/0/kind", "/signals/1/harm", "/signals/3/occurredAt"]
    found = problem(client.post("/v1/signals", json={"signals": signals[1:]}), 404)
    assert [x["pointer"] for x in found["errors"]] == ["/signals/0/harm", "/signals/2/occurredAt"]
    assert event_log.read(engine, 0) == []


def test_every_invalid_entry_of_a_batch_is_named(client: Http, engine: Engine) -> None:
    """One surrogate, one long text, one fast clock and one unknown harm: each is named, and nothing is stored."""
    good = an_item("c0")
    raw = json.dumps({"items": [good, an_item("c1", text="x" * 20_001), good, {**an_item("c3"), "extra": 1}]})
    found = problem(client.post("/v1/items", content=raw), 422)["errors"]
    assert [x["pointer"].split("/")[2] for x in found] == ["1", "3"]
    lone = raw.replace('"extra": 1', '"eventId": "\\ud800"')
    assert "/items/3" in str(problem(client.post("/v1/items", content=lone), 422)["errors"])
    future = clock.to_text(clock.now() + clock.DAY)
    late = {"items": [good, an_item("c1", occurredAt=future), an_item("c2", occurredAt=future)]}
    pointers = [x["pointer"] for x in problem(client.post("/v1/items", json=late), 422)["errors"]]
    assert pointers == ["/items/1/occurredAt", "/items/2/occurredAt"]
    signal = {"subject": {"id": "c1", "typeId": "comment"}, "kind": "user_report", "source": "app"}
    harms = {"signals": [{**signal, "harm": "spma"}, signal, {**signal, "harm": "hta"}]}
    pointers = [x["pointer"] for x in problem(client.post("/v1/signals", json=harms), 404)["errors"]]
    assert pointers == ["/signals/0/harm", "/signals/2/harm"]
    assert event_log.read(engine, 0) == []


def test_a_body_that_is_nested_too_deeply_is_invalid(client: Http) -> None:
    starts = ('{"items":', '{"subjects":', '{"signals":[{"subject":', '{"plays":{"a":', "")
    for route in ROUTES:
        method, path = filled(route, "l_" + "0" * 24).split()
        for start in starts if method == "POST" else ():
            for nested in ("[" * 1_000_000, '{"a":' * 200_000):
                problem(client.post(f"/v1{path}", content=start + nested), 422)


def test_a_too_large_body_is_refused_before_it_is_read(client: Http, engine: Engine) -> None:
    before = counts(engine)
    problem(client.post("/v1/items", content=b"x" * (MAX_BODY_BYTES + 1)), 413)
    problem(client.post("/v1/items", json={"items": [an_item(text="x" * 2_000_000)]}), 422)
    problem(client.post("/v1/items", json={"items": [an_item(text="x" * 2 * 1024 * 1024)]}), 413)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    # Sent in chunks, nothing is announced: reading stops at the limit.
    problem(client.post("/v1/items", content=chunks()), 413)
    problem(client.post("/v1/items", content=b"{}", headers={"content-length": "-5"}), 400)
    assert counts(engine) == before


def test_what_is_not_json_is_refused(client: Http) -> None:
    problem(client.post("/v1/score", content=b"a=b", headers={"content-type": "text/csv"}), 415)
