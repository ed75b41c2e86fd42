"""Parsing requests: large bodies are parsed or refused quickly."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads.api.requests import parse, parse_scoring
from leads.errors import InvalidInput
from leads_client.schemas.base import MAX_BATCH
from leads_client.schemas.events import ItemsIn
from tests.support.declared import DECLARED

BODY_BYTES = 2 * 1024 * 1024
# Much more than a valid body of this size takes, and half of what reading these bodies to the end takes.
MOST_S = 0.03
CROWDED = {
    "subjects": b'{"subjects":[%s]}' % b",".join([b'{"id":"c","typeId":"comment"}'] * 60_000),
    "harms": b'{"subjects":[{"id":"c","typeId":"comment"}],"harms":[%s]}' % b",".join([b'"a"'] * 500_000),
}


@pytest.mark.parametrize("raw", CROWDED.values(), ids=CROWDED)
def test_a_large_body_of_tiny_entries_is_refused_without_reading_them(raw: bytes) -> None:
    assert len(raw) < BODY_BYTES
    took = []
    for _ in range(5):
        began = time.thread_time()
        with pytest.raises(InvalidInput) as refused:
            parse_scoring(raw)
        took.append(time.thread_time() - began)
    assert f"{MAX_BATCH:,}" in str(refused.value.remedy)
    assert min(took) < MOST_S


@settings(max_examples=20)
@given(st.text(st.sampled_from('"\\a/\n'), min_size=1, max_size=40))
def test_a_full_body_is_parsed_whatever_its_texts_hold(unit: str) -> None:
    text = (unit * 400)[:400]
    item = {
        "id": "\\" * 9, "typeId": "comment", "occurredAt": "2026-03-01T12:00:00Z", "eventId": '"' * 9,
        "data": {"text": text, "accountId": "a" * 9, "parent": {"id": "t", "typeId": "track"}},
    }  # fmt: skip
    raw = msgspec.json.encode({"items": [item] * MAX_BATCH})
    assert len(raw) < BODY_BYTES
    last = parse(raw, ItemsIn).items[-1]
    assert DECLARED.read(last.type_id, last.data, whole=True).values["text"] == text
