"""`policies.yaml`: errors name the line and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads import clock
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
    """The error's text, with the file name instead of its path."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigurationError) as refused:
        load_policies(file)
    assert refused.value.remedy
    return str(refused.value).replace(str(file), file.name)


def test_valid_policies_are_read(file: Path) -> None:
    file.write_text(GOOD)
    policies = load_policies(file)
    assert policies.harms["spam"].review.at_least == 0.5
    assert policies.harms_for("track") == ("spam",)
    assert policies.harms_for("account") == ()
    assert policies.queue.aging_hours == 24


def test_the_encoder_is_refreshed_only_if_the_policies_say_when(file: Path) -> None:
    file.write_text(GOOD)
    without = load_policies(file)
    assert without.encoder.refresh is None
    file.write_text(GOOD + "encoder:\n  refresh: {every: 30d, new_labels: 500}\n")
    found = load_policies(file)
    assert found.encoder.refresh is not None
    assert (found.encoder.refresh.every, found.encoder.refresh.new_labels) == (30 * clock.DAY, 500)
    assert found.encoder.refresh.on_drift
    # The service doesn't read it, so a change needs no restart.
    assert found.digest == without.digest
    said = refusal(file, GOOD + "encoder:\n  refresh: {every: 3m}\n")
    assert said.startswith("policies.yaml:15: encoder.refresh.every: '3m' is not a duration.")


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
def test_text_harms_are_scored_without_features_by_default(file: Path, more: str, scores: bool) -> None:
    file.write_text(GOOD.replace("    severity: 3\n", "    severity: 3\n" + more))
    assert load_policies(file).harms["spam"].scores_without_features is scores


def test_the_default_policies_are_valid() -> None:
    policies = load_policies(POLICIES_FILE)
    assert set(policies.harms) == {"spam", "identity_hate", "sexism", "harassment", "stream_manipulation"}


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "    severity: 3",
            "    severity: 3\n    severty: 3",
            "policies.yaml:9: harms.spam.severty: This key is unknown. "
            "Remove the key or correct its spelling: severity?",
        ),
        (
            "    severity: 3",
            "    severity: 11",
            "policies.yaml:8: harms.spam.severity: Input should be less than or equal to 10. Correct the value.",
        ),
        (
            "    severity: 3",
            "    severity: .nan",
            "policies.yaml:8: harms.spam.severity: Input should be a finite number. Correct the value.",
        ),
        (
            "    title: Spam\n",
            "",
            "policies.yaml:5: harms.spam.title: It is missing. Add title.",
        ),
        (
            "      at_least: 0.9",
            "      at_least: 1.5",
            "policies.yaml:13: harms.spam.auto.at_least: Input should be less than 1. Correct the value.",
        ),
        (
            "{precision: 0.6}",
            "{precision: 0.98}",
            "policies.yaml:5: harms.spam: auto.precision must be above review.precision. Correct the value.",
        ),
        (
            "[comment, track]",
            "[comment, comment]",
            "policies.yaml:5: harms.spam: subject_types lists a type twice. Correct the value.",
        ),
        (
            "    severity: 3",
            "    severity: 3\n    severity: 4",
            "policies.yaml:9: harms.spam.severity is set twice, first on line 8. Remove one of them.",
        ),
        (
            "  lease_minutes: 15",
            "  lease_minutes: [15",
            "policies.yaml:4: Invalid YAML: expected ',' or ']', but got ':'. Correct this line.",
        ),
        (
            "  spam:",
            "  Spam:",
            "policies.yaml:5: harms.Spam: Contains characters that are not allowed. "
            "Start with a lower-case letter; use up to 64 lower-case letters, digits and underscores. "
            "Correct the value.",
        ),
        (
            "    severity: 3",
            "    severity: 3\n    text: false\n    without_features: score",
            "policies.yaml:5: harms.spam: without_features can't be score if text is false: there is "
            "nothing else to score. Correct the value.",
        ),
        (
            "    severity: 3",
            "    severity: 3\n    without_features: wait",
            "policies.yaml:9: harms.spam.without_features: Input should be 'score' or 'refuse'. Correct the value.",
        ),
        (
            "version: 1",
            "version: 2",
            "policies.yaml:1: version: Input should be 1. Correct the value.",
        ),
    ],
)
def test_errors_name_the_line(file: Path, old: str, new: str, text: str) -> None:
    assert GOOD.count(old) == 1
    assert refusal(file, GOOD.replace(old, new)) == text


# The categories of the transparency database's schema in force since 2025-07-01.
CATEGORIES = """
    ANIMAL_WELFARE CONSUMER_INFORMATION CYBER_VIOLENCE CYBER_VIOLENCE_AGAINST_WOMEN
    DATA_PROTECTION_AND_PRIVACY_VIOLATIONS ILLEGAL_OR_HARMFUL_SPEECH INTELLECTUAL_PROPERTY_INFRINGEMENTS
    NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS NOT_SPECIFIED_NOTICE OTHER_VIOLATION_TC PROTECTION_OF_MINORS
    RISK_FOR_PUBLIC_SECURITY SCAMS_AND_FRAUD SELF_HARM UNSAFE_AND_PROHIBITED_PRODUCTS VIOLENCE
"""


@pytest.mark.parametrize("category", CATEGORIES.split())
def test_every_category_of_the_dsa_is_allowed(file: Path, category: str) -> None:
    file.write_text(GOOD.replace("SCAMS_AND_FRAUD", category))
    assert load_policies(file).harms["spam"].dsa_category == f"STATEMENT_CATEGORY_{category}"


@pytest.mark.parametrize(
    ("gone", "use"),
    [
        ("NON_CONSENSUAL_BEHAVIOUR", "use STATEMENT_CATEGORY_CYBER_VIOLENCE or"),
        ("PORNOGRAPHY_OR_SEXUALIZED_CONTENT", "use STATEMENT_CATEGORY_OTHER_VIOLATION_TC, or"),
        ("SCOPE_OF_PLATFORM_SERVICE", "use STATEMENT_CATEGORY_OTHER_VIOLATION_TC."),
        ("UNSAFE_AND_ILLEGAL_PRODUCTS", "use STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS."),
    ],
)
def test_a_category_that_the_dsa_dropped_is_refused_with_its_successor(file: Path, gone: str, use: str) -> None:
    text = refusal(file, GOOD.replace("SCAMS_AND_FRAUD", gone))
    assert text.startswith(
        f"policies.yaml:9: harms.spam.dsa_category: the DSA no longer has the category STATEMENT_CATEGORY_{gone}; "
    )
    assert use in text


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "policies.yaml:1: The file is empty. Write keys with values: version, "),
        ("# nothing\n", "policies.yaml:1: The file is empty."),
        ("\nfive\n", "policies.yaml:2: The file is a single value."),
        ("- a\n- b\n", "policies.yaml:1: The file is a list. Write keys with values: version, "),
        ("version: 1\nharms: {}\n", "policies.yaml:2: harms:"),
        ("version: 1\n", "harms: It is missing. Add harms."),
        (b"version: 1\n# \xff\n", "policies.yaml:2: This line isn't UTF-8: it has the byte 0xff."),
        ("version: 1\n\tharms: x\n", "policies.yaml:2: Invalid YAML:"),
        ("version: 1\n---\nversion: 1\n", "Invalid YAML:"),
        ("version: \x07\n", "Invalid YAML:"),
        ("version: !!python/object:os.system {}\n", "policies.yaml:1: "),
        ("version: !!python/name:os.system x\n", "policies.yaml:1: "),
        ("version: !!int one\n", "policies.yaml:1: "),
        (GOOD.replace("lease_minutes: 15", "aging_hours: .inf"), "policies.yaml:3: queue.aging_hours: "),
        ("version: 2026-13-45\n", "policies.yaml:1: "),
        ("version: 1\nharms: &all\n  spam: *all\n", "policies.yaml:"),
        ("? [version, harms]\n: 1\n", "policies.yaml:1: "),
    ],
)
def test_files_without_policies_are_rejected(file: Path, content: str | bytes, part: str) -> None:
    assert part in refusal(file, content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.yaml", tmp_path):
        with pytest.raises(ConfigurationError) as refused:
            load_policies(path)
        assert refused.value.field == str(path)
        assert "LEADS_POLICIES" in str(refused.value)


def test_the_error_for_an_unknown_harm_lists_the_known_ones(file: Path) -> None:
    file.write_text(GOOD)
    with pytest.raises(NotFound) as refused:
        load_policies(file).harm("spma", field="--harm")
    assert str(refused.value) == "--harm: Harm 'spma' not found. Harms in policies.yaml: spam."
