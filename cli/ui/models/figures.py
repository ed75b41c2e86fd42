"""A version's figures, alone or next to another version's, as rows of tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cli.ui.terminal import escape
from models.version import ModelVersion
from training.evidence import Evidence
from training.gate.side_by_side import Compared, Comparison, VersionFigures
from training.report.evaluate import AtTier, Evaluation, recall_rows
from training.report.measure import Metrics
from training.report.paired import Interval

TableRows = list[tuple[str, ...]]


def on_two_lines(found: Interval) -> str:
    """
    >>> on_two_lines(Interval(0.5, 0.25, 0.75))
    '0.500\\n0.250–0.750'
    """
    return f"{found.found:.3f}\n{found.low:.3f}–{found.high:.3f}"


def row_counts(found: Metrics) -> TableRows:
    """The version's rows by what they were used for: rows, distinct, violating, distinct violating."""
    together = found.fit.rows + found.held_out.rows == found.rows
    if together and found.fit == found.calibration:
        used = [("fit, calibration and tiers", found.fit)]
    else:
        # By their out-of-fold margins, rows that the model was fitted on can calibrate it.
        inside = ", a part of the above" if together else ""
        used = [("fit", found.fit), (f"calibration and tiers{inside}", found.calibration)]
    used.append(("held out", found.held_out))
    if found.test.evidence != found.held_out:
        used.append(("measured on: labels of the platform, a part of the above", found.test.evidence))
    return [(name, *_counted(each)) for name, each in used]


def _counted(found: Evidence) -> tuple[str, ...]:
    counts = (found.rows, found.distinct, found.positives, found.distinct_positives)
    return tuple(f"{count:,}" for count in counts)


def metrics(found: Metrics) -> TableRows:
    """Every figure of `metrics.json` once, with its interval if it has one; without the slices."""
    made: TableRows = [("trees", f"{found.rounds:,}")]
    if found.new_labels is not None:
        made.append(("decisions new since the previous version", f"{found.new_labels:,}"))
    return [*made, *_measured(found.test), *_by_source(found)]


def _measured(test: Evaluation) -> TableRows:
    if test.missing:
        return [("not measured", test.missing)]
    named = (
        ("average precision", test.ap),
        ("ROC AUC", test.roc_auc),
        ("Brier score", test.brier),
        ("calibration error (ECE)", test.ece),
    )
    made: TableRows = [(name, interval.text()) for name, interval in named if interval]
    if test.chance is not None:
        made.append(("ECE by chance alone", f"{test.chance.ece:.3f}"))
        made.append(("p-value of perfect calibration", f"{test.chance.p:.3f}"))
    for tier in test.tiers:
        made.append((f"precision of {tier.tier}", _precision(tier, ", ")))
        recall = f"{tier.recall.text()}, {recall_rows(test.evidence)}" if tier.recall else "–"
        made.append((f"recall of {tier.tier}", recall))
    return made


def _by_source(found: Metrics) -> TableRows:
    if len(found.by_source) < 2:
        return []
    return [(f"average precision, {escape(source)}", ap.text()) for source, ap in found.by_source.items()]


def _precision(tier: AtTier | None, between: str = "\n") -> str:
    if tier is None:
        return "no tier"
    if tier.precision is None:
        return "no rows"
    return f"{tier.precision.text()}{between}{tier.rows:,} rows, {tier.distinct:,} distinct"


def compared(found: Comparison, versions: tuple[ModelVersion, ModelVersion]) -> TableRows:
    """Measure, old, new, difference."""
    rows = side_by_side(found.measures, found.figures)
    old, new = found.milliseconds
    rows.append(("time per row, ms", f"{old:.2f}", f"{new:.2f}", f"{new - old:+.2f}"))
    sizes = [size(version.folder) for version in versions]
    rows.append(("size, MB", *(f"{one / 1e6:.1f}" for one in sizes), f"{(sizes[1] - sizes[0]) / 1e6:+.1f}"))
    return rows


def side_by_side(measures: Sequence[Compared], figures: Sequence[VersionFigures]) -> TableRows:
    """Measure, old version, new version, difference."""
    rows: TableRows = [
        (one.name, one.old.text(), one.new.text(), one.difference.text(signed=True))
        for one in measures
        if one.old and one.difference
    ]
    if figures:
        rows.append(("ECE by chance alone", *(f"{of.chance.ece:.3f}" for of in figures), ""))
        rows.append(("p-value of perfect calibration", *(f"{of.chance.p:.3f}" for of in figures), ""))
    for tier in ("review", "auto") if figures else ():
        both = [next((t for t in of.tiers if t.tier == tier), None) for of in figures]
        rows.append((f"precision of {tier}", *map(_precision, both), ""))
        rows.append((f"recall of {tier}", *(t.recall.text() if t and t.recall else "–" for t in both), ""))
    return rows


def size(folder: Path) -> int:
    """Bytes of a version's files."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
