"""Events survive encoding, and invalid ones are rejected with the place of the error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leads.errors import InvalidInput
from leads.events import (
    DecisionMade,
    Event,
    ItemCreated,
    Played,
    RecordedEvent,
    SignalReceived,
    Subject,
    SubjectRef,
    decode_event,
    decode_recorded,
    encode,
)

AT = 1_700_000_000_000_000
EVENT: dict[str, Any] = {
    "id": "e1",
    "occurred_at": AT,
    "body": {"type": "played", "subject": {"type_id": "track", "id": "t1"}, "account_id": "a1", "seconds": 31.0},
}

ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=256)
names = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
instants = st.integers(946_684_800_000_000, 4_102_444_800_000_000)
refs = st.builds(SubjectRef, names, ids)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
items = st.builds(
    ItemCreated, refs, st.none() | ids, st.none() | refs, texts, st.none() | st.floats(0, 1e7, allow_nan=False)
)
plays = st.builds(Played, refs, ids, st.floats(0, 1e6), st.none() | ids)
signals = st.builds(
    SignalReceived,
    refs,
    st.sampled_from(["user_report", "trusted_flagger", "hash_match", "classifier"]),
    ids,
    st.none() | names,
    st.none() | ids,
    st.none() | st.floats(0, 1),
)
decisions = st.builds(
    DecisionMade,
    refs,
    names,
    st.sampled_from(["violating", "not_violating", "escalate"]),
    st.sampled_from(["human", "automation"]),
    ids,
    st.none() | ids,
    texts,
    st.none() | st.floats(0, 1, exclude_min=True),
)
bodies = items | plays | signals | decisions


@given(st.builds(Event, ids, instants, bodies))
def test_an_event_survives_encoding(event: Event) -> None:
    assert decode_event(encode(event)) == event
    assert encode(decode_event(encode(event))) == encode(event)


@given(st.builds(RecordedEvent, ids, instants, instants, bodies))
def test_a_recorded_event_survives_encoding_on_one_line(record: RecordedEvent) -> None:
    raw = encode(record)
    assert decode_recorded(raw) == record
    assert b"\n" not in raw
    assert decode_event(encode(record.event)) == record.event


@given(names, ids)
def test_a_subject_survives_its_key(type_id: str, subject_id: str) -> None:
    assert Subject.of_key(Subject(type_id, subject_id).key) == Subject(type_id, subject_id)


def changed(pointer: str, value: Any) -> bytes:
    event = json.loads(json.dumps(EVENT))
    *path, last = pointer.strip("/").split("/")
    node = event
    for key in path:
        node = node[key]
    node[last] = value
    return json.dumps(event).encode()


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/id", ""),
        ("/id", "x" * 257),
        ("/id", "tab\there"),
        ("/id", "line\n"),
        ("/id", "del\x7f"),
        ("/id", "nul\x00"),
        ("/id", 7),
        ("/id", None),
        ("/occurred_at", AT // 1_000),
        ("/occurred_at", AT // 1_000_000),
        ("/occurred_at", AT * 1_000),
        ("/occurred_at", float(AT) + 0.5),
        ("/occurred_at", "2026-01-31T12:00:00Z"),
        ("/occurred_at", -1),
        ("/body/account_id", ""),
        ("/body/seconds", -0.1),
        ("/body/seconds", 1e7),
        ("/body/seconds", "31"),
        ("/body/subject/type_id", "Track"),
        ("/body/subject/type_id", "1track"),
        ("/body/subject/type_id", "track\n"),
        ("/body/subject/type_id", "t" * 65),
        ("/body/subject/id", "\x1b[31m"),
        ("/body/subject", []),
    ],
)
def test_an_invalid_value_is_rejected_with_its_pointer(pointer: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode_event(changed(pointer, value))
    assert refused.value.field == pointer


@pytest.mark.parametrize("pointer", ["/surprise", "/body/surprise", "/body/subject/surprise"])
def test_an_unknown_field_is_rejected_with_its_pointer(pointer: str) -> None:
    with pytest.raises(InvalidInput, match="surprise") as refused:
        decode_event(changed(pointer, 1))
    assert refused.value.field == pointer


@pytest.mark.parametrize("field", ["id", "occurred_at", "body"])
def test_a_missing_field_is_named(field: str) -> None:
    event = {key: value for key, value in EVENT.items() if key != field}
    with pytest.raises(InvalidInput, match=field):
        decode_event(json.dumps(event).encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"id":"\xff"}',
        json.dumps({**EVENT, "id": "e"}).encode() + b"{}",
        json.dumps({**EVENT, "body": {**EVENT["body"], "seconds": float("nan")}}).encode(),
        json.dumps({**EVENT, "body": {**EVENT["body"], "seconds": float("inf")}}).encode(),
        json.dumps({**EVENT, "body": {**EVENT["body"], "type": "paused"}}).encode(),
    ],
)
def test_an_invalid_event_is_rejected(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_event(raw)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_invalid_input(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode_event(raw)


def test_errors_dont_quote_the_input() -> None:
    secret = "somebody's private words " * 3
    for pointer in ("/id", "/body/type", f"/body/{secret}"):
        with pytest.raises(InvalidInput) as refused:
            decode_event(changed(pointer, secret + "\x00"))
        assert "private" not in str(refused.value)


def test_an_overlong_text_is_rejected() -> None:
    body = {"type": "item_created", "subject": {"type_id": "comment", "id": "c1"}, "text": "x" * 50_001}
    with pytest.raises(InvalidInput) as refused:
        decode_event(changed("/body", body))
    assert refused.value.field == "/body/text"
