"""Clients that generators make from the OpenAPI document, without a warning, against the running service."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.api.declared import Declared
from leads.db import keys
from leads.events import Subject
from leads.platform.declaration import Platform
from leads.policies import QueuePolicy
from leads.settings import Settings
from serving.http.openapi.assembly import whole_document
from serving.http.routes import create_app
from serving.queue.offers import Offer, offer
from serving.runtime import Runtime
from serving.scoring.reasons.explanation import Reason
from tests.support.serving.generated import blocks, command, installed, missing, run
from tests.support.serving.served import served
from tests.support.serving.world import SPAM_TEXT, publish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PACKAGE = "lead_serving"
TYPESCRIPT = ("openapi-typescript", "tsc")


@pytest.fixture
def service(settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A service with five leads, and the environment variables that the page uses."""
    publish(settings, "spam")
    key = keys.create(engine, "x", ["admin"]).text
    now, reasons = clock.now(), (Reason("TEXT_LINKS", "2 links in the text", 1.5),)
    offers = [
        Offer(Subject("comment", f"q{i}"), "spam", 0.9 - i / 100, "review", "1", "p", reasons, 3.0, 1.0, now)
        for i in range(5)
    ]
    with engine.begin() as connection:
        offer(connection, offers, now, QueuePolicy())
    with served(settings, key, ["serving.service:LeadServing"]) as client:
        monkeypatch.setenv("LEADS_URL", str(client.base_url).rstrip("/"))
        monkeypatch.setenv("LEADS_API_KEY", key)
        monkeypatch.setenv("NO_PROXY", "*")
        yield client


# A platform with every kind of field, and with names that the document uses itself.
PLATFORM = {
    "version": 1,
    "types": {
        "account": {"title": "Account"},
        "item": {"title": "Problem", "unknown_fields": "keep", "fields": {"text": {"kind": "text", "judged": True}}},
        "event": {
            "title": "Event",
            "fields": {
                "mood": {"kind": "category", "title": "State", "values": ["open", "closed"]},
                "genre": {"kind": "category", "title": "State"},
                "price": {"kind": "number", "unit": "euros", "at_least": 0},
                "explicit": {"kind": "flag"},
                "starts_at": {"kind": "time", "required": True},
                "page": {"kind": "url"},
                "spoken": {"kind": "language"},
            },
        },
    },
    "events": {
        "ab": {"title": "Item", "fields": {"mood": {"kind": "category", "title": "State", "values": ["a", "b"]}}},
        "payout": {"title": "Payout", "fields": {"paid_at": {"kind": "time", "required": True}}},
    },
}


def generate(folder: Path) -> None:
    """Make the Python client from the document in a folder."""
    printed = run(command("openapi-python-client").strip() + " --fail-on-warning", folder)
    assert "warning" not in printed.lower(), printed


@pytest.fixture
def generated(service: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Generated]:
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "openapi.json").write_bytes(service.get("/v1/openapi.json").content)
    generate(folder)
    monkeypatch.syspath_prepend(folder)
    found = Generated(service)
    with found.client:
        yield found
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


class Generated:
    """A generated client of the service."""

    def __init__(self, service: httpx.Client) -> None:
        self.models: Any = importlib.import_module(f"{PACKAGE}.models")
        package = importlib.import_module(PACKAGE)
        self.client = package.AuthenticatedClient(
            str(service.base_url).rstrip("/") + "/v1",
            token=service.headers["x-api-key"],
            raise_on_unexpected_status=True,
        )

    def call(self, module: str, *path: str, **given: Any) -> Any:
        """The parsed response of an operation."""
        operation: ModuleType = importlib.import_module(f"{PACKAGE}.api.{module}")
        return operation.sync(*path, client=self.client, **given)


def test_the_python_client(generated: Generated, capsys: pytest.CaptureFixture[str]) -> None:
    work_through_the_queue(generated)
    send_score_and_list(generated)
    read_problems(generated)
    run_the_examples_of_the_page(generated, capsys)


def work_through_the_queue(generated: Generated) -> None:
    m = generated.models
    listed = generated.call("queue.list_leads", harm=["spam"], limit=2)
    assert [(lead.subject.id, lead.state, lead.tier) for lead in listed.leads] == [
        ("q0", m.LeadState.OPEN, m.Tier.REVIEW),
        ("q1", m.LeadState.OPEN, m.Tier.REVIEW),
    ]
    assert listed.leads[0].created_at.utcoffset() == timedelta(0)
    assert (listed.leads[0].lease_until, listed.leads[0].verdict) == (None, None)
    last = generated.call("queue.list_leads", harm=["spam"], state=m.StateFilter.ANY, cursor=listed.next_cursor)
    assert ([lead.subject.id for lead in last.leads], last.next_cursor) == (["q2", "q3", "q4"], None)

    claim = m.ClaimIn(reviewer="ann", n=3)
    key = str(uuid4())
    claimed = generated.call("reviews.claim_leads", body=claim, idempotency_key=key).leads
    assert generated.call("reviews.claim_leads", body=claim, idempotency_key=key).leads == claimed
    first, second, third = claimed
    assert (first.harm_title, first.reasons[0].code, first.new_content) == ("Spam and scams", "TEXT_LINKS", None)
    held = generated.call("reviews.list_held_leads", reviewer="ann")
    assert {lead.id for lead in held.leads} == {lead.id for lead in claimed}
    extended = generated.call("reviews.extend_lease", first.id, body=m.ExtendIn(reviewer="ann"))
    assert extended.lease_until >= first.lease_until

    verdict = m.DecisionIn(verdict=m.Verdict.VIOLATING, reviewer="ann", review_id=first.review_id)
    decided = generated.call("reviews.decide_lead", first.id, body=verdict)
    assert (decided.verdict, decided.state, decided.by) == (
        m.Verdict.VIOLATING, m.LeadState.DECIDED, m.DecidedBy.HUMAN,
    )  # fmt: skip
    unsure = m.DecisionIn(verdict=m.Verdict.ESCALATE, reviewer="ann")
    assert generated.call("reviews.decide_lead", second.id, body=unsure).state == m.LeadState.ESCALATED
    released = generated.call("reviews.release_lead", third.id, body=m.ReleaseIn(reviewer="ann"))
    assert released.state == m.LeadState.OPEN

    stats = generated.call("queue.get_queue_stats")
    (spam,) = [harm for harm in stats.harms if harm.harm == "spam"]
    assert (spam.leads.open_, spam.leads.decided, spam.last_hour.released) == (3, 1, 1)
    trail = generated.call("queue.get_lead_audit_trail", first.id)
    assert [entry.action for entry in trail.entries] == ["offered", "claimed", "extended", "decided"]
    assert trail.entries[-1].detail["verdict"] == "violating"
    assert generated.call("queue.get_lead", first.id).lead.verdict == m.Verdict.VIOLATING


def send_score_and_list(generated: Generated) -> None:
    m = generated.models
    types = generated.call("platform.list_types")
    assert "comment" in [one.type_id for one in types.types]
    assert types.types[0].parents is None
    now = datetime.now(UTC)
    item = m.ItemIn(
        id="c1", type_id="comment", occurred_at=now, event_id="e1",
        data=m.CommentData(text=SPAM_TEXT, account_id="a1", parent=m.Ref(id="t1", type_id="track")),
    )  # fmt: skip
    accepted = generated.call("events.send_items", body=m.ItemsIn(items=[item]))
    assert (accepted.accepted, accepted.event_ids) == (1, ["e1"])
    subject = m.Ref(id="c1", type_id="comment")
    report = m.SignalIn(subject=subject, kind=m.SignalKind.USER_REPORT, source="app", harm="spam", reporter_id="a9")
    assert generated.call("events.send_signals", body=m.SignalsIn(signals=[report])).accepted == 1
    play = m.PlayIn(subject=m.Ref(id="t1", type_id="track"), account_id="a1", seconds=3.5, occurred_at=now)
    assert generated.call("events.send_plays", body=m.PlaysIn(plays=[play])).accepted == 1
    follow = m.EventIn(
        kind="follow", account_id="a1", subject=m.Ref(id="a2", type_id="account"), data=m.FollowEventData()
    )
    assert generated.call("events.send_events", body=m.EventsIn(events=[follow])).accepted == 1

    sent = item.to_dict()
    assert m.ItemIn.from_dict(sent).to_dict() == sent
    subjects = [m.SubjectIn(id="c1", type_id="comment"), m.SubjectIn(id="c9", type_id="comment")]
    scored = generated.call("scoring.score", body=m.ScoreIn(subjects=subjects, harms=["spam"], reasons=True))
    (score,), (fault,) = scored.results[0].scores, scored.results[1].errors
    assert (score.harm, score.tier, score.oldest_feature_age_s) == ("spam", m.Tier.AUTO, None)
    assert score.explanation.base < score.explanation.margin
    assert (fault.status, fault.pointer) == (404, "/subjects/1/id")
    decided = generated.call(
        "reviews.decide_subject",
        body=m.SubjectDecisionIn(verdict=m.Verdict.NOT_VIOLATING, reviewer="ann", subject=subject, harm="spam"),
    )
    assert (decided.lead_id, decided.verdict) == (None, m.Verdict.NOT_VIOLATING)
    models = generated.call("models.list_models")
    (spam,) = [one for one in models.models if one.harm == "spam"]
    assert (spam.serving, spam.champion.loaded, spam.canary) == ("1", True, None)
    assert spam.aliases["champion"] == "1"


def read_problems(generated: Generated) -> None:
    m = generated.models
    missing = generated.call("queue.get_lead", "l_" + "0" * 24)
    assert isinstance(missing, m.Problem)
    assert (missing.status, missing.title, missing.errors) == (404, "Not found", [])
    assert missing.request_id
    invalid = generated.call("scoring.score", body=m.ScoreIn(subjects=[m.SubjectIn(id="x", type_id="mood")]))
    assert isinstance(invalid, m.Problem)
    assert [detail.pointer for detail in invalid.errors] == ["/subjects/0/typeId"]


def run_the_examples_of_the_page(generated: Generated, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python"):
        exec(compile(block, "docs/generated-clients.md", "exec"), {"__name__": "example"})
    assert "spam 1\n" in capsys.readouterr().out
    decided = generated.call("queue.list_leads", state=generated.models.StateFilter.DECIDED)
    assert len(decided.leads) == 3


@pytest.mark.parametrize("whole", [False, True], ids=["openapi.json", "docs.json"])
def test_the_python_client_of_any_platform_is_made_without_warnings(tmp_path: Path, whole: bool) -> None:
    api = create_app(_no_runtime).document(Declared(Platform.model_validate(PLATFORM)), "/v1")
    (tmp_path / "openapi.json").write_text(json.dumps(whole_document(api, "/v1") if whole else api), encoding="utf-8")
    generate(tmp_path)
    models = {path.stem for path in (tmp_path / PACKAGE / "models").glob("*.py")}
    assert {"item_data_2", "event_data_2", "ab_event_data", "payout_event_data", "problem"} <= models
    source = (tmp_path / PACKAGE / "models" / "event_data_2.py").read_text(encoding="utf-8")
    assert "starts_at: datetime.datetime" in source


def _no_runtime() -> Runtime:
    raise AssertionError("Nothing is requested from this app.")


@pytest.mark.skipif(not installed(*TYPESCRIPT), reason=missing(TYPESCRIPT))
def test_types_for_typescript(service: httpx.Client, tmp_path: Path) -> None:
    run(command("curl").replace("curl ", "curl --silent --show-error --fail "), tmp_path)
    # npx finds only what is installed in the folder or by npm itself.
    printed = run(command("npx").removeprefix("npx "), tmp_path)
    assert "warn" not in printed.lower(), printed
    (example,) = blocks("typescript")
    (tmp_path / "example.ts").write_text(example, encoding="utf-8")
    run("tsc --noEmit --strict --target es2022 --module esnext --moduleResolution bundler example.ts", tmp_path)
    (tmp_path / "wrong.ts").write_text(example.replace('"violating"', '"perhaps"'), encoding="utf-8")
    with pytest.raises(AssertionError, match="perhaps"):
        run("tsc --noEmit --strict --target es2022 --module esnext --moduleResolution bundler wrong.ts", tmp_path)
