"""`policies.yaml`: what is wrong with it is said with its line and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads.errors import ConfigurationError, NotFound
from leads.policies import load_policies
from leads.settings import POLICIES_FILE

GOOD = """\
version: 1
queue:
  lease_minutes: 15
harms:
  spam:
    title: Spam
    subject_types: [comment, track]
    severity: 3
    dsa_category: STATEMENT_CATEGORY_SCAMS_AND_FRAUD
    review: {precision: 0.6}
    auto:
      precision: 0.97
      at_least: 0.9
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policies.yaml"


def refusal(file: Path, text: str | bytes) -> str:
    """The error's text, with the file's name instead of its path."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigurationError) as refused:
        load_policies(file)
    assert refused.value.remedy
    return str(refused.value).replace(str(file), file.name)


def test_good_ones_are_read(file: Path) -> None:
    file.write_text(GOOD)
    policies = load_policies(file)
    assert policies.harms["spam"].review.at_least == 0.5
    assert policies.harms_for("track") == ("spam",)
    assert policies.harms_for("account") == ()
    assert policies.queue.aging_hours == 24


@pytest.mark.parametrize(
    ("more", "scores"),
    [
        ("", True),
        ("    without_features: score\n", True),
        ("    without_features: refuse\n", False),
        ("    text: false\n", False),
        ("    text: false\n    without_features: refuse\n", False),
    ],
)
def test_what_is_judged_by_text_is_scored_without_features_unless_told_otherwise(
    file: Path, more: str, scores: bool
) -> None:
    file.write_text(GOOD.replace("    severity: 3\n", "    severity: 3\n" + more))
    assert load_policies(file).harms["spam"].scores_without_features is scores


def test_the_projects_own_are_good() -> None:
    policies = load_policies(POLICIES_FILE)
    assert set(policies.harms) == {"spam", "identity_hate", "sexism", "harassment", "stream_manipulation"}


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "    severity: 3",
            "    severity: 3\n    severty: 3",
            "policies.yaml:9: harms.spam.severty: Extra inputs are not permitted. "
            "Remove that key or mend its spelling.",
        ),
        (
            "    severity: 3",
            "    severity: 11",
            "policies.yaml:8: harms.spam.severity: Input should be less than or equal to 10. "
            "Give it a value in that range.",
        ),
        (
            "    severity: 3",
            "    severity: .nan",
            "policies.yaml:8: harms.spam.severity: Input should be a finite number. Give it a value in that range.",
        ),
        (
            "    title: Spam\n",
            "",
            "policies.yaml:5: harms.spam.title: Field required. Add title.",
        ),
        (
            "      at_least: 0.9",
            "      at_least: 1.5",
            "policies.yaml:13: harms.spam.auto.at_least: Input should be less than 1. Give it a value in that range.",
        ),
        (
            "{precision: 0.6}",
            "{precision: 0.98}",
            "policies.yaml:5: harms.spam: auto.precision must be above review.precision. "
            "Give it a value in that range.",
        ),
        (
            "[comment, track]",
            "[comment, comment]",
            "policies.yaml:5: harms.spam: subject_types names a type twice. Give it a value in that range.",
        ),
        (
            "    severity: 3",
            "    severity: 3\n    severity: 4",
            "policies.yaml:9: harms.spam.severity is given twice, first on line 8. Keep one of them.",
        ),
        (
            "  lease_minutes: 15",
            "  lease_minutes: [15",
            "policies.yaml:4: is not YAML: expected ',' or ']', but got ':'. Mend that line.",
        ),
        (
            "  spam:",
            "  Spam:",
            "policies.yaml:5: harms.Spam: String should match pattern '^[a-z][a-z0-9_]{0,63}$'. "
            "Give it a value in that range.",
        ),
        (
            "    severity: 3",
            "    severity: 3\n    text: false\n    without_features: score",
            "policies.yaml:5: harms.spam: without_features can't be score where text is false: nothing would be "
            "left to judge. Give it a value in that range.",
        ),
        (
            "    severity: 3",
            "    severity: 3\n    without_features: wait",
            "policies.yaml:9: harms.spam.without_features: Input should be 'score' or 'refuse'. "
            "Give it a value in that range.",
        ),
        (
            "version: 1",
            "version: 2",
            "policies.yaml:1: version: Input should be 1. Give it a value in that range.",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(file: Path, old: str, new: str, text: str) -> None:
    assert GOOD.count(old) == 1
    assert refusal(file, GOOD.replace(old, new)) == text


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "policies.yaml:1: the file:"),
        ("# nothing\n", "policies.yaml:1: the file:"),
        ("- a\n- b\n", "policies.yaml:1: the file:"),
        ("version: 1\nharms: {}\n", "policies.yaml:2: harms:"),
        ("version: 1\n", "harms: Field required. Add harms."),
        (b"version: 1\n# \xff\n", "policies.yaml: can't be read:"),
        ("version: 1\n\tharms: x\n", "policies.yaml:2: is not YAML:"),
        ("version: 1\n---\nversion: 1\n", "is not YAML:"),
        ("version: \x07\n", "is not YAML:"),
        ("version: !!python/object:os.system {}\n", "policies.yaml:1: "),
        ("version: !!python/name:os.system x\n", "policies.yaml:1: "),
        ("version: !!int one\n", "policies.yaml:1: "),
        (GOOD.replace("lease_minutes: 15", "aging_hours: .inf"), "policies.yaml:3: queue.aging_hours: "),
        ("version: 2026-13-45\n", "policies.yaml:1: "),
        ("version: 1\nharms: &all\n  spam: *all\n", "policies.yaml:"),
        ("? [version, harms]\n: 1\n", "policies.yaml:1: "),
    ],
)
def test_what_holds_no_policies_is_refused(file: Path, content: str | bytes, part: str) -> None:
    assert part in refusal(file, content)


def test_a_file_that_isnt_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.yaml", tmp_path):
        with pytest.raises(ConfigurationError) as refused:
            load_policies(path)
        assert refused.value.field == str(path)
        assert "LEADS_POLICIES" in str(refused.value)


def test_an_unknown_harm_is_answered_with_the_known_ones(file: Path) -> None:
    file.write_text(GOOD)
    with pytest.raises(NotFound) as refused:
        load_policies(file).harm("spma", field="--harm")
    assert str(refused.value) == "--harm: There is no harm 'spma'. Declared in policies.yaml: spam."
