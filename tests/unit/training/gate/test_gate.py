"""The gate lets through what is not worse, and blocks what is, each check by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from features.contract import Column
from features.declared.builtin import BUILTIN
from features.evaluate.columns import contract_for
from leads.errors import ModelRefused, NotEnoughData
from leads.policies import HarmPolicy, TierPolicy
from leads.settings import Settings, load_settings
from models import manifest, training_rows
from models.text.head import SentenceHead
from models.text.stage import Block, TextStage
from models.thresholds import Thresholds
from tests.support.training.live_features import OPTIONAL, OURS, declared
from tests.support.training.scripted import CONTRACT, HARM, ScriptedVersion, calibrated, rows, scripted, text
from training.data.dataset import Dataset, OptionalFeature
from training.gate import checks
from training.gate.checks import GateCheck
from training.gate.gate import GateReport, judge, unmeasured
from training.gate.overlap import Overlap
from training.gate.scores import ranks_worse, tolerated_loss
from training.gate.side_by_side import compare, held_out, single_row_ms
from training.report import paired
from training.report.calibration import by_chance, ece

pytestmark = pytest.mark.slow

POLICY = HarmPolicy(
    title="Made",
    subject_types=("comment",),
    severity=1,
    dsa_category="STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
    review=TierPolicy(precision=0.6, at_least=0.3),
    auto=TierPolicy(precision=0.97, at_least=0.9),
)
SCORES, LABELS = calibrated(1_200, seed=3)
DATA = rows(LABELS)


def blurred(strength: float) -> np.ndarray:
    """The scores with noise on their log-odds: they rank worse."""
    noise = np.random.default_rng(5).normal(scale=strength, size=len(SCORES))
    return 1 / (1 + np.exp(-(np.log(SCORES / (1 - SCORES)) + noise)))


def gate(
    settings: Settings, candidate: ScriptedVersion, champion: ScriptedVersion | None, data: Dataset = DATA
) -> GateReport:
    return judge(settings, POLICY, HARM, candidate, champion, data)


def failed(report: GateReport) -> list[str]:
    return [check.name for check in report.failed]


def test_an_equal_version_passes(settings: Settings) -> None:
    report = gate(settings, scripted(SCORES), scripted(SCORES, version="1"))
    assert report.passed, report.failed
    assert (report.candidate, report.champion, report.rows, report.positives) == ("2", "1", 1_200, LABELS.sum())
    assert "average precision +0.000" in report.text()
    assert [check.name for check in report.checks] == [
        "contract", "held-out rows", "ranking", "calibration", "tiers", "slices", "behaviour", "latency",
    ]  # fmt: skip


def test_a_version_that_ranks_worse_is_blocked_and_its_opposite_not(settings: Settings) -> None:
    worse, better = scripted(blurred(1.5)), scripted(SCORES, version="1")
    blocked = gate(settings, worse, better)
    assert "ranking" in failed(blocked)
    assert "ranking: average precision -0." in blocked.text()
    assert gate(settings, better, worse).passed


def test_a_loss_that_chance_explains_is_let_pass(settings: Settings) -> None:
    labels = LABELS.copy()
    labels[np.flatnonzero(labels)[30:]] = False
    report = gate(settings, scripted(blurred(0.15)), scripted(SCORES, version="1"), rows(labels))
    assert "ranking" not in failed(report)


@pytest.mark.parametrize(
    ("found", "low", "high", "worse"),
    [
        (-0.005, -0.009, -0.001, True),
        (-0.001, -0.0015, -0.0005, False),
        (-0.015, -0.04, 0.01, True),
        (-0.009, -0.04, 0.02, False),
        (0.0, 0.0, 0.0, False),
        (0.02, 0.01, 0.03, False),
    ],
)
def test_a_loss_blocks_when_it_is_sure_and_matters_or_is_large(
    found: float, low: float, high: float, worse: bool
) -> None:
    assert (ranks_worse(paired.Interval(found, low, high), tolerated=0.01) is not None) is worse


def test_fewer_positives_leave_more_open() -> None:
    assert tolerated_loss(200) == tolerated_loss(5_000) == 0.01
    assert tolerated_loss(20) == pytest.approx(0.01 * 10**0.5)


def check(report: GateReport, name: str) -> GateCheck:
    (found,) = (each for each in report.checks if each.name == name)
    return found


def test_scores_that_claim_too_much_need_a_person_also_if_the_champions_do(settings: Settings) -> None:
    bold = SCORES**0.5
    assert "calibration" in failed(gate(settings, scripted(bold), scripted(SCORES, version="1")))
    report = gate(settings, scripted(bold), scripted(bold, version="1"))
    assert failed(report) == ["calibration"]
    blocked = check(report, "calibration")
    assert blocked.why == (
        "Scores are miscalibrated, and so are the champion's. The share of violating rows changed: 50.0% in the "
        f"training set, {LABELS.mean():.1%} held out. A person must decide."
    )
    assert blocked.found.count("p = 0.001") == 2
    assert "; version 1: ECE 0." in blocked.found


@pytest.mark.parametrize("champion", [None, SCORES, SCORES**0.5])
def test_one_rule_judges_the_calibration_of_first_and_later_versions(
    settings: Settings, champion: np.ndarray | None
) -> None:
    """Whatever it is compared with, a version fails if p < 0.01 and its ECE is large, and passes if one is fine."""
    before = None if champion is None else scripted(champion, version="1")
    slightly, clearly = SCORES**0.9, SCORES**0.5
    assert ece(slightly, LABELS) <= 0.05
    assert ece(clearly, LABELS) > 0.07
    assert by_chance(clearly, LABELS, seed=7).p < 0.01
    assert "calibration" not in failed(gate(settings, scripted(slightly), before))
    assert "calibration" in failed(gate(settings, scripted(clearly), before))


def test_scores_within_the_tolerance_but_much_worse_calibrated_than_the_champions_are_blocked(
    settings: Settings,
) -> None:
    scores, labels = calibrated(6_000, seed=4)
    worse, data = scores**0.82, rows(labels)
    assert ece(worse, labels) < 0.05
    report = gate(settings, scripted(worse), scripted(scores, version="1"), data)
    assert "calibration" in failed(report)
    assert "significantly worse calibrated than the champion's" in check(report, "calibration").why
    assert gate(settings, scripted(worse), None, data).passed


def test_champion_and_candidate_are_shown_on_the_same_rows(settings: Settings) -> None:
    tiers = Thresholds(0.5, None, {})
    report = gate(settings, scripted(blurred(0.5), thresholds=tiers), scripted(SCORES, version="1", thresholds=tiers))
    ap, brier, error = report.measures
    assert [each.name for each in report.measures] == ["average precision", "Brier score", "calibration error (ECE)"]
    for each in (ap, brier, error):
        assert each.old is not None
        assert each.difference is not None
        assert each.difference.found == pytest.approx(each.new.found - each.old.found)
        assert each.new.low < each.new.found < each.new.high
    assert ap.old is not None
    assert ap.old.found == pytest.approx(average_precision_score(LABELS, SCORES))
    assert [of.version for of in report.figures] == ["1", "2"]
    assert [of.tiers[0].tier for of in report.figures] == ["review", "review"]


def test_few_or_similar_rows_measure_nothing_and_the_gate_says_what_is_missing(settings: Settings) -> None:
    few = rows(np.arange(24) % 3 == 0)
    report = gate(settings, scripted(np.where(np.arange(24) % 3 == 0, 0.9, 0.1)), None, few)
    assert failed(report) == ["held-out rows"]
    assert [each.name for each in report.checks] == ["contract", "held-out rows", "behaviour", "latency"]
    assert report.measures == ()
    missing = check(report, "held-out rows")
    assert missing.found == "24 held-out rows, 24 of them distinct: 8 violating and 16 others"
    assert "Missing: 2 violating." in missing.why
    assert "average precision" not in report.text()
    # Copies of sixteen texts are no more than sixteen rows, however many there are.
    copied = rows(np.repeat(np.arange(16) % 2 == 0, 50))
    copied = replace(copied, rows=tuple(each._replace(group=each.group % 16) for each in copied.rows))
    assert (
        "800 held-out rows, 16 of them distinct"
        in check(gate(settings, scripted(SCORES[:800]), None, copied), "held-out rows").found
    )


def test_a_first_version_on_corpora_alone_may_answer_though_its_scores_are_off(settings: Settings) -> None:
    """Without leads no labels of the platform's own come. It may not decide anything without a human, though."""
    borrowed = rows(LABELS, ["corpus:x"] * len(LABELS))
    bold = scripted(SCORES**0.3)
    report = gate(settings, bold, None, borrowed)
    assert report.passed
    excused = check(report, "calibration")
    assert excused.excused
    assert excused.why.startswith("Scores are miscalibrated.")
    assert excused.why.endswith("reviewers' labels will correct that.")
    assert excused.why in report.text()
    assert "calibration" in failed(gate(settings, bold, None))
    assert "calibration" in failed(gate(settings, bold, scripted(SCORES, version="1"), borrowed))
    deciding = scripted(SCORES**0.3, thresholds=Thresholds(0.3, 0.9, {}))
    assert "calibration" in failed(gate(settings, deciding, None, borrowed))


def test_without_champion_it_must_beat_chance(settings: Settings) -> None:
    alone = gate(settings, scripted(SCORES), None)
    assert alone.passed
    assert alone.champion is None
    random = np.random.default_rng(1).permutation(SCORES)
    assert "ranking" in failed(gate(settings, scripted(random), None))


def test_with_corpora_beside_own_rows_both_are_looked_at(settings: Settings) -> None:
    sources = ["platform" if i % 2 else "corpus:made" for i in range(len(LABELS))]
    data = rows(LABELS, sources)
    spoilt = np.where(np.arange(len(SCORES)) % 2, SCORES, blurred(2.0))
    report = gate(settings, scripted(spoilt), scripted(SCORES, version="1"), data)
    assert report.rows == 600
    assert failed(report) == ["ranking, with corpora"]


def test_a_tier_that_surely_misses_its_precision_is_blocked(settings: Settings) -> None:
    wide = scripted(SCORES, thresholds=Thresholds(review=0.5, auto=0.3, why={}))
    assert failed(gate(settings, wide, None)) == ["tiers"]
    assert gate(settings, wide, replace(wide, version="1")).passed
    narrow = replace(wide, version="1", thresholds=Thresholds(review=0.5, auto=0.98, why={}))
    assert failed(gate(settings, wide, narrow)) == ["tiers"]


def test_a_version_that_would_offer_no_leads_is_blocked(settings: Settings) -> None:
    offers = scripted(SCORES, version="1", thresholds=Thresholds(review=0.6, auto=None, why={}))
    (check,) = gate(settings, scripted(SCORES), offers).failed
    assert (check.name, check.why) == ("tiers", "It would no longer offer leads.")


def test_a_slice_that_newly_falls_behind_blocks(settings: Settings) -> None:
    length = np.array([len(text(i)) > 50 for i in range(len(SCORES))])
    # Long texts all get their mean: nothing ranks among them any more.
    flat = np.where(length, LABELS[length].mean(), SCORES)
    report = gate(settings, scripted(flat), scripted(SCORES, version="1"))
    assert "slices" in failed(report)
    assert "slices" not in failed(gate(settings, scripted(flat), scripted(flat, version="1")))


def test_a_slice_that_was_behind_before_does_not_block(settings: Settings) -> None:
    length = np.array([len(text(i)) > 50 for i in range(len(SCORES))])
    flat = np.where(length, LABELS[length].mean(), SCORES)
    upside_down = np.where(length, LABELS[length].mean() + np.where(LABELS, -0.01, 0.01), SCORES)
    assert "slices" not in failed(gate(settings, scripted(upside_down), scripted(flat, version="1")))


BAD = ("bad one", "bad two", "bad three", "bad four")
SUITE = """
version: 1
cases:
  clear:
    kind: functionality
    why: What it is for.
    violating: [bad one, bad two, bad three, bad four]
    not_violating: [good one, good two]
"""


def test_behaviour_that_gets_lost_blocks(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / f"{HARM}.yaml").write_text(SUITE)
    settings = load_settings(home=tmp_path, corpora=Path(), training=tmp_path)
    plain = scripted(SCORES)
    knows = replace(plain, version="1", by_text=plain.by_text | dict.fromkeys(BAD, 0.9))
    report = gate(settings, plain, knows)
    assert failed(report) == ["behaviour"]
    assert "functionality passes 0, the champion 8" in report.failed[0].why
    assert gate(settings, knows, plain).passed
    # A single case of a few checks is named, and no more.
    (tmp_path / "suites" / f"{HARM}.yaml").write_text(SUITE.replace(", bad two, bad three, bad four", ""))
    few = gate(settings, plain, knows)
    assert few.passed
    assert "clear passes 0, the champion 2" in check(few, "behaviour").why


@pytest.mark.parametrize(
    ("taken", "passed"), [((4.9, 0.1), True), ((7.0, 4.0), True), ((9.0, 4.0), False), ((5.1, 0.1), False)]
)
def test_slowness_blocks_beyond_the_budget_and_twice_the_champion(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, taken: tuple[float, float], passed: bool
) -> None:
    monkeypatch.setattr(checks, "single_row_ms", lambda *_: taken)
    report = gate(settings, scripted(SCORES), scripted(SCORES, version="1"))
    assert report.passed is passed
    assert failed(report) == ([] if passed else ["latency"])


def test_a_sentence_encoder_may_take_longer(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not because its champion is slow: the first version may, too."""
    monkeypatch.setattr(checks, "single_row_ms", lambda *_: (12.0,))
    nothing = Block(np.empty(0, np.uint64), np.empty(0, np.float32), np.empty(0, np.float32))
    head = SentenceHead("minilm-x", np.zeros(2, np.float32), np.ones(2, np.float32), np.zeros(4, np.float32))
    assert failed(gate(settings, scripted(SCORES), None)) == ["latency"]
    assert gate(settings, scripted(SCORES, text_stage=TextStage(nothing, nothing, 0.0, head)), None).passed


def test_a_busy_machine_gets_another_chance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    timings = iter([(30.0,), (2.0,)])
    monkeypatch.setattr(checks, "single_row_ms", lambda *_: next(timings))
    assert gate(settings, scripted(SCORES), None).passed


def test_versions_are_timed_in_turn_one_row_a_call() -> None:
    one, other = scripted(SCORES), scripted(SCORES)
    taken = single_row_ms((one, other), held_out(DATA), calls=7)
    assert min(taken) > 0
    assert one.asked == other.asked == [1] * 27


def test_no_text_is_timed_twice_not_even_by_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions that share an encoder share the cache of its vectors."""
    seen: list[str | None] = []
    score = ScriptedVersion.score

    def kept(self: ScriptedVersion, features: Any, texts: Any) -> Any:
        seen.extend(texts)
        return score(self, features, texts)

    monkeypatch.setattr(ScriptedVersion, "score", kept)
    single_row_ms((scripted(SCORES), scripted(SCORES)), held_out(DATA), calls=7)
    texts = [text for text in seen if text is not None]
    assert len(texts) > 10
    assert len(set(texts)) == len(texts)


def test_features_that_the_code_does_not_have_block_and_nothing_else_is_asked(settings: Settings) -> None:
    report = gate(settings, scripted(SCORES, contract=_with("item.imagined")), scripted(SCORES, version="1"))
    assert failed(report) == ["contract"]
    assert len(report.checks) == 1


def test_a_champion_that_can_not_be_fed_any_more_is_none_to_compare_with(settings: Settings) -> None:
    old = scripted(np.clip(SCORES, 0.4, 0.6), version="1", contract=_with("item.imagined"))
    report = gate(settings, scripted(SCORES), old)
    assert report.passed
    assert report.champion is None
    assert "Version 1 can't be compared" in report.text()


def test_a_champion_of_another_contract_gets_its_own_columns() -> None:
    data = rows(LABELS[:4])
    data.features[:, 0] = np.arange(len(data.features))
    held = held_out(data)
    matrix = held.features_for(scripted(SCORES, contract=_with("text.chars", "item.reports_1h", "item.notices")))
    assert matrix[:, 2].tolist() == held.features[:, 0].tolist()
    assert matrix[:, 0].tolist() == [len(text(i)) for i in range(4)]
    assert np.isnan(matrix[:, 1]).all()


def test_a_version_with_declared_features_passes_until_their_declaration_changes(settings: Settings) -> None:
    data = replace(DATA, feature_set=declared())
    version = scripted(SCORES, contract=contract_for(text=True, features=data.feature_set))
    assert OURS in version.contract.names
    assert gate(settings, version, scripted(SCORES, version="1"), data).passed
    changed = replace(DATA, feature_set=declared(window="7d"))
    blocked = gate(settings, version, None, changed)
    assert failed(blocked) == ["contract"]
    why = f"The contract needs the feature {OURS} as it was declared before: its declaration changed."
    assert blocked.checks[0].why == why
    assert "doesn't exist here. It was declared in platform.yaml" in gate(settings, version, None).checks[0].why
    # A champion like that can't be compared.
    report = gate(settings, scripted(SCORES), version, changed)
    assert (report.champion, report.why_no_champion) == (None, f"Version 2 can't be compared. {why}")
    with pytest.raises(ModelRefused, match="its declaration changed") as caught:
        compare(version, scripted(SCORES), changed, seed=1)
    assert caught.value.remedy == f"Train the harm again: leads train {HARM}"


def test_a_version_of_your_own_is_measured_with_the_optional_features_it_takes() -> None:
    values = np.arange(len(DATA.rows), dtype=np.float32)
    optional = (OptionalFeature(Column("item.plays"), values), OptionalFeature(Column(OPTIONAL), -values))
    held = held_out(replace(DATA, feature_set=declared(), optional=optional))
    matrix = held.features_for(scripted(SCORES, contract=_with(OPTIONAL, "item.plays")))
    assert matrix[:, 1].tolist() == held.at.tolist()
    assert matrix[:, 0].tolist() == (-held.at).tolist()


def test_a_report_survives_being_kept(settings: Settings) -> None:
    report = gate(settings, scripted(blurred(1.5)), scripted(SCORES, version="1"))
    assert GateReport.from_json(report.to_json()) == report
    # A report that an earlier release kept has no measures.
    earlier = msgspec.json.decode(report.to_json())
    for later in ("evidence", "measures", "figures"):
        del earlier[later]
    assert GateReport.from_json(msgspec.json.encode(earlier).decode()).checks == report.checks
    assert not unmeasured(HARM, scripted(SCORES), "No labels.", BUILTIN).passed


def test_equal_rows_give_an_equal_verdict(settings: Settings) -> None:
    reports = [gate(settings, scripted(blurred(0.5)), scripted(SCORES, version="1")) for _ in range(2)]
    first, second = ([each for each in report.checks if each.name != "latency"] for report in reports)
    assert first == second


def test_average_precision_is_scikit_learns_with_ties_and_weights() -> None:
    random = np.random.default_rng(0)
    scores, labels = np.round(random.random(300), 1), random.random(300) < 0.3
    drawn = paired.resample(labels, np.arange(300, dtype=np.uint64), seed=1, times=60)
    for ours, counts in zip(paired.average_precision(scores, labels, drawn.counts), drawn.counts, strict=True):
        assert ours == pytest.approx(average_precision_score(np.repeat(labels, counts), np.repeat(scores, counts)))


def test_equal_texts_are_drawn_together() -> None:
    groups = np.repeat(np.arange(50, dtype=np.uint64), 4)
    labels = np.arange(200) % 8 < 4
    drawn = paired.resample(labels, groups, seed=1, times=20)
    assert (drawn.counts.reshape(20, 50, 4) == drawn.counts[:, ::4, None]).all()
    assert (drawn.counts[:, ::4].sum(axis=1) == 50).all()


def test_rows_of_one_kind_can_not_judge() -> None:
    with pytest.raises(NotEnoughData, match="of one kind"):
        paired.resample(np.ones(9, dtype=np.bool_), np.arange(9, dtype=np.uint64), seed=1)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of two versions that rank equally well in the long run, the difference is found not to be zero one time in 20."""
    excluded = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        labels = random.random(300) < 0.3
        old, new = (random.normal(size=300) + labels for _ in range(2))
        drawn = paired.resample(labels, np.arange(300, dtype=np.uint64), seed=seed, times=200)
        found = paired.difference(paired.average_precision, old, new, drawn)
        excluded += not found.low <= 0 <= found.high
    assert excluded <= 9


def test_two_versions_are_compared_in_every_measure() -> None:
    old, new = scripted(blurred(1.0), version="1"), scripted(SCORES, thresholds=Thresholds(0.5, None, {}))
    found = compare(old, new, DATA, seed=1)
    measures: dict[str, Any] = {each.name: each for each in found.measures}
    assert measures["average precision"].difference.low > 0
    assert measures["Brier score"].difference.high < 0
    calibrated = measures["calibration error (ECE)"].new
    assert calibrated.found == pytest.approx(ece(SCORES, LABELS))
    assert calibrated.low < calibrated.found < calibrated.high
    assert [tier.tier for tier in found.figures[1].tiers] == ["review"]
    assert found.figures[0].tiers == ()


def trained(tmp_path: Path, version: str, groups: list[int], scores: np.ndarray = SCORES) -> ScriptedVersion:
    """A version that records that it was trained on the texts of these groups."""
    folder = tmp_path / version
    folder.mkdir()
    (folder / manifest.TRAINED_ON).write_bytes(training_rows.to_bytes(np.array(groups, dtype=np.uint64)))
    return scripted(scores, version=version, folder=folder)


def test_rows_that_a_version_was_trained_on_measure_neither_version(settings: Settings, tmp_path: Path) -> None:
    """A version that learned some held-out rows by heart looks better than it is; both are measured on the others."""
    learned = np.arange(1_200) < 700
    by_heart = np.where(learned, np.where(LABELS, 0.99, 0.01), blurred(1.5))
    cheat = trained(tmp_path, "2", [*np.flatnonzero(learned).tolist(), 10_000_001], by_heart)
    honest = trained(tmp_path, "1", [10_000_000, 10_000_001])
    found = compare(honest, cheat, DATA, seed=1)
    measures: dict[str, Any] = {each.name: each for each in found.measures}
    assert found.evidence.rows == 500
    expected = average_precision_score(LABELS[~learned], by_heart[~learned])
    assert measures["average precision"].new.found == pytest.approx(expected)
    assert found.overlap.text() == "700 of 1,200 held-out rows were left out, because version 2 was trained on them."
    report = gate(settings, cheat, honest)
    assert "ranking" in failed(report)
    assert check(report, "held-out rows").found.endswith("; 700 more were left out")
    assert GateReport.from_json(report.to_json()) == report
    assert report.overlap == Overlap(("1", "2"), 1_200, 700, ("2",))


def test_with_too_few_rows_that_neither_was_trained_on_nothing_is_measured(settings: Settings, tmp_path: Path) -> None:
    everything, none = trained(tmp_path, "2", list(range(1_200))), trained(tmp_path, "1", [])
    found = compare(none, everything, DATA, seed=1)
    assert (found.measures, found.figures, found.evidence.rows) == ((), (), 0)
    assert len(found.milliseconds) == 2
    report = gate(settings, everything, none)
    assert failed(report) == ["held-out rows"]
    assert check(report, "held-out rows").why.endswith(
        "A person must decide. 1,200 of 1,200 held-out rows were left out, because version 2 was trained on them."
    )


def test_of_a_version_without_a_record_it_is_unknown_which_rows_it_was_trained_on(
    settings: Settings, tmp_path: Path
) -> None:
    report = gate(settings, trained(tmp_path, "2", []), scripted(SCORES, version="1"))
    assert report.passed
    assert check(report, "held-out rows").why == (
        "There are enough. Version 1 doesn't record which rows it was trained on, so some of these rows may be among "
        "them."
    )


def test_a_damaged_record_of_training_rows_is_refused(tmp_path: Path) -> None:
    version = trained(tmp_path, "2", [1])
    for content in (b"", b"\x93NUMPY", training_rows.to_bytes(np.array([1], np.uint64))[:-3]):
        (version.folder / manifest.TRAINED_ON).write_bytes(content)
        with pytest.raises(ModelRefused, match="can't be read"):
            held_out(DATA, [version])
    with (version.folder / manifest.TRAINED_ON).open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ModelRefused, match="can't be read"):
        held_out(DATA, [version])
    with (version.folder / manifest.TRAINED_ON).open("wb") as file:
        np.save(file, np.array([1.5]))
    with pytest.raises(ModelRefused, match="64-bit hashes"):
        held_out(DATA, [version])


def _with(*names: str) -> Any:
    from msgspec.structs import replace as changed

    return changed(CONTRACT, columns=tuple(Column(name) for name in names))
