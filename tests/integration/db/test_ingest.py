"""Files of events: both formats, and an error that names every line that is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from leads import clock
from leads.db import event_log, ingest
from leads.db.engine import reading
from leads.db.event_log import Moved
from leads.db.progress.served import note_served
from leads.errors import Conflict, InvalidInput, NotFound
from leads.events import DecisionMade, ItemCreated, LoggedEvent, Played, SignalReceived
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings
from tests.support.declared import DECLARED
from tests.support.paths import REPOSITORY

POLICIES = load_policies(POLICIES_FILE)
AT = clock.from_text("2026-03-01T12:00:00Z")
ITEM: dict[str, Any] = {
    "id": "c1", "typeId": "comment", "data": {"text": "free money", "accountId": "a7"}, "eventId": "e1",
    "occurredAt": "2026-03-01T12:00:00Z",
}  # fmt: skip
LOGGED: dict[str, Any] = {
    "id": "e2", "occurred_at": AT, "body": {"type": "played", "subject": {"type_id": "track", "id": "t3"},
    "account_id": "a7", "seconds": 31.5},
}  # fmt: skip
STATED = {"eventId": "e3", "occurredAt": "2026-03-01T12:00:00Z"}
REF = {"id": "c1", "typeId": "comment"}
SIGNAL: dict[str, Any] = {"subject": REF, "source": "app", "kind": "user_report", **STATED}
DECISION: dict[str, Any] = {"subject": REF, "verdict": "violating", "reviewer": "r1", **STATED}
LOGGED_DECISION: dict[str, Any] = {
    "id": "e4", "occurred_at": AT, "body": {"type": "decision_made", "subject": {"type_id": "comment", "id": "c1"},
    "harm": "spam", "verdict": "violating", "by": "human", "reviewer": "r1"},
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def write(path: Path, *lines: dict[str, Any] | bytes | str, start: bytes = b"") -> Path:
    raw = [line if isinstance(line, bytes) else line.encode() if isinstance(line, str) else json.dumps(line).encode()
           for line in lines]  # fmt: skip
    path.write_bytes(start + b"\n".join(raw) + b"\n")
    return path


def logged(engine: Engine) -> list[LoggedEvent]:
    return list(event_log.read_all(engine))


def fails(engine: Engine, path: Path, kind: type[InvalidInput | Conflict] = InvalidInput) -> InvalidInput | Conflict:
    with pytest.raises(kind) as caught:
        ingest.ingest(engine, path, POLICIES, DECLARED)
    assert logged(engine) == []
    return caught.value


def places(error: InvalidInput | Conflict) -> list[str]:
    """The lines and fields that the error names, without the file."""
    return [fault.field.partition("events.jsonl:")[2] for fault in error.faults]


def test_the_documented_examples_give_the_same_events_in_both_formats(any_engine: Engine, path: Path) -> None:
    page = (REPOSITORY / "docs" / "event-files.md").read_text(encoding="utf-8")
    of_api, of_log = (block.strip().splitlines() for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    done = ingest.ingest(any_engine, write(path, *of_api, *of_log), POLICIES, DECLARED)
    assert (done.accepted, done.duplicates, done.offset) == (8, 0, 8)
    events = [one.event for one in logged(any_engine)]
    assert [type(event.body) for event in events] == [ItemCreated, SignalReceived, Played, DecisionMade] * 2
    assert [event.id for event in events] == [f"ev-{i}" for i in range(1, 9)]
    for api, log in zip(events[:4], events[4:], strict=True):
        assert api.occurred_at == log.occurred_at
        assert repr(api.body).replace("'c1'", "'c2'") == repr(log.body)
    again = ingest.ingest(any_engine, path, POLICIES, DECLARED)
    assert (again.accepted, again.duplicates) == (0, 8)


def test_lines_may_state_their_kind(engine: Engine, path: Path) -> None:
    subject = {"id": "c1", "typeId": "comment"}
    stated = {"eventId": "e2", "occurredAt": "2026-03-01T14:00:00+02:00"}
    play = {"kind": "play", "subject": subject, "accountId": "a1", "seconds": 1, **stated}
    decision = {
        "kind": "decision", "subject": subject, "harm": "spam", "verdict": "escalate", "reviewer": "r1",
        "by": "automation", "reason": "so", **stated, "eventId": "e3",
    }  # fmt: skip
    ingest.ingest(engine, write(path, {"kind": "item", **ITEM}, play, decision), POLICIES, DECLARED)
    first, second, third = (one.event for one in logged(engine))
    assert isinstance(first.body, ItemCreated)
    assert isinstance(second.body, Played)
    assert second.occurred_at == AT
    assert isinstance(third.body, DecisionMade)
    assert (third.body.by, third.body.reason) == ("automation", "so")


def test_times_of_a_recorded_history_are_kept_in_both_formats(engine: Engine, path: Path) -> None:
    lines = [{**ITEM, "visibleAt": "2026-03-01T12:00:01Z"}, {**LOGGED, "visible_at": AT + 2 * clock.SECOND}]
    done = ingest.ingest(engine, write(path, *lines), POLICIES, DECLARED)
    assert [one.visible_at for one in logged(engine)] == [AT + clock.SECOND, AT + 2 * clock.SECOND]
    assert done.moved == Moved(0, 0)


def test_a_byte_order_mark_and_empty_lines_are_ignored(engine: Engine, path: Path) -> None:
    ingest.ingest(
        engine, write(path, b"", ITEM, b"  ", json.dumps(LOGGED) + "\r", start=b"\xef\xbb\xbf"), POLICIES, DECLARED
    )
    assert len(logged(engine)) == 2


def test_a_time_before_a_served_prediction_is_moved_and_reported(
    engine: Engine, settings: Settings, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as connection:
        note_served(connection, AT + clock.HOUR)
    times = [AT + clock.SECOND, AT + 2 * clock.HOUR, AT + clock.MINUTE]
    lines = [{**LOGGED, "id": f"e{i}", "visible_at": at} for i, at in enumerate(times)]
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    result = CliRunner().invoke(app, ["ingest", str(write(path, *lines))])
    assert result.exit_code == 0, result.output
    assert "Appended 3 events" in result.output
    assert "2 of them became visible later than their file says: predictions had been served" in result.output
    assert [one.visible_at for one in logged(engine)] == [AT + clock.HOUR + 1, times[1], times[1] + 1]


BAD = {
    b"{": "Invalid JSON",
    b"[1]": "The line is a list",
    b"7": "Expected an object",
    b"{}": "not an event",
    b'{"items": []}': "whole request",
    b'{"id": "\xff", "typeId": "comment"}': "UTF-8",
    json.dumps({**ITEM, "data": {"text": "x\udcffy"}}).encode(): "half of a surrogate pair",
    b'{"seconds": ' + b"[" * 100_000: "nested too deeply",
    json.dumps(ITEM).replace('"free money"', "NaN").encode(): "Invalid JSON",
    json.dumps({**ITEM, "data": {"text": "x" * 1_000_000}}).encode(): "longer than 1,000,000 bytes",
    json.dumps({**ITEM, "data": {"text": "x" * 20_001}}).encode(): "20,000 characters",
    json.dumps({k: v for k, v in ITEM.items() if k != "eventId"}).encode(): "eventId is missing",
    json.dumps({k: v for k, v in ITEM.items() if k != "occurredAt"}).encode(): "occurredAt is missing",
    json.dumps({**ITEM, "occurredAt": "2026-03-01T12:00:00"}).encode(): "Not a valid time",
    json.dumps({**ITEM, "occurredAt": "1999-03-01T12:00:00Z"}).encode(): "between 2000 and 2100",
    json.dumps({**ITEM, "occurredAt": "2090-03-01T12:00:00Z"}).encode(): "in the future",
    json.dumps({**ITEM, "surprise": 1}).encode(): "unknown field `surprise`",
    json.dumps({**ITEM, "visibleAt": "2026-03-01T13:00:00Z"}).encode(): "The line has a visibleAt",
    json.dumps({**LOGGED, "visible_at": AT}).encode(): "The line has a visible_at",
    json.dumps(
        {**LOGGED, "occurred_at": AT // 1_000_000}
    ).encode(): "Expected a whole number of at least 946,684,800,000,000.",
}


def test_each_kind_of_bad_line_is_named_with_its_place(engine: Engine, path: Path) -> None:
    error = fails(engine, write(path, ITEM, *BAD, LOGGED))
    assert len(BAD) == 20
    assert [place.partition(" ")[0] for place in places(error)] == [str(i) for i in range(2, 22)]
    for fault, says in zip(error.faults, BAD.values(), strict=True):
        assert says in fault.message
    fields = dict(place.split(" ") for place in places(error) if " " in place)
    assert (fields["13"], fields["17"], fields["21"]) == ("/eventId", "/occurredAt", "/occurred_at")
    assert "In all, 20 lines are wrong. " in str(error)
    assert "Nothing was appended." in str(error)


def test_after_twenty_bad_lines_only_their_number_is_given(engine: Engine, path: Path) -> None:
    error = fails(engine, write(path, *[b"{}"] * 57))
    assert len(error.faults) == 20
    assert "In all, 57 lines are wrong; the first 20 are listed." in str(error)


def test_the_command_prints_every_place(
    engine: Engine, settings: Settings, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli.app import main

    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    monkeypatch.setattr("sys.argv", ["leads", "ingest", str(write(path, ITEM, b"{}", b"[]"))])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert "events.jsonl:2: The line is not an event. In all, 2 lines are wrong." in printed
    assert "events.jsonl:3: The line is a list." in printed


def test_the_command_refuses_a_harm_that_its_policies_dont_have(
    engine: Engine, settings: Settings, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    result = CliRunner().invoke(app, ["ingest", str(write(path, ITEM, {**SIGNAL, "harm": "nope"}))])
    assert result.exit_code == 1
    assert "Harm 'nope' not found" in str(result.exception)
    assert logged(engine) == []


@pytest.mark.parametrize("batch", [2, 5_000])
def test_an_id_that_is_used_twice_in_the_file_is_named(
    engine: Engine, path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_BATCH", batch)
    other = {**ITEM, "data": {"text": "other"}}
    error = fails(engine, write(path, LOGGED, ITEM, ITEM, other, {**ITEM, "eventId": "e9"}, other), Conflict)
    assert places(error) == ["4 /eventId", "6 /eventId"]
    assert "'e1' is already used" in str(error)
    assert "In all, 2 lines are wrong." in str(error)
    assert "--sender" in str(error)


def test_ids_that_the_log_has_for_other_events_are_named(engine: Engine, path: Path) -> None:
    ingest.ingest(engine, write(path, ITEM, LOGGED), POLICIES, DECLARED)
    changed = write(path, {**ITEM, "data": {"text": "other"}}, LOGGED, {**LOGGED, "occurred_at": AT + 1})
    with pytest.raises(Conflict) as caught:
        ingest.ingest(engine, changed, POLICIES, DECLARED)
    assert places(caught.value) == ["1 /eventId", "3 /id"]
    assert len(logged(engine)) == 2


def test_taken_ids_and_invalid_lines_are_named_together(engine: Engine, path: Path) -> None:
    other = {**ITEM, "data": {"text": "other"}}
    error = fails(engine, write(path, ITEM, {**ITEM, "eventId": "e9", "occurredAt": "tomorrow"}, other, b"{}"))
    assert places(error) == ["2 /occurredAt", "3 /eventId", "4"]
    assert str(error).startswith(f"{path}:2 /occurredAt: Not a valid time. In all, 3 lines are wrong. Use RFC 3339")
    assert "Nothing was appended." in str(error)


def test_of_taken_ids_and_invalid_lines_the_first_twenty_are_named(engine: Engine, path: Path) -> None:
    other = {**ITEM, "data": {"text": "other"}}
    error = fails(engine, write(path, ITEM, *[other, b"{}"] * 15))
    assert [place.partition(" ")[0] for place in places(error)] == [str(i) for i in range(2, 22)]
    assert "In all, 30 lines are wrong; the first 20 are listed. Nothing was appended." in str(error)


def test_a_line_that_becomes_invalid_after_the_check_is_named(
    engine: Engine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_BATCH", 1)
    monkeypatch.setattr("leads.db.ingest._Check.run", lambda _: 2)
    with pytest.raises(InvalidInput, match="Events appended before it: 1") as caught:
        ingest.ingest(engine, write(path, ITEM, b"{}"), POLICIES, DECLARED)
    assert places(caught.value) == ["2"]


REFUSED = [
    ({**SIGNAL, "harm": "nope"}, "/harm", "Harm 'nope' not found. Harms in policies.yaml: spam,"),
    ({**DECISION, "harm": "nope"}, "/harm", "Harm 'nope' not found. Harms in policies.yaml: spam,"),
    (
        {**DECISION, "harm": "spam", "subject": {"id": "m", "typeId": "mood"}},
        "/subject/typeId",
        "spam doesn't apply to",
    ),
    ({**SIGNAL, "kind": "classifier"}, "/score", "A signal of kind classifier needs a score."),
    (
        {**LOGGED_DECISION, "body": {**LOGGED_DECISION["body"], "harm": "nope"}},
        "/body/harm",
        "Harm 'nope' not found. Harms in policies.yaml: spam,",
    ),
    (
        {**LOGGED_DECISION, "body": {**LOGGED_DECISION["body"], "subject": {"type_id": "mood", "id": "m"}}},
        "/body/subject/type_id",
        "spam doesn't apply to",
    ),
]


def test_lines_that_the_api_would_refuse_are_refused(engine: Engine, path: Path) -> None:
    error = fails(engine, write(path, *(line for line, _, _ in REFUSED)))
    assert places(error) == [f"{i} {field}" for i, (_, field, _) in enumerate(REFUSED, start=1)]
    for fault, (_, _, says) in zip(error.faults, REFUSED, strict=True):
        assert fault.message.startswith(says)
    assert "set LEADS_POLICIES for this command to a file that still has it" in str(error)


def test_a_history_is_loaded_with_the_policies_of_its_time(engine: Engine, path: Path) -> None:
    then = POLICIES.model_copy(update={"harms": {**POLICIES.harms, "nope": POLICIES.harms["spam"]}})
    lines = [{**SIGNAL, "harm": "nope"}, {**DECISION, "eventId": "e4", "harm": "nope"}]
    assert ingest.ingest(engine, write(path, *lines), then, DECLARED).accepted == 2


def test_an_id_that_is_taken_after_the_check_says_how_far_it_came(
    engine: Engine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_BATCH", 1)
    monkeypatch.setattr(ingest, "taken_in", lambda *_: [])
    ingest.ingest(engine, write(path, LOGGED), POLICIES, DECLARED)
    write(path, ITEM, {**LOGGED, "occurred_at": AT + 1})
    with pytest.raises(Conflict, match="Events appended before it: 1") as caught:
        ingest.ingest(engine, path, POLICIES, DECLARED)
    assert places(caught.value) == ["2 /id"]


@pytest.mark.parametrize(
    ("start", "says"), [(b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\x1f\x8b", "gunzip"), (b"", "no events")]
)
def test_files_of_other_formats_are_refused_with_advice(engine: Engine, path: Path, start: bytes, says: str) -> None:
    path.write_bytes(start)
    assert says in str(fails(engine, path))


def test_a_missing_file_is_an_error(engine: Engine, path: Path) -> None:
    with pytest.raises(NotFound, match=r"events\.jsonl"):
        ingest.ingest(engine, path, POLICIES, DECLARED)
    with reading(engine) as connection:
        assert event_log.head(connection).offset == 0
