"""Both clients: what they send, how they read responses, and when they retry. Every test runs for each client."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads import clock, errors
from leads.db import event_log, keys
from leads.db.monitoring import runs
from leads.db.monitoring.rows import MetricRow, write
from leads.errors import (
    AccessDenied,
    AlreadyDecided,
    Conflict,
    InvalidInput,
    LeadsError,
    NotAuthenticated,
    NotClaimed,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from leads.events import Subject
from leads.policies import QueuePolicy
from leads.settings import Settings
from leads_client import AsyncClient, Client, PlayIn, SignalIn, ref, subject
from leads_client.schemas.base import RefOut
from serving.queue.offers import Offer, offer
from serving.runtime import Runtime
from serving.scoring.reasons.explanation import Reason
from tests.support.client_world import KEY, Face, Handler, InProcess, Pace, open_face, problem
from tests.support.serving.world import BENIGN_TEXT, SPAM_TEXT, make_runtime, make_stack, publish

EMPTY = {"leads": [], "nextCursor": None}
ACCEPTED = {"accepted": 1, "duplicates": 0, "eventIds": ["e1"]}


@pytest.fixture
def runtime(settings: Settings, engine: Engine) -> Iterator[Runtime]:
    publish(settings, "spam")
    opened = make_runtime(settings, engine)
    yield opened
    opened.close()


@pytest.fixture
def wire(runtime: Runtime, portal: BlockingPortal) -> InProcess:
    """A transport to the real service."""
    return InProcess(make_stack(runtime), portal)


@pytest.fixture
def client(kind: str, runtime: Runtime, portal: BlockingPortal, pace: Pace, wire: InProcess) -> Face:
    """A client of the real service."""
    scopes = ["score", "leads:read", "leads:decide", "act_as", "events:write", "monitoring:read"]
    key = keys.create(runtime.engine, "x", scopes)
    return open_face(kind, portal, pace, wire, key=key.text)


def put_leads(engine: Engine, n: int) -> None:
    now, reasons = clock.now(), (Reason("TEXT_LINKS", "2 links in the text", 1.5),)
    offers = [
        Offer(Subject("comment", f"c{i}"), "spam", 0.9 - i / 100, "review", "1", "p", reasons, 3.0, 1.0, now)
        for i in range(n)
    ]
    with engine.begin() as connection:
        offer(connection, offers, now, QueuePolicy())


def json_of(request: httpx.Request) -> Any:
    return json.loads(request.content)


def score_result(one: dict[str, Any], place: int = 0) -> dict[str, Any]:
    """A result whose `harm` is the id of its subject."""
    error = {"harm": one["id"], "status": 422, "title": "t", "detail": "d", "pointer": f"/subjects/{place}/data/text"}
    return {"subject": {"id": one["id"], "typeId": one["typeId"]}, "scores": [], "errors": [error]}


def echo(request: httpx.Request) -> httpx.Response:
    """A response with no scores but one result per subject, in order."""
    sent = json_of(request)["subjects"]
    results = [score_result(one, place) for place, one in enumerate(sent)]
    return httpx.Response(200, json={"at": sent[0]["id"], "results": results})


# With the real service


def test_a_whole_review_with_the_real_service(client: Face, engine: Engine) -> None:
    sent = client.items([subject("comment", "c0", text=SPAM_TEXT, account_id="a1", parent=("track", "t1"))])
    assert (sent.accepted, sent.duplicates) == (1, 0)
    report = SignalIn(subject=ref("comment", "c0"), kind="user_report", source="app", harm="spam", reporter_id="a2")
    assert client.signals([report]).accepted == 1
    assert client.plays([PlayIn(subject=ref("track", "t1"), account_id="a1", seconds=31.5)]).accepted == 1

    scored = client.score([("comment", "c0"), ref("comment", "c9"), subject("comment", "n", text=BENIGN_TEXT)])
    known, unknown, new = scored.results
    assert known.scores[0].score > 0.9 > 0.1 > new.scores[0].score
    assert known.scores[0].explanation is None
    assert (unknown.subject, unknown.errors[0].pointer) == (RefOut("c9", "comment"), "/subjects/1/id")
    (explained,) = client.score([("comment", "c0")], ["spam"], reasons=True).results[0].scores
    parts = explained.explanation.base + sum(x.weight for x in explained.explanation.reasons)
    assert parts + explained.explanation.rest == pytest.approx(explained.explanation.margin, abs=1e-5)

    put_leads(engine, 2)
    assert [x.subject.id for x in client.leads(["spam"], type_id="comment").leads] == ["c0", "c1"]
    assert {x.harm: x.leads.open for x in client.stats().harms}["spam"] == 2
    (claimed,) = client.claim("ann", harms=["spam"]).leads
    assert (claimed.subject.id, claimed.subject.data["text"]) == ("c0", SPAM_TEXT)
    assert client.score([claimed.subject]).results[0].scores[0].degraded == known.scores[0].degraded
    assert client.release(claimed.id, "ann").state == "open"
    with pytest.raises(InvalidInput, match="which content") as unseen:
        client.decide(claimed.id, "violating", "ann")
    assert unseen.value.field == "/contentVersion"
    by_claim = {"reason": "Sells coins.", "review_id": claimed.review_id}
    assert client.decide(claimed.id, "violating", "ann", **by_claim).state == "decided"
    assert client.lead(claimed.id).signals[0].kind == "user_report"
    other = (("comment", "c0"), "spam", "not_violating", "bob")
    with pytest.raises(AlreadyDecided):
        client.decide_subject(*other)
    assert client.decide_subject(*other, appeal=True, content_version=claimed.content_version).by == "human"
    with pytest.raises(NotClaimed):
        client.release(claimed.id, "ann")
    assert [x.subject.id for x in client.claim("ann", n=2, exclude=[claimed.id]).leads] == ["c1"]
    trail = [x.action for x in client.audit(claimed.id).entries]
    assert trail == ["offered", "claimed", "released", "decided", "overturned"]
    assert [x.serving for x in client.models().models if x.harm == "spam"] == ["1"]
    by_name = {one.harm: one for one in client.harms().harms}
    assert (by_name["spam"].champion, by_name["spam"].type_ids, by_name["sexism"].champion) == ("1", ("comment",), None)
    assert 0 < (by_name["spam"].thresholds.review or 0) < 1
    assert by_name["sexism"].thresholds is None


def test_what_monitoring_measured(client: Face, engine: Engine, wire: InProcess) -> None:
    hour = clock.now() // clock.HOUR * clock.HOUR
    ends = [hour - i * clock.HOUR for i in range(5)]
    rows = [
        MetricRow("spam", "1", slice_, end - clock.DAY, end, "score.mean", 0.5, None, None, 9, "mean")
        for end in ends
        for slice_ in ("", "type=comment")
    ]
    with engine.begin() as connection:
        write(connection, "run", rows)
        runs.begin(connection, "host", hour)
    found = client.iter_monitoring_metrics(["spam"], ["score.mean"], slice="type=comment", page_size=2)
    assert [(one.until, dict(one.slice)) for one in found] == [
        (clock.to_text(end), {"type": "comment"}) for end in ends
    ]
    assert len(wire.sent) == 3
    assert len(client.monitoring_metrics(limit=7).metrics) == 7
    since, until = clock.to_text(ends[3]), clock.to_text(ends[1])
    assert len(client.monitoring_metrics(since=since, until=until).metrics) == 4
    assert [one.host for one in client.monitoring_runs(1).runs] == ["host"]
    (spam,) = [one for one in client.monitoring_summary().harms if one.harm == "spam"]
    assert [(one.name, one.value) for one in spam.figures] == [("score.mean", 0.5)]
    with pytest.raises(NotFound):
        client.monitoring_metrics(["no_such_harm"])


def test_pages_are_followed_to_the_end(client: Face, engine: Engine, wire: InProcess) -> None:
    put_leads(engine, 5)
    assert [x.subject.id for x in client.iter_leads(page_size=2)] == [f"c{i}" for i in range(5)]
    assert len(wire.sent) == 3
    assert client.iter_leads(state="decided") == []


def test_a_change_whose_response_was_lost_is_made_once(
    client: Face, engine: Engine, wire: InProcess, pace: Pace
) -> None:
    put_leads(engine, 3)
    wire.lose = 1
    assert client.items([subject("comment", "c0", text="x")]).accepted == 1
    assert len(event_log.read(engine, 0)) == 1
    wire.lose = 2
    (first,) = client.claim("ann").leads
    assert [x.subject.id for x in client.leads(state="claimed").leads] == [first.subject.id]
    wire.lose = 1
    assert client.decide(first.id, "violating", "ann").repeated is False
    assert len(pace.waits) == 4
    wire.lose = 1_000
    with pytest.raises(Unavailable, match=r"Gave up after \d+ attempts in 60\.0 s"):
        client.claim("bob", idempotency_key="k1")
    wire.lose = 0
    (kept,) = client.claim("bob", idempotency_key="k1").leads
    held = [x.subject.id for x in client.leads(state="claimed").leads]
    assert held == [kept.subject.id]


def test_errors_of_the_real_service_are_raised(client: Face, runtime: Runtime, pace: Pace) -> None:
    with pytest.raises(NotFound) as unknown:
        client.score([("comment", "c9")])
    assert unknown.value.field == "/subjects/0/id"
    assert len(unknown.value.request_id) == 24
    with pytest.raises(NotFound, match=r"Lead not found\. List leads"):
        client.lead("l_x")
    with pytest.raises(InvalidInput) as late:
        client.items([subject("comment", "c1"), subject("comment", "")])
    assert late.value.field == "/items/1/id"
    with pytest.raises(InvalidInput) as empty:
        client.score([])
    assert empty.value.field == "/subjects"
    with pytest.raises(InvalidInput, match="cursor"):
        client.leads(cursor="nope")
    with pytest.raises(InvalidInput) as huge:
        client.items([subject("comment", "c", text="x" * 2_000_000)])
    assert huge.value.field == "/items/0/data/text"
    with pytest.raises(TooLarge):
        client.items([subject("comment", "c", text="x" * 3_000_000)])
    assert pace.waits == []


def test_texts_over_the_size_limit_are_sent_in_several_requests(client: Face, engine: Engine, wire: InProcess) -> None:
    # Each of these characters takes three bytes in JSON.
    items = [subject("comment", f"c{i}", text="漢" * 19_000) for i in range(60)]
    answer = client.items(items)
    assert (answer.accepted, len(set(answer.event_ids)), len(wire.sent)) == (60, 60, 2)
    logged = [x.event.body.subject.id for x in event_log.read(engine, 0)]
    assert logged == [one.id for one in items]


def test_a_rate_limited_client_waits_for_retry_after(
    kind: str, runtime: Runtime, portal: BlockingPortal, pace: Pace, wire: InProcess
) -> None:
    slow = keys.create(runtime.engine, "slow", ["score"], rate=0.01).text
    client = open_face(kind, portal, pace, wire, key=slow, retry_for_s=250)
    client.models()
    with pytest.raises(TooManyRequests, match="requests per second") as raised:
        # One more than the rate limit's burst; waiting moves only the client's clock.
        client.models(), client.models()
    assert raised.value.retry_after_s > 1
    assert min(pace.waits) > 1
    assert len(pace.waits) == 2
    assert "the service asks to wait" in str(raised.value)


def test_without_a_key_only_ready_works(kind: str, portal: BlockingPortal, pace: Pace, wire: InProcess) -> None:
    bare = open_face(kind, portal, pace, wire, key=None)
    with pytest.raises(NotAuthenticated, match="API key missing"):
        bare.models()
    with pytest.raises(NotAuthenticated, match="Invalid API key"):
        open_face(kind, portal, pace, wire, key="ls_a_b").models()
    assert bare.ready() is True


# Long lists


def test_long_lists_are_scored_in_parts_and_joined_in_order(faked: Callable[..., Face]) -> None:
    sizes = []

    def handler(request: httpx.Request) -> httpx.Response:
        sizes.append(len(json_of(request)["subjects"]))
        return echo(request)

    subjects = [("comment", f"c{i}") for i in range(2_300)]
    answer = faked(handler).score(iter(subjects))
    assert sorted(sizes) == [300, 1_000, 1_000]
    assert answer.at == "c0"
    assert [x.subject.id for x in answer.results] == [id_ for _, id_ in subjects]
    assert [x.errors[0].pointer for x in answer.results] == [f"/subjects/{i}/data/text" for i in range(2_300)]


def test_a_part_without_scores_still_gives_results(faked: Callable[..., Face]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        sent = json_of(request)["subjects"]
        if sent[0]["id"] != "c1000":
            return echo(request)
        return problem(404, "Nothing could be scored.", *((f"/subjects/{i}/id", "Unknown.") for i in range(len(sent))))

    subjects = [*(("comment", f"c{i}") for i in range(1_001)), ("No Type", "bad")]
    answer = faked(handler).score(subjects)
    assert len(answer.results) == 1_002
    unknown, unreadable = answer.results[1_000:]
    assert (unknown.subject, unknown.scores) == (RefOut("c1000", "comment"), ())
    (error,) = unknown.errors
    assert (error.pointer, error.status, error.detail) == ("/subjects/1000/id", 404, "Unknown.")
    assert unreadable.subject is None


def test_without_any_score_the_error_points_into_the_whole_list(faked: Callable[..., Face]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return problem(404, "Nothing could be scored.", ("/subjects/0/id", "Unknown."))

    with pytest.raises(NotFound, match="Unknown") as raised:
        faked(handler).score([("comment", "c")] * 1_001)
    assert raised.value.field == "/subjects/0/id"

    def denied(request: httpx.Request) -> httpx.Response:
        if len(json_of(request)["subjects"]) == 1_000:
            return echo(request)
        return problem(422, "Too long.", ("/subjects/0/data/text", "Too long."), ("/harms/0", "No."))

    with pytest.raises(InvalidInput) as whole:
        faked(denied).score([("comment", "c")] * 1_001)
    assert whole.value.field == "/subjects/1000/data/text"


def test_events_are_sent_in_order_with_one_idempotency_key_per_part(faked: Callable[..., Face]) -> None:
    sent: list[tuple[str, int, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        (name, entries) = next(iter(json_of(request).items()))
        sent.append((name, len(entries), request.headers["idempotency-key"]))
        if len(sent) == 6:
            return problem(422, "Late. Fix it.", (f"/{name}/3/occurredAt", "Late."))
        return httpx.Response(202, json={**ACCEPTED, "accepted": len(entries), "eventIds": [str(len(sent))]})

    client = faked(handler)
    plays = [PlayIn(subject=ref("track", "t"), account_id="a", seconds=1)] * 2_001
    answer = client.plays(plays)
    assert (answer.accepted, answer.event_ids) == (2_001, ("1", "2", "3"))
    assert [(name, n) for name, n, _ in sent] == [("plays", 1_000), ("plays", 1_000), ("plays", 1)]
    assert len({key for *_, key in sent}) == 3
    with pytest.raises(InvalidInput) as raised:
        client.items([subject("comment", "c")] * 2_500, idempotency_key="mine")
    assert [key for *_, key in sent[3:]] == ["mine-0", "mine-1", "mine-2"]
    assert raised.value.field == "/items/2003/occurredAt"
    assert raised.value.remedy == "Fix it. The first 2,000 entries were accepted; continue after them."


def test_asyncio_scoring_has_limited_concurrency(portal: BlockingPortal, pace: Pace) -> None:
    now, most = 0, 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.sleep(0.01)
        now -= 1
        return echo(request)

    client = open_face("asyncio", portal, pace, httpx.MockTransport(handler))
    answer = client.score([("comment", f"c{i}") for i in range(10_000)])
    assert [x.subject.id for x in answer.results] == [f"c{i}" for i in range(10_000)]
    assert most == 4


# Errors


@pytest.mark.parametrize(
    ("status", "raised"),
    [(401, NotAuthenticated), (403, AccessDenied), (404, NotFound), (409, Conflict), (413, TooLarge),
     (415, InvalidInput), (422, InvalidInput), (400, InvalidInput), (405, InvalidInput), (500, LeadsError)],
)  # fmt: skip
def test_permanent_errors_are_raised_at_once(
    answering: Callable[..., tuple[Face, list[httpx.Request]]], pace: Pace, status: int, raised: type[LeadsError]
) -> None:
    client, sent = answering(problem(status, "Wrong. Fix it.", ("/reviewer", "Wrong."), ("/n", "Too.")))
    with pytest.raises(LeadsError) as found:
        client.claim("ann")
    assert type(found.value) is raised
    error = found.value
    assert (error.message, error.remedy, error.field, error.request_id) == ("Wrong.", "Fix it.", "/reviewer", "r1")
    assert (len(sent), pace.waits) == (1, [])


def test_every_documented_status_and_every_error_is_translated(runtime: Runtime, portal: BlockingPortal) -> None:
    from tests.support.serving.world import Http

    key = keys.create(runtime.engine, "x", ["score"]).text
    document = Http(make_stack(runtime), portal, headers={"x-api-key": key}).get("/v1/openapi.json").json()
    documented = {
        int(status)
        for path in document["paths"].values()
        for operation in path.values()
        for status in operation["responses"]
        if status.isdigit() and int(status) >= 400
    }
    assert {401, 403, 404, 409, 413, 415, 422, 429, 503} <= documented
    of_ours = {one.status for one in LeadsError.__subclasses__()} - {500}
    for status in sorted(documented | of_ours):
        client = Client("http://x", KEY, retry_for_s=0,
                        transport=httpx.MockTransport(lambda _, status=status: problem(status)))  # fmt: skip
        with pytest.raises(LeadsError) as raised:
            client.models()
        kind = type(raised.value)
        assert kind is not LeadsError
        assert kind in vars(errors).values()
        assert kind.status == status or status not in of_ours


# Responses that aren't the API's


def test_a_proxys_error_page_is_reported_as_such(
    answering: Callable[..., tuple[Face, list[httpx.Request]]], pace: Pace
) -> None:
    page = httpx.Response(502, html="<h1>Bad Gateway</h1>")
    client, sent = answering(page, httpx.Response(200, json=EMPTY))
    assert client.leads().leads == ()
    client, sent = answering(*[page] * 100)
    with pytest.raises(Unavailable, match="GET /v1/leads returned 502 without a problem document") as raised:
        client.leads()
    assert "Bad Gateway" not in str(raised.value)
    assert len(sent) > 4


@pytest.mark.parametrize(
    "answer",
    [{"html": "<p>Log in"}, {}, {"content": b'{"leads": "\xff"}'}, {"json": {"leads": 5}}, {"json": []}],
)
def test_an_unexpected_body_is_an_error(
    answering: Callable[..., tuple[Face, list[httpx.Request]]], answer: dict[str, Any]
) -> None:
    client, sent = answering(httpx.Response(200, **answer))
    with pytest.raises(Unavailable, match="unexpected body"):
        client.leads()
    assert len(sent) == 1


def test_ids_are_escaped_in_paths(
    answering: Callable[..., tuple[Face, list[httpx.Request]]],
) -> None:
    client, sent = answering(problem(404), problem(404))
    for ask in (client.lead, client.audit):
        with pytest.raises(NotFound):
            ask("../a?b")
    assert [request.url.raw_path for request in sent] == [b"/v1/leads/..%2Fa%3Fb", b"/v1/leads/..%2Fa%3Fb/audit"]


def test_redirects_are_not_followed(answering: Callable[..., tuple[Face, list[httpx.Request]]]) -> None:
    client, sent = answering(httpx.Response(302, headers={"location": "https://elsewhere.test/"}))
    with pytest.raises(LeadsError, match="302"):
        client.leads()
    assert len(sent) == 1


def test_fields_of_a_newer_service_are_ignored(answering: Callable[..., tuple[Face, list[httpx.Request]]]) -> None:
    named = {"id": "c1", "typeId": "comment", "new": 1}
    result = {"subject": named, "scores": [], "errors": [], "new": {"x": 1}}
    client, _ = answering(httpx.Response(200, json={"at": "t", "results": [result], "new": None}))
    assert client.score([("comment", "c1")]).results[0].subject == RefOut("c1", "comment")
    lead = {
        "id": "l", "reviewId": "r", "contentVersion": "1-x",
        "subject": {**named, "data": {"text": "x", "new": 1, "parent": {**named}}}, "harm": "spam",
        "harmTitle": "Spam", "model": "m", "modelVersion": "1", "reasons": [], "leaseUntil": "t", "new": [],
    }  # fmt: skip
    client, _ = answering(httpx.Response(200, json={"leads": [lead]}))
    (claimed,) = client.claim("ann").leads
    assert claimed.subject.data["parent"]["id"] == "c1"


# Keys and addresses


def test_the_key_is_sent_and_never_shown(
    answering: Callable[..., tuple[Face, list[httpx.Request]]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = httpx.Response(200, json=EMPTY), httpx.ConnectError("x"), problem(401)
        client, sent = answering(*answers, retry_for_s=0)
        client.leads()
        shown = [repr(client.client), str(vars(client.client))]
        for kind in (Unavailable, NotAuthenticated):
            with pytest.raises(kind) as raised:
                client.leads()
            shown += [str(raised.value), repr(raised.value)]
    assert {request.headers["x-api-key"] for request in sent} == {KEY}
    assert KEY not in caplog.text + "".join(shown)


@pytest.mark.parametrize("opened", [Client, AsyncClient])
def test_invalid_addresses_and_keys_are_rejected(opened: type[Client] | type[AsyncClient]) -> None:
    for url in ("127.0.0.1:3000", "ftp://x", "http://", "http://x:port"):
        with pytest.raises(InvalidInput, match="base_url"):
            opened(url, KEY)
    for key in ("ls_ä", "ls_a\nb"):
        with pytest.raises(InvalidInput) as raised:
            opened("http://x", key)
        assert "ls_" not in str(raised.value)
    assert "secret" not in repr(opened("http://me:secret@x", KEY))


def test_address_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=EMPTY)

    def ask(*given: str) -> tuple[str, str | None]:
        Client(*given, transport=httpx.MockTransport(handler)).leads()
        return str(seen[-1].url.copy_with(query=None)), seen[-1].headers.get("x-api-key")

    assert ask() == ("http://127.0.0.1:3000/v1/leads", None)
    monkeypatch.setenv("LEADS_URL", "https://leads.test/prefix/")
    monkeypatch.setenv("LEADS_API_KEY", f"{KEY}\n")
    assert ask() == ("https://leads.test/prefix/v1/leads", KEY)
    assert ask("http://other.test", "ls_x") == ("http://other.test/v1/leads", "ls_x")


def test_proxies_are_not_used_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.test:1")
    for url, proxied in (("http://127.0.0.1:1", False), ("http://localhost", False), ("http://[::1]:2", False),
                         ("http://leads.test", True)):  # fmt: skip
        with Client(url, KEY) as client:
            assert client._http.trust_env is proxied


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "ä"])
def test_invalid_idempotency_keys_are_rejected(
    answering: Callable[..., tuple[Face, list[httpx.Request]]], key: str
) -> None:
    client, sent = answering()
    with pytest.raises(InvalidInput, match="idempotency key"):
        client.claim("ann", idempotency_key=key)
    assert sent == []


def test_invalid_text_is_rejected_before_sending(
    answering: Callable[..., tuple[Face, list[httpx.Request]]],
) -> None:
    client, sent = answering()
    with pytest.raises(InvalidInput) as raised:
        client.score([("comment", "c1"), subject("comment", "c2", text="\ud800")])
    assert (raised.value.field, sent) == ("/data", [])


def test_ready_asks_once(faked: Callable[..., Face], pace: Pace) -> None:
    asked: list[str] = []

    def answer(response: httpx.Response | Exception) -> Handler:
        def handler(request: httpx.Request) -> httpx.Response:
            asked.append(request.url.path)
            if isinstance(response, Exception):
                raise response
            return response

        return handler

    assert faked(answer(httpx.Response(200))).ready() is True
    assert faked(answer(httpx.Response(503))).ready() is False
    assert faked(answer(httpx.ConnectError("x"))).ready() is False
    assert (asked, pace.waits) == (["/readyz"] * 3, [])


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type[Client] | type[AsyncClient]) -> dict[str, list[str]]:
        public = {name: x for name, x in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
        return {name.replace("aclose", "close"): [str(p) for p in inspect.signature(x).parameters.values()]
                for name, x in public.items()}  # fmt: skip

    assert methods(Client) == methods(AsyncClient)


def test_the_with_block_closes_the_connections(portal: BlockingPortal) -> None:
    with Client("http://x", KEY) as blocking:
        assert not blocking._http.is_closed
    assert blocking._http.is_closed

    async def use() -> AsyncClient:
        async with AsyncClient("http://x", KEY) as client:
            assert not client._http.is_closed
        return client

    assert portal.call(use)._http.is_closed
