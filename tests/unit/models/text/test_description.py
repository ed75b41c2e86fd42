"""What is counted of items keeps no text and stays small."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leads.events import ItemCreated, SubjectRef
from leads.platform.declaration import Platform
from models.text.description import BINS, DIRECTIONS, LANGUAGE, LENGTH, OTHER, VOCABULARY, declared_categories, describe
from models.text.sentence import CachedEncoder

PLATFORM = Platform.model_validate(
    {
        "version": 1,
        "types": {
            "post": {
                "title": "Post",
                "fields": {
                    "text": {"kind": "text", "judged": True},
                    "genre": {"kind": "category"},
                    "explicit": {"kind": "flag"},
                    "region": {"kind": "category", "personal": True},
                    "language": {"kind": "language"},
                    "plays": {"kind": "number"},
                },
            }
        },
    }
)


def item(number: int, text: str = "", **fields: str | bool | float) -> ItemCreated:
    return ItemCreated(SubjectRef("post", f"p{number}"), text=text, fields=dict(fields))


class Encoder:
    version, width = "v", 8

    def encode(self, texts: object) -> npt.NDArray[np.float32]:
        return np.array([[len(text), *range(7)] for text in texts], np.float32)  # type: ignore[attr-defined]


def test_items_are_described_by_what_they_hold() -> None:
    items = [
        item(1, "Das Lied ist wirklich schön.", genre="news", explicit=True),
        item(2, "This song is so good, I play it every morning.", genre="talk", language="fr"),
        item(3),
        None,
    ]
    found = describe(items, PLATFORM)
    assert found.categories[LANGUAGE] == ["de", "fr", None, None]
    assert found.categories["genre"] == ["news", "talk", None, None]
    assert found.categories["explicit"] == ["true", None, None, None]
    assert found.numbers[LENGTH][:2].tolist() == [28.0, 46.0]
    assert np.isnan(found.numbers[LENGTH][2:]).all()
    words = found.words[VOCABULARY]
    assert len(words[0]) == 5
    assert words[2:] == [(), ()]
    assert all(0 <= int(bin_) < BINS for one in words for bin_ in one)
    assert DIRECTIONS[0] not in found.numbers


def test_fields_about_people_are_left_out() -> None:
    assert declared_categories(PLATFORM) == ("genre", "explicit")


def test_a_word_that_a_text_repeats_counts_once() -> None:
    found = describe([item(1, "free free FREE money"), item(2, "free money")], PLATFORM).words[VOCABULARY]
    assert set(found[0]) == set(found[1])


def test_of_many_values_the_frequent_ones_are_told_apart() -> None:
    values = [f"g{i}" for i in range(300)] + ["news"] * 5
    found = describe([item(i, genre=value) for i, value in enumerate(values)], PLATFORM).categories["genre"]
    assert len(set(found)) == 101
    assert (found[-1], found.count(OTHER)) == ("news", 201)


def test_meanings_are_directions_of_the_vector() -> None:
    texts = ["a lovely song", "another one", ""]
    found = describe([item(i, text) for i, text in enumerate(texts)], PLATFORM, CachedEncoder(Encoder()))
    for name in DIRECTIONS:
        assert np.all(np.abs(found.numbers[name][:2]) <= 1)
        assert np.isnan(found.numbers[name][2])
