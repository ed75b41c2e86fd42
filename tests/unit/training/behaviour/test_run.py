"""Suites are read strictly and expanded as written; versions that behave worse are found out, equal ones are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from features.declared.builtin import BUILTIN, ROLES
from features.evaluate.columns import contract_for, evaluate
from features.layout import missing
from leads.errors import ConfigurationError, InvalidInput, ModelRefused
from leads.policies import load_policies
from leads.settings import POLICIES_FILE
from leads.text import normal_form
from models.scores import Scores
from models.thresholds import Thresholds
from models.version import ModelVersion
from training.behaviour import run as behaviour
from training.behaviour.run import BehaviourReport, CaseResult, KindTotal, regressions, rows, sign_test
from training.behaviour.suite import PERTURBATIONS, SUITES, Kind, Perturbation, Suite, load
from training.data.split import folds
from training.fit.counts import count_texts
from training.fit.model import draft, fit

pytestmark = pytest.mark.slow

CONTRACT = contract_for(text=True)
HARMS = ("spam", "identity_hate", "sexism", "harassment")
SPAM = ("Subscribe to my channel", "free gift cards here", "earn cash from home", "visit www.example.com now")
TALK = ("I love this song", "the chorus is beautiful", "who plays the drums", "this reminds me of summer")
PARTS = ("today", "please", "everyone", "my friends", "really", "so much", "honestly", "again", "wow", "right now")

WRITTEN = """
version: 1
slots:
  who: [women, men]
cases:
  offers:
    kind: functionality
    why: Offers rank above talk.
    group: who
    violating: ["free gift cards here, {who}", "subscribe to my channel"]
    not_violating: ["{who} love this song", "who plays the drums"]
  spelled:
    kind: invariance
    why: Capitals change nothing.
    texts: ["the chorus is beautiful"]
    perturbations: [zero_width, upper_case]
    tolerance: 2.5
  names:
    kind: invariance
    why: Names change nothing.
    slots:
      name: [Zanele, Emily, Wei]
    swap: name
    texts: ["{name} loves this song, {who}"]
  added:
    kind: direction
    why: An offer makes it worse.
    changes:
      - {base: "I love this song, {who}", changed: "I love this song, {who}, subscribe to my channel", moves: rises}
      - {base: "free gift cards here", changed: "the chorus is beautiful", moves: falls}
"""


def suite_of(folder: Path, written: str = WRITTEN) -> Suite:
    (folder / "spam.yaml").write_text(written, encoding="utf-8")
    suite = load("spam", folder)
    assert suite is not None
    return suite


@pytest.fixture(scope="module")
def version() -> ModelVersion:
    """Learned from 500 short comments, a third of them spam."""
    random = np.random.default_rng(11)
    labels = random.random(500) < 0.35
    texts = [
        f"{random.choice(PARTS)} {random.choice(SPAM if spam else TALK)} {random.choice(PARTS)} {i % 97}"
        for i, spam in enumerate(labels)
    ]
    features = evaluate(CONTRACT, missing(ROLES, 500), np.zeros(500, dtype=np.int64), texts).matrix
    inside, learn = folds(np.arange(500, dtype=np.uint64), seed=1), np.arange(500)
    fitted = fit(CONTRACT, features, labels, inside, counts=count_texts(texts), rows=learn, threads=1, seed=1)
    return draft("spam", CONTRACT, fitted, Thresholds(None, None, {}))


class Broken(ModelVersion):
    """The same version, whose margin is something else."""

    def score(self, features: npt.NDArray[np.float32], texts: object) -> Scores:
        scores = super().score(features, texts)  # type: ignore[arg-type]
        return scores._replace(margin=self.__dict__["spoil"](scores.margin))


def broken(version: ModelVersion, spoil: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]) -> ModelVersion:
    made = Broken(**{field.name: getattr(version, field.name) for field in fields(version)})
    made.__dict__["spoil"] = spoil
    return made


def run(version: ModelVersion, suite: Suite) -> BehaviourReport:
    return behaviour.run(version, suite, BUILTIN)


def report_of(*bits: tuple[str, Kind, str], suite: str = "a") -> BehaviourReport:
    cases = tuple(CaseResult(name, kind, len(b), b.count("1"), b, ()) for name, kind, b in bits)
    kinds: tuple[Kind, ...] = ("functionality", "invariance", "direction")
    totals = tuple(
        KindTotal(kind, len(of), sum(c.checks for c in of), sum(c.passed for c in of))
        for kind in kinds
        if (of := [case for case in cases if case.kind == kind])
    )
    return BehaviourReport("spam", suite, 1, cases, totals)


# The suites that come with the project.


@pytest.mark.parametrize("harm", HARMS)
def test_a_suite_is_balanced(harm: str) -> None:
    suite = load(harm)
    assert suite is not None
    assert 40 <= len(suite.texts) <= 120
    assert len(set(suite.texts)) == len(suite.texts)
    ranked = [check for case in suite.cases if case.kind == "functionality" for check in case.checks]
    violating = {check.of for check in ranked}
    fine = {at for check in ranked for at in check.against}
    assert not violating & fine
    assert 0.35 <= len(violating) / (len(violating) + len(fine)) <= 0.65
    assert {case.kind for case in suite.cases} == {"functionality", "invariance", "direction"}
    assert sum(len(case.checks) for case in suite.cases if case.kind == "invariance") >= 20
    assert any(check.groups for case in suite.cases for check in case.checks)


def test_every_suite_belongs_to_a_harm_that_is_judged_by_text() -> None:
    harms = load_policies(POLICIES_FILE).harms
    found = {path.stem for path in SUITES.glob("*.yaml")}
    assert found == set(HARMS)
    assert all(harms[harm].text for harm in found)


def test_one_template_speaks_of_every_target_group() -> None:
    suite = load("identity_hate")
    assert suite is not None
    contempt = next(case for case in suite.cases if case.name == "contempt_for_groups")
    assert {group for check in contempt.checks for group in check.groups} == {
        *("women", "men", "gay people", "Muslims", "Jews"),
        *("Black people", "immigrants", "disabled people", "trans people"),
    }


# Reading and expansion.


def test_a_harm_without_a_file_has_no_suite(tmp_path: Path) -> None:
    assert load("stream_manipulation") is None
    assert load("spam", tmp_path) is None


def test_templates_are_expanded_to_texts_and_checks(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    offers, spelled, names, added = suite.cases
    pairs = {(suite.texts[c.of], *(suite.texts[i] for i in c.against), c.groups) for c in offers.checks}
    assert len(offers.checks) == 9
    assert ("free gift cards here, men", "women love this song", ("men", "women")) in pairs
    assert ("free gift cards here, men", "men love this song", ("men",)) in pairs
    assert ("subscribe to my channel", "who plays the drums", ()) in pairs
    assert [suite.texts[c.of] for c in spelled.checks][1] == "THE CHORUS IS BEAUTIFUL"
    assert spelled.tolerance == 2.5
    assert len(names.checks) == 6
    assert {len(check.against) for check in names.checks} == {2}
    first = names.checks[0]
    assert suite.texts[first.of] == "Zanele loves this song, women"
    assert suite.texts[first.against[1]] == "Wei loves this song, women"
    moved = [(suite.texts[c.of], suite.texts[c.against[0]]) for c in added.checks]
    assert moved[1] == ("I love this song, men, subscribe to my channel", "I love this song, men")
    assert moved[2] == ("free gift cards here", "the chorus is beautiful")


def test_a_perturbation_that_changes_nothing_is_no_check(tmp_path: Path) -> None:
    written = WRITTEN.replace('texts: ["the chorus is beautiful"]', 'texts: ["the chorus is beautiful", "24 / 7"]')
    suite = suite_of(tmp_path, written)
    assert len(suite.cases[1].checks) == 2


def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    assert suite.hash == suite_of(tmp_path, WRITTEN + "# a comment\n").hash
    assert suite.hash != suite_of(tmp_path, WRITTEN.replace("2.5", "2.4")).hash
    assert suite.hash != suite_of(tmp_path, WRITTEN.replace("Emily", "Ines")).hash


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    why: Names change nothing.\n", "", r"spam\.yaml:\d+: cases\.names\.invariance\.why"),
        ("kind: direction", "kind: other", r"spam\.yaml:\d+: cases\.added"),
        ("tolerance: 2.5", "tolerance: -1", r"spam\.yaml:\d+: cases\.spelled\.tolerance"),
        ("moves: falls", "moves: sideways", r"spam\.yaml:\d+: cases\.added\.changes\.1\.moves"),
        ("  spelled:", "  offers:", r"spam\.yaml:\d+: cases\.offers is set twice"),
        ("upper_case", "louder", r"spam\.yaml:\d+: cases\.spelled\.perturbations"),
        ("group: who", "group: name", r"spam\.yaml: Case 'offers.* none of its texts has the slot 'name'"),
        ("{name} loves", "{nobody} loves", r"Case 'names.* slot 'nobody' isn't defined"),
        ("{name} loves", "{} loves", r"Case 'names.* a slot is a name in braces"),
        ("{name} loves", "{name loves", r"Case 'names"),
        ("Emily", "Wei", r"Case 'names.* slot 'name' has a value twice"),
        ("[Zanele, Emily, Wei]", "[Zanele]", r"Case 'names.* two values of slot 'name'"),
        ("perturbations: [zero_width, upper_case]", "perturbations: []", r"Case 'spelled.* has no checks"),
        ('"who plays the drums"]', '"subscribe to my channel"]', r"Case 'offers.* compared with itself"),
    ],
)
def test_a_bad_file_is_refused_by_file_and_case(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert WRITTEN.count(old) >= 1
    with pytest.raises(ConfigurationError, match=said) as refused:
        suite_of(tmp_path, WRITTEN.replace(old, new, 1))
    assert "spam.yaml" in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("upper_case", "WOMEN ARE INFERIOR!"),
        ("extra_spaces", "Women   are   inferior!"),
        ("typo", "Women are infreior!"),
        ("leet", "W0m3n 4r3 1nf3r10r!"),
        ("spaced_letters", "Women are i n f e r i o r!"),
        ("homoglyphs", "W\u043em\u0435n \u0430r\u0435 inf\u0435ri\u043er!"),
        (
            "zero_width",
            "W\u200bo\u200bm\u200be\u200bn a\u200br\u200be i\u200bn\u200bf\u200be\u200br\u200bi\u200bo\u200br!",
        ),
        ("repeated", "Women are inferrrior!"),
        ("emoji", "Women are inferior! \N{FIRE}\N{FIRE}"),
    ],
)
def test_a_perturbation(name: Perturbation, expected: str) -> None:
    assert PERTURBATIONS[name]("Women are inferior!") == expected


def test_perturbations_are_complete_and_bear_any_text() -> None:
    assert set(PERTURBATIONS) == set(get_args(Perturbation))
    for change in PERTURBATIONS.values():
        assert all(isinstance(change(text), str) for text in ("", "12 !", "a", "ab cd", "\N{FIRE}"))


def test_what_the_normal_form_undoes() -> None:
    text = "visit my channel for free coins"
    undone = {name for name, change in PERTURBATIONS.items() if normal_form(change(text)) == text}
    assert undone == {"upper_case", "extra_spaces", "zero_width"}


# Running.


def test_a_good_version_passes(version: ModelVersion, tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    report = run(version, suite)
    offers, spelled, _, added = report.cases
    assert (offers.passed, offers.checks, offers.bits) == (9, 9, "1" * 9)
    # Of the nine pairs one names neither, two name both, and each is named alone by three.
    assert [(g.group, g.passed, g.checks) for g in offers.groups] == [("women", 5, 5), ("men", 5, 5)]
    assert spelled.bits[0] == "1"
    assert added.passed == added.checks == 3
    assert [(t.kind, t.cases, t.checks) for t in report.kinds] == [
        ("functionality", 1, 9),
        ("invariance", 2, 8),
        ("direction", 1, 3),
    ]
    assert (report.harm, report.suite, report.texts) == ("spam", suite.hash, len(suite.texts))


def test_bits_are_what_the_margins_say(version: ModelVersion, tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    margins = np.random.default_rng(3).normal(0, 1.2, len(suite.texts))
    report = run(broken(version, lambda margin: margins), suite)
    for case, result in zip(suite.cases, report.cases, strict=True):
        for check, bit in zip(case.checks, result.bits, strict=True):
            moved = margins[check.of] - np.median(margins[list(check.against)])
            assert bit == str(int(abs(moved) <= case.tolerance if case.kind == "invariance" else moved > 0))
        assert result.passed == result.bits.count("1")
    assert {total.passed in (0, total.checks) for total in report.kinds} == {False}


def test_each_case_has_its_own_tolerance(version: ModelVersion, tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    spelled, names = suite.cases[1:3]
    at = np.zeros(len(suite.texts))
    at[[spelled.checks[0].of, names.checks[0].of]] = 2.0
    found = run(broken(version, lambda margin: at), suite)
    assert found.cases[1].bits == "11"
    # The first of three names stands 2 off the median of the others; for those one of the others is the first.
    assert found.cases[2].bits == "000111"


def test_all_texts_are_scored_at_once(version: ModelVersion, tmp_path: Path) -> None:
    calls: list[int] = []

    def noted(margin: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        calls.append(len(margin))
        return margin

    suite = suite_of(tmp_path)
    run(broken(version, noted), suite)
    assert calls == [len(suite.texts)]


def test_a_constant_version_fails(version: ModelVersion, tmp_path: Path) -> None:
    report = run(broken(version, np.zeros_like), suite_of(tmp_path))
    assert [(total.kind, total.passed) for total in report.kinds] == [
        ("functionality", 0),
        ("invariance", 8),
        ("direction", 0),
    ]


def test_broken_versions_regress(version: ModelVersion, tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    good = run(version, suite)
    for spoil in (np.zeros_like, np.negative):
        found = {(r.name, r.whole_kind) for r in regressions(good, run(broken(version, spoil), suite))}
        assert {("offers", False), ("added", False), ("functionality", True), ("direction", True)} <= found
        back = regressions(run(broken(version, spoil), suite), good)
        assert {r.kind for r in back} <= {"invariance"}
    wild = run(broken(version, lambda margin: 50 * np.cos(7.0 * np.arange(len(margin)))), suite)
    assert any(r.kind == "invariance" for r in regressions(good, wild))


def test_a_suite_is_run_on_its_own_harm_only(version: ModelVersion, tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    with pytest.raises(InvalidInput, match="suite of sexism"):
        run(version, msgspec.structs.replace(suite, harm="sexism"))
    other = ModelVersion(**{f.name: getattr(version, f.name) for f in fields(version)} | {"uses_text": False})
    with pytest.raises(InvalidInput, match="uses text"):
        run(other, suite)
    old = msgspec.structs.replace(CONTRACT, encoder_version="other")
    with pytest.raises(ModelRefused, match="uses encoder other"):
        run(ModelVersion(**{f.name: getattr(version, f.name) for f in fields(version)} | {"contract": old}), suite)


def test_a_report_survives_its_file(version: ModelVersion, tmp_path: Path) -> None:
    report = run(version, suite_of(tmp_path))
    assert BehaviourReport.from_json(report.to_json()) == report
    assert not re.search("song|chorus", report.to_json().decode())
    with pytest.raises(ModelRefused, match=re.escape(behaviour.FILE)):
        BehaviourReport.from_json(b"{}")


# Regressions.


def test_equal_reports_show_no_regression() -> None:
    report = report_of(("one", "functionality", "1101"), ("two", "invariance", "0" * 9), ("three", "direction", "1"))
    assert regressions(report, report) == ()


@pytest.mark.parametrize(
    ("champion", "candidate", "regresses"),
    [
        ("1" * 5, "1" * 4 + "0", True),  # a fifth of what was all passed
        ("1" * 6, "1" * 5 + "0", False),  # a sixth
        ("1" * 5 + "0", "1" * 3 + "00" + "0", False),  # two of six, not all passed before, p = 1/4
        ("1" * 5 + "0" * 5, "0" * 10, True),  # five lost, p = 1/32
        ("1" * 4 + "0" * 5, "0" * 9, False),  # four lost, p = 1/16
        ("1" * 9 + "0" * 30, "0" * 9 + "1" * 3 + "0" * 27, False),  # nine lost, three gained: p = 0.073
        ("1" * 9 + "0" * 30, "0" * 9 + "1" + "0" * 29, True),  # nine lost, one gained: p = 0.011
        ("1" * 5 + "0" * 9, "0" * 5 + "1" * 9, False),  # more gained than lost
        ("0" * 9, "1" * 9, False),
    ],
)
def test_when_a_case_regresses(champion: str, candidate: str, regresses: bool) -> None:
    # An even second case keeps the kind as a whole apart from the first.
    old = report_of(("one", "functionality", champion), ("two", "functionality", "0" * 40))
    new = report_of(("one", "functionality", candidate), ("two", "functionality", "1" * 20 + "0" * 20))
    found = regressions(old, new)
    assert [(r.name, r.whole_kind) for r in found] == ([("one", False)] if regresses else [])


def test_a_kind_regresses_by_many_small_losses() -> None:
    old = report_of(*((f"case_{i}", "invariance", "1" * 9 + "0") for i in range(6)))
    new = report_of(*((f"case_{i}", "invariance", "0" + "1" * 8 + "0") for i in range(6)))
    (found,) = regressions(old, new)
    assert (found.name, found.whole_kind, found.lost, found.gained, found.checks) == ("invariance", True, 6, 0, 60)
    assert found.p == sign_test(6, 0) == 1 / 64
    assert "48 of 60" in found.why


def test_reports_of_different_suites_are_not_compared() -> None:
    one, other = report_of(("one", "direction", "1")), report_of(("one", "direction", "0"), suite="b")
    with pytest.raises(InvalidInput, match="Run the same suite on both"):
        regressions(one, other)
    assert rows(other, one)[0][3] == "–"


def test_the_sign_test_is_exact() -> None:
    from scipy.stats import binomtest

    for lost, gained in ((1, 0), (3, 2), (40, 22), (400, 399)):
        assert sign_test(lost, gained) == pytest.approx(binomtest(lost, lost + gained, alternative="greater").pvalue)
    assert sign_test(0, 0) == 1


def test_rows_of_the_table(version: ModelVersion, tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    good, bad = run(version, suite), run(broken(version, np.negative), suite)
    alone = rows(bad)
    assert all(len(row) == len(behaviour.COLUMNS) for row in alone)
    assert alone[0] == ("offers", "functionality", "0 of 9", "–", "women: 0 of 5", "")
    assert len(alone) == len(suite.cases) + 3
    beside = rows(bad, good)
    assert beside[0] == ("offers", "functionality", "0 of 9", "9 of 9", "women: 0 of 5", "worse")
    assert beside[4] == ("all", "functionality", "0 of 9", "9 of 9", "", "worse")
    assert {row[-1] for row in rows(good, bad)} == {""}
