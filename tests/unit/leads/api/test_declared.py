"""An item's content is read by the fields that its type declares, and nothing else gets in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from leads import clock
from leads.api.declared import Declared
from leads.content import judged_spans, judged_text
from leads.errors import InvalidInput
from leads.events import Event, Happened, ItemCreated, SubjectRef, decode_event, encode
from leads.platform.declaration import Platform
from tests.support.declared import DECLARED

AT = "2026-03-01T12:00:00Z"
PODCASTS = Declared(
    Platform.model_validate(
        {
            "version": 1,
            "types": {
                "account": {"title": "Account", "fields": {"display_name": {"kind": "text", "max_chars": 40}}},
                "show": {"title": "Show", "unknown_fields": "keep", "fields": {"name": {"kind": "text"}}},
                "episode": {
                    "title": "Episode",
                    "parents": ["show"],
                    "fields": {
                        "title": {"kind": "text", "judged": True, "required": True, "max_chars": 300},
                        "description": {"kind": "text", "judged": True},
                        "language": {"kind": "language"},
                        "explicit": {"kind": "flag"},
                        "audio_url": {"kind": "url"},
                        "genre": {"kind": "category", "values": ["news", "music"]},
                        "aired_at": {"kind": "time"},
                        "length_s": {"kind": "number", "unit": "seconds", "at_least": 0, "at_most": 100_000},
                    },
                },
            },
            "events": {
                "follow": {
                    "title": "Follow",
                    "about": ["show"],
                    "fields": {"via": {"kind": "text"}, "since": {"kind": "time"}},
                }
            },
        }
    )
)
EPISODE = {
    "title": "Hi", "description": "About 早上好", "language": "pt-BR", "explicit": False,
    "audioUrl": "https://example.com/1.mp3", "genre": "news", "airedAt": AT, "lengthS": 61,
    "accountId": "a1", "parent": {"id": "s1", "typeId": "show"},
}  # fmt: skip


def event(data: Any, type_id: str = "episode", reader: Declared = PODCASTS) -> ItemCreated:
    return reader.item(SubjectRef(type_id, "x1"), UNSET if data is None else Raw(msgspec.json.encode(data)))


def refused(data: Any, type_id: str = "episode", reader: Declared = PODCASTS) -> str:
    with pytest.raises(InvalidInput) as error:
        event(data, type_id, reader)
    return str(error.value)


def test_every_kind_of_field_is_stored_and_comes_back() -> None:
    item = event(EPISODE)
    assert (item.account_id, item.parent, item.text) == ("a1", SubjectRef("show", "s1"), "")
    assert item.values == {
        "title": "Hi", "description": "About 早上好", "language": "pt-BR", "explicit": False,
        "audio_url": "https://example.com/1.mp3", "genre": "news", "aired_at": clock.from_text(AT), "length_s": 61.0,
    }  # fmt: skip
    one = Event("e1", clock.from_text(AT), item)
    assert decode_event(encode(one)) == one


def test_the_judged_text_is_in_the_order_of_the_declaration() -> None:
    item = event({"description": "second", "title": "first"})
    assert judged_text(item) == "first\n\nsecond"
    for span in judged_spans(item):
        assert judged_text(item)[span.start : span.end] == item.values[span.field]
    assert judged_text(event({"title": "only"})) == "only"


def test_what_earlier_releases_stored_reads_the_same() -> None:
    old = Event("e1", clock.from_text(AT), ItemCreated(SubjectRef("comment", "c1"), "a1", text="hi", duration_s=2.0))
    item = old.body
    assert isinstance(item, ItemCreated)
    assert (judged_text(item), item.values) == ("hi", {"text": "hi", "duration_s": 2.0})
    new = event({"text": "hi", "accountId": "a1"}, "comment", DECLARED)
    assert encode(new) == encode(ItemCreated(SubjectRef("comment", "c1"), "a1", text="hi")).replace(b'"c1"', b'"x1"')


def test_fields_that_are_not_declared_are_refused_by_name_or_kept() -> None:
    assert refused({**EPISODE, "titel": "x"}).startswith(
        "/data/titel: Object contains unknown field `titel`. Its fields are: accountId, airedAt, audioUrl, description"
    )
    kept = event({"name": "n", "rating": {"stars": 5}, "accountId": "a1"}, "show")
    assert (kept.values, {name: bytes(raw) for name, raw in kept.unknown.items()}) == (
        {"name": "n"},
        {"rating": b'{"stars":5}'},
    )
    assert "doesn't declare" in refused({f"f{i}": 1 for i in range(200)}, "show")
    assert "doesn't declare" in refused({"f": "x" * 20_000}, "show")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"title": None}, "/data/title: Title is missing."),
        ({"title": ""}, "/data/title: Title is missing."),
        ({"title": 5}, "/data/title: Expected a text, got a number."),
        ({"title": "x" * 301}, "/data/title: Expected at most 300 characters."),
        ({"explicit": 1}, "/data/explicit: Expected true or false, got a number."),
        ({"genre": "sports"}, "/data/genre: Invalid enum value 'sports'. Use one of: music, news."),
        ({"audioUrl": "javascript:alert(1)"}, "/data/audioUrl: Contains characters that are not allowed."),
        ({"language": "English, please"}, "/data/language: Contains characters that are not allowed."),
        ({"airedAt": "yesterday"}, "/data/airedAt: Not a valid time."),
        ({"airedAt": "1970-01-01T00:00:00Z"}, "/data/airedAt: The time must be between 2000 and 2100."),
        ({"lengthS": -1}, "/data/lengthS: Expected a number of at least 0."),
        ({"parent": {"id": "c", "typeId": "episode"}}, "/data/parent/typeId: Episode isn't posted under 'episode'."),
        ({"accountId": ""}, "/data/accountId: Expected at least 1 character."),
    ],
)
def test_a_value_that_does_not_fit_is_named(changed: dict[str, Any], says: str) -> None:
    assert refused({**EPISODE, **changed}).startswith(says)


def test_every_field_that_does_not_fit_is_named() -> None:
    wrong = {"title": 5, "explicit": 1, "lengthS": "long", "titel": "x"}
    with pytest.raises(InvalidInput) as error:
        event(wrong)
    assert [fault.field for fault in error.value.faults] == [f"/data/{name}" for name in wrong]
    assert error.value.faults[2].message == "Expected a number, got a text."
    # The same, of a recorded event.
    item = ItemCreated(SubjectRef("episode", "e"), fields={"title": 5, "length_s": -1.0})
    with pytest.raises(InvalidInput) as error:
        PODCASTS.check(item)
    assert [fault.field for fault in error.value.faults] == ["/body/fields/title", "/body/fields/length_s"]


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (ItemCreated(SubjectRef("mood", "m")), "/body/subject/type_id: The type 'mood' isn't declared."),
        (ItemCreated(SubjectRef("episode", "e")), "/body/title: Title is missing."),
        (ItemCreated(SubjectRef("episode", "e"), fields={"title": 5}), "/body/fields/title: Expected a text"),
        (
            ItemCreated(SubjectRef("episode", "e"), fields={"title": "Hi", "length_s": -1.0}),
            "/body/fields/length_s: Expected a number of at least 0.",
        ),
        (
            ItemCreated(SubjectRef("episode", "e"), text="x", fields={"title": "Hi"}),
            "/body/text: Object contains unknown field `text`",
        ),
        (
            ItemCreated(SubjectRef("episode", "e"), None, SubjectRef("episode", "f"), fields={"title": "Hi"}),
            "/body/parent/type_id: Episode isn't posted under 'episode'.",
        ),
    ],
)
def test_a_recorded_event_is_checked_like_a_sent_one(item: ItemCreated, says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        PODCASTS.check(item)
    assert str(error.value).startswith(says)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            Happened(SubjectRef("show", "s"), "unfollow", "a1"),
            "/body/kind: The kind of event 'unfollow' isn't declared",
        ),
        (Happened(SubjectRef("show", "s"), "follow"), "/body/account_id: accountId is missing."),
        (Happened(SubjectRef("episode", "e"), "follow", "a1"), "/body/subject/type_id: Follow isn't about 'episode'."),
        (Happened(SubjectRef("show", "s"), "follow", "a1", {"via": 5}), "/body/fields/via: Expected a text"),
    ],
)
def test_a_recorded_event_of_a_declared_kind_is_checked(body: Happened, says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        PODCASTS.check(body)
    assert str(error.value).startswith(says)


def test_an_event_is_stored_as_json_and_back() -> None:
    data = Raw(msgspec.json.encode({"via": "search", "since": AT}))
    body = PODCASTS.happened("follow", SubjectRef("show", "s1"), "a1", data)
    assert body.fields == {"via": "search", "since": clock.from_text(AT)}
    PODCASTS.check(body)
    event_ = Event("e1", clock.from_text(AT), body)
    assert decode_event(encode(event_)) == event_


def test_what_was_sent_passes_as_a_recorded_event() -> None:
    PODCASTS.check(event(EPISODE))
    PODCASTS.check(event({"name": "A show", "mood": 5}, "show"))
    PODCASTS.check(ItemCreated(SubjectRef("account", "a1")))


def test_a_type_that_is_not_declared_is_refused() -> None:
    assert refused({}, "mood") == (
        "/typeId: The type 'mood' isn't declared. Types in platform.yaml: account, show, episode."
    )


def test_content_that_is_no_object_is_refused() -> None:
    for data in ([], "x", 5):
        assert refused(data, "show").startswith("/data: Expected an object")
    assert event(None, "show").values == {}
    assert "/data/title: Title is missing." in refused(None)
