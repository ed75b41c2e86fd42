"""A simulation's files: reproducible bytes, strict order, and a truth that agrees with the events."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow.parquet as pq
import pytest

from leads.clock import DAY, MINUTE, SECOND, Micros
from leads.errors import Conflict, InvalidInput
from leads.events import DecisionMade, ItemCreated, Played, RecordedEvent, SignalReceived, decode_recorded
from simulation.config import HARMS_BY_TYPE, Period, SimulationConfig, preset
from simulation.history import SimulationManifest, load_manifest, simulate

pytestmark = pytest.mark.slow

CONFIG = msgspec.structs.replace(
    preset("small", seed=3), periods=(Period("history", 10), Period("change", 2, changed=True))
)
END_OF_HISTORY = CONFIG.start + CONFIG.periods[0].days * DAY


class Simulated(NamedTuple):
    folder: Path
    manifest: SimulationManifest
    history: list[RecordedEvent]
    change: list[RecordedEvent]
    truth: list[dict[str, object]]

    def violating(self, harm: str) -> set[str]:
        return {str(row["subject_id"]) for row in self.truth if row["harm"] == harm and row["violating"]}


def read(path: Path) -> list[RecordedEvent]:
    return [decode_recorded(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    folder = tmp_path_factory.mktemp("simulated") / "world"
    manifest = simulate(CONFIG, folder)
    history, change = (read(folder / f"events-{name}.jsonl") for name in ("history", "change"))
    return Simulated(folder, manifest, history, change, pq.read_table(folder / "truth.parquet").to_pylist())


def tiny(**changes: object) -> SimulationConfig:
    config = SimulationConfig(accounts=100, periods=(Period("history", 2), Period("change", 1, changed=True)))
    return msgspec.structs.replace(config, **changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def comments(events: list[RecordedEvent]) -> dict[str, ItemCreated]:
    bodies = (event.body for event in events)
    return {b.subject.id: b for b in bodies if isinstance(b, ItemCreated) and b.subject.type_id == "comment"}


class TestReproducible:
    def test_equal_seeds_give_equal_bytes(self, simulated: Simulated, tmp_path: Path) -> None:
        simulate(CONFIG, tmp_path / "again")
        assert contents(tmp_path / "again") == contents(simulated.folder)

    def test_another_seed_gives_another_history(self, simulated: Simulated, tmp_path: Path) -> None:
        other = simulate(msgspec.structs.replace(CONFIG, seed=4), tmp_path / "other")
        assert other.periods[0].sha256 != simulated.manifest.periods[0].sha256

    def test_later_periods_leave_earlier_ones_unchanged(self, tmp_path: Path) -> None:
        alone = simulate(tiny(periods=(Period("history", 2),)), tmp_path / "alone")
        continued = simulate(tiny(), tmp_path / "continued")
        assert alone.periods[0] == continued.periods[0]

    def test_the_manifest_describes_the_files(self, simulated: Simulated) -> None:
        manifest = load_manifest(simulated.folder)
        assert manifest == simulated.manifest
        for period, events in zip(manifest.periods, (simulated.history, simulated.change), strict=True):
            raw = (simulated.folder / period.file).read_bytes()
            assert period.sha256 == hashlib.sha256(raw).hexdigest()
            assert period.events == len(events)
            assert period.kinds == Counter(str(type(e.body).__struct_config__.tag) for e in events)
        for harm, counts in manifest.harms.items():
            assert counts.violating == len(simulated.violating(harm))


class TestTime:
    def test_visible_at_rises_strictly_within_each_period(self, simulated: Simulated) -> None:
        events = simulated.history + simulated.change
        assert all(a.visible_at < b.visible_at for a, b in pairwise(events))
        for period, part in zip(simulated.manifest.periods, (simulated.history, simulated.change), strict=True):
            assert period.start <= part[0].visible_at
            assert part[-1].visible_at < period.end

    def test_ids_are_unique(self, simulated: Simulated) -> None:
        ids = [event.id for event in simulated.history + simulated.change]
        assert len(set(ids)) == len(ids)

    def test_no_event_is_visible_before_it_occurred(self, simulated: Simulated) -> None:
        assert all(e.occurred_at <= e.visible_at for e in simulated.history + simulated.change)

    def test_most_plays_arrive_at_once_and_some_much_later(self, simulated: Simulated) -> None:
        delays = [e.visible_at - e.occurred_at for e in simulated.history if isinstance(e.body, Played)]
        late = sum(delay > MINUTE for delay in delays) / len(delays)
        assert 0.01 < late < 0.05
        assert max(delays) > 60 * MINUTE
        assert sum(delay < 2 * SECOND for delay in delays) / len(delays) > 0.9

    def test_a_comment_comes_after_its_author_and_its_parent(self, simulated: Simulated) -> None:
        seen: set[tuple[str, str]] = set()
        for event in simulated.history + simulated.change:
            body = event.body
            if isinstance(body, ItemCreated):
                if body.subject.type_id == "comment":
                    assert body.parent is not None
                    assert ("account", body.account_id) in seen
                    assert (body.parent.type_id, body.parent.id) in seen
                seen.add((body.subject.type_id, body.subject.id))


class TestTruth:
    def test_every_subject_has_its_harms_and_when_it_was_first_seen(self, simulated: Simulated) -> None:
        first: dict[tuple[str, str], Micros] = {}
        for event in simulated.history + simulated.change:
            if isinstance(event.body, ItemCreated) and event.body.subject.type_id in HARMS_BY_TYPE:
                first.setdefault((event.body.subject.type_id, event.body.subject.id), event.visible_at)
        recorded = {
            (row["type_id"], row["subject_id"], row["harm"]): row["first_visible_at"] for row in simulated.truth
        }
        expected = {(*subject, harm): at for subject, at in first.items() for harm in HARMS_BY_TYPE[subject[0]]}
        assert recorded == expected

    def test_spam_is_as_frequent_as_configured(self, simulated: Simulated) -> None:
        written = comments(simulated.history)
        assert 0.06 < len(simulated.violating("spam") & written.keys()) / len(written) < 0.10

    def test_farms_are_as_many_as_configured(self, simulated: Simulated) -> None:
        accounts = {e.body.subject.id for e in simulated.history if _is_account(e)}
        share = len(simulated.violating("stream_manipulation") & accounts) / len(accounts)
        assert share == pytest.approx(CONFIG.farm_share, abs=0.02)

    def test_harms_that_grammars_dont_generate_are_unknown(self, simulated: Simulated) -> None:
        assert simulated.manifest.text_source == "templates"
        for harm in ("identity_hate", "sexism"):
            assert all(row["violating"] is None for row in simulated.truth if row["harm"] == harm)
        assert simulated.violating("harassment")

    def test_spam_and_other_comments_share_words(self, simulated: Simulated) -> None:
        spam = simulated.violating("spam")
        words: dict[bool, set[str]] = defaultdict(set)
        for subject, body in comments(simulated.history).items():
            words[subject in spam] |= set(body.text.lower().split())
        assert {"check", "please", "free", "this"} <= words[True] & words[False]
        assert len({body.text for body in comments(simulated.history).values()}) > 1_500


def _is_account(event: RecordedEvent) -> bool:
    return isinstance(event.body, ItemCreated) and event.body.subject.type_id == "account"


class TestDecisions:
    def test_about_a_third_of_comments_is_decided(self, simulated: Simulated) -> None:
        decided = {d.subject.id for d in _decisions(simulated.history) if d.subject.type_id == "comment"}
        assert 0.2 < len(decided) / len(comments(simulated.history)) < 0.45

    def test_each_trainable_harm_has_enough_labels(self, simulated: Simulated) -> None:
        verdicts = Counter((d.harm, d.verdict) for d in _decisions(simulated.history))
        for harm in ("spam", "stream_manipulation", "harassment"):
            assert verdicts[harm, "violating"] >= 60
            assert verdicts[harm, "not_violating"] >= 60

    def test_reviewers_err_but_rarely(self, simulated: Simulated) -> None:
        known = {(row["subject_id"], row["harm"]): row["violating"] for row in simulated.truth}
        wrong: dict[bool, list[bool]] = defaultdict(list)
        for d in _decisions(simulated.history):
            truth = known[d.subject.id, d.harm]
            assert truth is not None
            if d.verdict != "escalate":
                wrong[bool(truth)].append((d.verdict == "violating") is not truth)
        assert 0.02 < sum(wrong[True]) / len(wrong[True]) < 0.15
        assert 0.003 < sum(wrong[False]) / len(wrong[False]) < 0.05

    def test_the_random_sample_does_not_depend_on_reports(self, simulated: Simulated) -> None:
        reported = {e.body.subject.id for e in simulated.history if isinstance(e.body, SignalReceived)}
        written = comments(simulated.history)
        drawn = {
            d.subject.id: d.propensity
            for d in _decisions(simulated.history)
            if d.propensity is not None and d.subject.type_id == "comment"
        }
        assert set(drawn.values()) == {CONFIG.review_share}
        for group in (written.keys() & reported, written.keys() - reported):
            # Three standard errors, and some more for decisions that come after the end.
            expected, n = CONFIG.review_share, len(group)
            assert abs(len(group & drawn.keys()) / n - expected) < 3 * (expected * (1 - expected) / n) ** 0.5 + 0.02

    def test_a_decision_comes_after_its_subject(self, simulated: Simulated) -> None:
        first = {(r["type_id"], r["subject_id"]): r["first_visible_at"] for r in simulated.truth}
        for event in simulated.history + simulated.change:
            if isinstance(event.body, DecisionMade):
                seen = first[event.body.subject.type_id, event.body.subject.id]
                assert event.visible_at > int(str(seen)) + MINUTE


def _decisions(events: list[RecordedEvent]) -> list[DecisionMade]:
    return [event.body for event in events if isinstance(event.body, DecisionMade)]


class TestSignals:
    def test_violations_are_reported_far_more_often(self, simulated: Simulated) -> None:
        bad = simulated.violating("spam") | simulated.violating("harassment")
        reported = {e.body.subject.id for e in simulated.history if isinstance(e.body, SignalReceived)}
        written = comments(simulated.history).keys()
        assert len(bad & written & reported) / len(bad & written) > 0.4
        mistaken = len((written - bad) & reported) / len(written - bad)
        assert 0.01 < mistaken < 0.1

    def test_every_kind_of_signal_occurs(self, simulated: Simulated) -> None:
        kinds = {e.body.kind for e in simulated.history if isinstance(e.body, SignalReceived)}
        assert kinds == {"user_report", "trusted_flagger", "hash_match"}

    def test_reporters_exist_before_they_report(self, simulated: Simulated) -> None:
        created: dict[str, Micros] = {}
        for event in simulated.history + simulated.change:
            if _is_account(event):
                created[event.body.subject.id] = event.occurred_at
        for event in simulated.history + simulated.change:
            if isinstance(event.body, SignalReceived) and event.body.reporter_id:
                assert created[event.body.reporter_id] < event.occurred_at

    def test_brigades_report_harmless_comments(self, simulated: Simulated) -> None:
        bad = simulated.violating("spam") | simulated.violating("harassment")
        reports = Counter(e.body.subject.id for e in simulated.history if isinstance(e.body, SignalReceived))
        assert any(count >= 6 for subject, count in reports.items() if subject not in bad)


class TestFiles:
    def test_an_earlier_simulation_is_replaced(self, tmp_path: Path) -> None:
        simulate(tiny(), tmp_path / "world")
        simulate(tiny(seed=9, periods=(Period("only", 1),)), tmp_path / "world")
        assert sorted(contents(tmp_path / "world")) == ["events-only.jsonl", "manifest.json", "truth.parquet"]
        assert [path.name for path in tmp_path.iterdir()] == ["world"]

    def test_a_folder_in_use_is_left_unchanged(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(Conflict, match="not a simulation"):
            simulate(tiny(), tmp_path)
        assert (tmp_path / "notes.txt").read_text() == "mine"

    def test_a_corpus_that_cant_be_read_leaves_nothing_behind(self, tmp_path: Path) -> None:
        (tmp_path / "corpora" / "cad").mkdir(parents=True)
        (tmp_path / "corpora" / "cad" / "cad_v1_1_dev.tsv").write_text("id\tbody\tlabels\n")
        with pytest.raises(InvalidInput, match="Missing columns: text"):
            simulate(tiny(), tmp_path / "world", corpora=tmp_path / "corpora")
        assert [path.name for path in tmp_path.iterdir()] == ["corpora"]

    def test_progress_is_reported_daily(self, tmp_path: Path) -> None:
        reported: list[tuple[int, int]] = []
        simulate(tiny(), tmp_path / "world", on_progress=lambda done, total: reported.append((done, total)))
        assert reported == [(1, 3), (2, 3), (3, 3)]

    def test_a_folder_without_a_simulation_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="no readable simulation"):
            load_manifest(tmp_path)


@pytest.mark.parametrize("share", ["spam_share", "farm_share", "review_share", "account_review_share", "reviewer_miss"])
def test_a_share_can_be_zero(share: str, tmp_path: Path) -> None:
    manifest = simulate(tiny(**{share: 0.0}), tmp_path / "world")
    if share == "farm_share":
        assert manifest.harms["stream_manipulation"].violating == 0
    for period in manifest.periods:
        assert len(read(tmp_path / "world" / period.file)) == period.events > 0
