"""The benchmark on real texts, on made-up ones: pairs are cut from corpora, watched, and compared with their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.monitoring import texts
from benchmarks.monitoring.text_home import TRAINED, Scored, watch
from benchmarks.monitoring.text_judged import differs_from_before, measures, moved, quality, verdicts, worse
from benchmarks.monitoring.text_pairs import Pair, Texts, controls, pairs
from benchmarks.report import Report, read_json, write_json
from leads import clock
from leads.corpora import CorpusText
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.verdicts import UNCLEAR, VERDICT
from leads.settings import load_settings
from leads.text import text_hash

_DAYS, _A_DAY = 2, 120
_BAD = ("cheap", "offer", "click", "winner", "prize", "free")
_GOOD = ("music", "singer", "guitar", "lovely", "evening", "morning", "concert", "dance")
_OTHER = ("tractor", "harvest", "barley", "meadow", "cattle", "orchard", "plough", "acre", "hay", "barn")


def _made(n: int, seed: int, *, words: tuple[str, ...] = _GOOD, confused: bool = False) -> Texts:
    """Texts of which a third violates; `confused`: whatever the words say."""
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.3
    rows = []
    for i, bad in enumerate(labels.tolist()):
        shown = random.random() < 0.3 if confused else bad
        chosen = random.choice(_BAD if shown else words, 3).tolist() + random.choice(words, 4).tolist()
        text = f"{' '.join(chosen)} {seed}x{i}"
        rows.append(CorpusText("made", f"{seed}-{i}", text, {"made": bad}, i, text_hash(text)))
    return Texts(rows, labels)


def _pair(after: Texts) -> Pair:
    return Pair("made", "spam", _made(600, 1), _made(_DAYS * _A_DAY, 2), after, _A_DAY)


@pytest.mark.slow
def test_texts_of_another_kind_are_called_drift_and_equal_ones_are_not(tmp_path: Path) -> None:
    same = watch(_pair(_made(_DAYS * _A_DAY, 3)), minilm=False, vectors=tmp_path)
    other = watch(_pair(_made(_DAYS * _A_DAY, 4, words=_OTHER, confused=True)), minilm=False, vectors=tmp_path)
    assert same.changed == other.changed == TRAINED + _DAYS * clock.DAY
    assert verdicts(same.rows, TRAINED, same.until).drift == 0
    assert verdicts(other.rows, other.changed, other.until).share == 1
    assert differs_from_before(other)
    by_column = {one.column: one for one in moved(other.rows, other.changed, other.until)}
    assert by_column["vocabulary"].beyond == by_column["vocabulary"].of == _DAYS
    assert "text_drift" in {alert.rule for alert in other.alerts}
    assert worse(other).ranking
    assert not worse(same).any
    rows = measures("made", other)
    write_json(rows, tmp_path / "rows.json")
    assert read_json(tmp_path / "rows.json") == rows
    said = {one.name: one.value for one in rows}
    assert said["made: days of the other set with the right verdict"] == _DAYS
    assert {name for name in said if "alert text_drift opens after" in name}


def test_verdicts_and_columns_are_those_of_whole_days() -> None:
    def row(name: str, until: float, value: float | None, lo: float | None = None, method: str = "", slice_: str = ""):  # type: ignore[no-untyped-def]
        end = TRAINED + round(until * clock.DAY)
        return MetricRow("spam", "1", slice_, end - clock.DAY, end, name, value, lo, None, 100, method)

    rows = [
        row(VERDICT, 1, 0.0),
        row(VERDICT, 2, 1.0),
        row(VERDICT, 2.25, 1.0),
        row(VERDICT, 3, None, method=f"{UNCLEAR}: few"),
        row(VERDICT, 4, None, method="no verdict: few"),
        row("drift.text", 1, 0.3, 0.1, slice_="against=reference;column=length"),
        row("drift.text", 2, 0.1, -0.1, slice_="against=reference;column=length"),
        row("drift.text", 2, 0.9, 0.8, slice_="against=before;column=length"),
    ]
    found = verdicts(rows, TRAINED, TRAINED + 4 * clock.DAY)
    assert (found.drift, found.unclear, found.of, found.share) == (1, 1, 4, 0.25)
    (length,) = moved(rows, TRAINED, TRAINED + 4 * clock.DAY)
    assert (length.column, length.beyond, length.of) == ("length", 1, 2)
    assert (length.value, length.threshold) == (pytest.approx(0.2), pytest.approx(0.2))


def test_what_scores_promise_is_what_holds_if_they_are_calibrated() -> None:
    random = np.random.default_rng(5)
    scores = random.beta(1, 3, 20_000)
    labels = random.random(len(scores)) < scores
    tiers = np.where(scores >= 0.5, "review", "none").tolist()
    every = np.arange(len(scores))
    some = Scored([], every, np.empty((0, 0), np.float32), scores, tiers, labels, every.astype(np.uint64), [])
    found = quality(some)
    assert found.ap == pytest.approx(found.promised_ap, abs=0.02)
    assert found.violating == pytest.approx(found.mean_score, abs=0.01)
    assert found.precision is not None
    assert found.precision.value == pytest.approx(found.promised, abs=0.02)
    assert found.error < 0.02


def _write_videos(folder: Path) -> None:
    (folder / "youtube-spam").mkdir(parents=True)
    for number in range(3):
        lines = ["COMMENT_ID,AUTHOR,DATE,CONTENT,CLASS"]
        for i, (row, bad) in enumerate(zip(_made(500, number).rows, _made(500, number).labels.tolist(), strict=True)):
            # The newest first, as no order of the file counts.
            lines.append(f"{number}-{i},ann,2014-{12 - i // 250:02}-{28 - i % 28:02}T00:00:00,{row.text},{int(bad)}")
        (folder / "youtube-spam" / f"{number}.csv").write_text("\n".join(lines), encoding="utf-8")


def test_pairs_are_cut_from_the_corpora_in_their_order(tmp_path: Path) -> None:
    _write_videos(tmp_path)
    found = list(pairs(tmp_path))
    assert [pair.name for pair in found] == [f"YouTube: video {number} after the others" for number in (1, 2, 3)]
    for pair in found:
        assert len(pair.before) % pair.a_day == len(pair.after) % pair.a_day == 0
        assert len(pair.before)
        assert len(pair.after)
        assert not set(pair.learned.groups.tolist()) & set(pair.before.groups.tolist())
        assert not set(pair.learned.groups.tolist()) & set(pair.after.groups.tolist())
        orders = [row.order or 0 for row in pair.after.rows]
        assert orders == sorted(orders)
    random = list(controls(tmp_path, 2))
    assert [pair.name for pair in random] == ["YouTube: random halves"] * 2
    assert random[0].after.contents != random[1].after.contents


def test_without_corpora_the_part_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("test")
    texts.texts(report, load_settings(home=tmp_path, corpora=tmp_path), quick=True)
    assert report.measures == []
    assert "Set LEADS_CORPORA" in capsys.readouterr().err
