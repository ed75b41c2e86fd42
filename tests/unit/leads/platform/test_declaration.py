"""What is wrong with `platform.yaml` is said all at once, each with its line and key, in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leads.errors import ConfigurationError
from leads.platform.declaration import load_platform
from tests.support.paths import REPOSITORY

_PAGE = (REPOSITORY / "docs" / "platform.md").read_text(encoding="utf-8")
TYPES = "version: 1\ntypes:\n  episode: {title: Episode}\n"


def refusal(path: Path, text: str | bytes) -> ConfigurationError:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as caught:
        load_platform(path)
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "platform.yaml"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "The file is empty."),
        ("- types\n", 1, "The file is a list."),
        ("types\n", 1, "The file is a single value."),
        (b"version: 1\ntypes:\n  a: {title: \xe9}\n", 3, "This line isn't UTF-8: it has the byte 0xe9."),
        (f"{TYPES}events:\n  play: {{title: P}}\n", 5, "events.play: can't be the name of a kind of event"),
        (f"{TYPES}events:\n  a: {{title: A, about: [b]}}\n", 5, "events.a.about: b isn't a type; the types: episode."),
        (f"{TYPES}  b: {{title: B, parents: [c]}}\n", 4, "types.b.parents: c isn't a type; the types: episode, b."),
        (f"{TYPES}  account: {{title: A, parents: [episode]}}\n", 4, "types.account.parents: an account has no par"),
        (f"{TYPES}  b: {{title: B, fields: {{parent: {{kind: text}}}}}}\n", 4, "types.b.fields.parent: can't be the n"),
        (f"{TYPES}  b: [title]\n", 4, "types.b: Expected keys with values."),
        (f"{TYPES}  b:\n", 4, "types.b: Expected keys with values."),
        (f"{TYPES}features: 5\n", 4, "features: Expected keys with values."),
        (
            f"{TYPES}features:\n  item.x: {{median: play.seconds, window: 7d, meaning: x}}\n",
            5,
            "features.item.x.median: isn't a way to compute a feature; the ways are count, share, surge, velocity, "
            "likelihood, distinct, sum, mean, max, last, entropy, ratio, formula, field, age.",
        ),
    ],
)
def test_it_is_said_with_its_line(path: Path, text: str | bytes, line: int, message: str) -> None:
    error = refusal(path, text)
    assert error.field == f"{path}:{line}"
    assert error.message.startswith(message)
    assert error.remedy


def test_the_example_of_the_page_is_valid(path: Path) -> None:
    path.write_text("\n".join(re.findall(r"```yaml\n(.*?)```", _PAGE, re.DOTALL)))
    found = load_platform(path)
    assert set(found.events) == {"follow", "login", "payout"}
    assert len(found.features) == 7
    assert "up to 500 others" in _PAGE


def test_everything_that_is_wrong_is_said_in_the_order_of_the_file(path: Path) -> None:
    text = (
        "version: 1\ntypes:\n  a: {title: A, fields: {x: {kind: txt}}}\n"
        "  b: {fields: {y: {kind: number, judged: yes}}}\n"
        "events:\n  c: {title: C, when: now}\n"
    )
    error = refusal(path, text)
    assert [fault.field for fault in error.faults] == [f"{path}:{line}" for line in (3, 4, 4, 6)]
    assert error.message.startswith("types.a.fields.x.kind: ")
    assert error.message.endswith("In all, 4 places are wrong.")
    assert "events.c.when: " in error.faults[3].message


def test_every_feature_and_key_that_is_wrong_is_said(path: Path) -> None:
    features = "".join(f"  item.x{i}: {{count: nothing, window: 7d, meaning: x}}\n" for i in range(30))
    error = refusal(path, f"{TYPES}keys:\n  ip: {{title: IP, from: login.ip}}\nfeatures:\n{features}")
    assert error.field == f"{path}:5"
    assert len(error.faults) == 20
    assert error.faults[1].field == f"{path}:7"
    assert error.message.endswith("In all, 31 places are wrong; the first 20 are listed.")
