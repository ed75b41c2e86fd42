"""What is wrong with a declared feature or key is said in one sentence, with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads.errors import ConfigurationError
from leads.platform.declaration import Platform, load_platform

_BASE = """version: 1
types:
  account: {title: Account, fields: {bpm: {kind: text}, born: {kind: time}}}
  track: {title: Track, fields: {genre: {kind: category}, bpm: {kind: number}, size: {kind: number}}}
  comment: {title: Comment, fields: {size: {kind: text}, note: {kind: text}, due: {kind: time}}}
events:
  tip: {title: Tip, fields: {amount: {kind: number}, good: {kind: flag}, currency: {kind: category}}}
  login: {title: Log-in, fields: {ip: {kind: category}, who: {kind: category}, text: {kind: text}, at: {kind: time}}}
keys:
  ip: {title: Address, from: login.ip}
"""
_FEATURES = "features:\n"
# The line that a feature in the file below the first one is on.
_LINE = _BASE.count("\n") + 3


def load(path: Path, *lines: str) -> Platform:
    path.write_text(_BASE + _FEATURES + "".join(f"  {line}\n" for line in lines))
    return load_platform(path)


def refused(path: Path, line: str) -> str:
    """The error of a file whose second feature is this one; it names its line, and has one sentence."""
    with pytest.raises(ConfigurationError) as caught:
        load(path, "item.first: {count: tip, window: 24h, meaning: tips}", line)
    assert caught.value.field == f"{path}:{_LINE}"
    assert "\n" not in caught.value.message
    assert "Value error" not in caught.value.message
    return caught.value.message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "platform.yaml"


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ("item.x: {meaning: x}", "a feature needs exactly one of count, share"),
        ("item.x: {count: tip, sum: tip.amount, window: 1h, meaning: x}", "it has count and sum"),
        ("item.x: {count: tips, window: 1h, meaning: x}", "tips isn't a kind of event; these are: item, post, play"),
        ("item.x: {sum: tip.size, window: 1h, meaning: x}", "tip has no size that is a number; it has: amount, good"),
        ("item.x: {sum: tip.currency, window: 1h, meaning: x}", "tip has no currency that is a number"),
        ("item.x: {distinct: tip.size, window: 1h, meaning: x}", "tip has no size that is a field of it"),
        ("item.x: {max: play.device, window: 1h, meaning: x}", "play has no device that is a number"),
        ("item.x: {sum: tip, window: 1h, meaning: x}", "Write a kind of event and one of its fields"),
        ("item.x: {count: tip, meaning: x}", "count needs window: 1h, 24h, 7d, 90d, ever"),
        ("item.x: {count: tip, window: 3d, meaning: x}", "'1h', '24h', '7d', '90d' or 'ever'"),
        ("item.x: {surge: tip, window: 7d, meaning: x}", "surge has no window"),
        ("item.x: {velocity: tip, window: ever, meaning: x}", "the window of a velocity is 24h, 7d or 90d"),
        ("item.x: {share: tip, window: 1h, meaning: x}", "share needs where"),
        ("item.x: {count: tip, window: 1h, slots: 64, meaning: x}", "count has no slots"),
        ("item.x: {distinct: tip.who, window: 1h, slots: 20, meaning: x}", "16, 32, 64, 128 or 256"),
        ("item.x: {max: tip.amount, window: 7d, at_least: 0, meaning: x}", "at_least needs the window ever"),
        ("item.x: {age: days, meaning: x}", "'hours'"),
        ("item.x: {count: tip, window: 1h}", "meaning: It is missing"),
        ("item.x: {count: tip, window: 1h, meaning: x, when: now}", "when: This key is unknown"),
        ("track.x: {count: tip, window: 1h, meaning: x}", "track isn't a row that features are read from"),
        ("x: {count: tip, window: 1h, meaning: x}", "Write a row and a name"),
        ("item.plays_7d: {count: tip, window: 1h, meaning: x}", "every platform has a feature of this name already"),
        ("item.first: {count: tip, window: 1h, meaning: x}", "features.item.first is set twice, first on line 12"),
        (
            "item.x: {count: tip, by: who, window: 1h, meaning: x}",
            "counted by who here; use one of: about",
        ),
        ("device.x: {count: tip, window: 1h, meaning: x}", "no tip counts in rows of device"),
        ("item.x: {count: post, window: 1h, meaning: x}", "no post counts in rows of item"),
        ("bucket.x: {count: verdict, by: creator, window: 1h, meaning: x}", "use one of: text"),
        ("ip.x: {count: play, window: 1h, meaning: x}", "play has no field ip to count by"),
        ("ip.x: {count: tip, window: 1h, meaning: x}", "tip has no field ip to count by; name one with `by`: amount"),
        ("ip.x: {count: login, by: text, window: 1h, meaning: x}", "login has no field text to count by"),
        ("ip.x: {count: login, by: at, window: 1h, meaning: x}", "login has no field at to count by"),
        ('item.x: {count: tip, where: "amount >", window: 1h, meaning: x}', "isn't a filter"),
        (
            "item.x: {count: tip, where: lost, window: 1h, meaning: x}",
            "has no field lost; its fields: amount",
        ),
        ("item.x: {count: tip, where: amount, window: 1h, meaning: x}", "amount is a number, not a flag"),
        ("item.x: {count: tip, where: currency > 3, window: 1h, meaning: x}", "currency is a category, and 3 isn't"),
        ("item.x: {count: flagged, by: about, window: 1h, meaning: x}", "flagged can't be counted by about here"),
        ("account.x: {sum: user_report.weight, by: creator, window: 1h, meaning: x}", "user_report has no weight"),
        ("account.x: {count: user_report, by: who, where: weight > 0.5, window: 1h, meaning: x}", "no field weight"),
        ("account.x: {last: verdict.violating, window: ever, meaning: x}", "last can't take back a verdict"),
        ("account.x: {max: report_verdict.confirmed, window: ever, meaning: x}", "max can't take back a verdict"),
        ('item.x: {count: login, where: who == "a", window: 1h, meaning: x}', "hides the field who of login"),
        ("item.x: {distinct: login.who, window: 1h, meaning: x}", "hides the field who of login"),
        ("item.x: {ratio: [item.first], meaning: x}", "ratio"),
        ("item.x: {ratio: [item.first, item.none], meaning: x}", "there is no feature item.none"),
        ("item.x: {ratio: [item.first, item.plays_7d], plus: -1, meaning: x}", "greater than or equal to 0"),
        ("item.x: {ratio: [item.first, item.plays_7d], times: 1e30, meaning: x}", "less than or equal to"),
        ("item.x: {ratio: [item.first, item.plays_7d], times: .inf, meaning: x}", "finite number"),
        ("item.x: {formula: item.first / item.none, meaning: x}", "there is no feature item.none"),
        ("item.x: {formula: 1 + 2, meaning: x}", "the formula names no feature"),
        ("item.x: {formula: item.first ** 2, meaning: x}", "'item.first ** 2' can't be in a formula"),
        ("item.x: {formula: item.x + 1, meaning: x}", "needs itself: item.x → item.x"),
        ("parent.x: {field: bpm, meaning: x}", "only items and accounts have fields of their own"),
        ("item.x: {field: none, meaning: x}", "no type has the field none"),
        ("account.x: {field: genre, meaning: x}", "no type has the field genre"),
        ("item.x: {field: size, meaning: x}", "size isn't the same kind of field in all types: number in track, text"),
        ("item.x: {field: due, meaning: x}", "due is a time, which can't be a feature"),
        ("item.x: {field: genre, meaning: x}", "genre is a category; say with `equals` which value"),
        ("item.x: {field: bpm, equals: fast, meaning: x}", "bpm is a number, not a category or language"),
    ],
)
def test_a_bad_feature_is_refused_with_its_line(path: Path, feature: str, message: str) -> None:
    assert message in refused(path, feature)


def test_features_that_need_each_other_are_named_in_order(path: Path) -> None:
    lines = [
        "item.a: {formula: item.b + 1, meaning: a}",
        "item.b: {ratio: [item.c, item.plays_7d], meaning: b}",
        "item.c: {formula: item.a * 2, meaning: c}",
    ]
    with pytest.raises(ConfigurationError, match="needs itself") as caught:
        load(path, *lines)
    named = caught.value.message.partition(": needs itself: ")[2].rstrip(".").split(" → ")
    assert named[0] == named[-1]
    needs = {"item.a": "item.b", "item.b": "item.c", "item.c": "item.a"}
    assert [needs[one] for one in named[:-1]] == named[1:]


def test_at_most_500_features_are_declared(path: Path) -> None:
    lines = [f"item.x{i}: {{count: tip, window: 24h, meaning: x}}" for i in range(501)]
    assert len(load(path, *lines[:500]).features) == 500
    with pytest.raises(ConfigurationError, match="500") as caught:
        load(path, *lines)
    assert caught.value.message.startswith("features: ")


def test_types_without_a_field_in_common_may_have_it_in_different_kinds(path: Path) -> None:
    # An account's field is another row's.
    found = load(path, "item.x: {field: bpm, meaning: x}", "account.x: {field: bpm, meaning: x}")
    assert set(found.features) == {"item.x", "account.x"}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("device: {title: D, from: login.ip}", "device can't be the name of a key: every platform has it already"),
        ("reporter: {title: R, from: login.ip}", "reporter can't be the name of a key"),
        ("bucket_0: {title: B, from: login.ip}", "bucket_0 can't be the name of a key"),
        ("packed: {title: P, from: login.ip}", "packed can't be the name of a key"),
        ("a: {title: A, from: play.seconds}", "play isn't a declared kind of event; declared: tip, login"),
        ("a: {title: A, from: login.port}", "login has no field port that can be a key; its fields: ip"),
        ("a: {title: A, from: login.at}", "login has no field at that can be a key"),
        ("a: {title: A, from: login.text}", "text can't be a key: every event has something of this name"),
        ("a: {title: A, from: login.who}", "who can't be a key: every event has something of this name"),
        ("a: {title: A, from: login}", "Write a kind of event and one of its fields"),
        ("a: {title: A}", "from: It is missing"),
        ("a: {title: A, from: login.ip, of: parent}", "'account' or 'item'"),
        ("A: {title: A, from: login.ip}", "lower-case"),
    ],
)
def test_a_bad_key_is_refused_with_its_line(path: Path, key: str, message: str) -> None:
    path.write_text(f"{_BASE}  {key}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_platform(path)
    assert message in caught.value.message
    assert caught.value.field == f"{path}:{_BASE.count(chr(10)) + 1}"
