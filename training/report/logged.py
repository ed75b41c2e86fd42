"""A version's figures and configuration as MLflow shows them: metrics and parameters by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from models.registry.versions import Curve
from models.thresholds import Thresholds
from training.config import TrainingConfig
from training.fit.model import Fit
from training.fit.search import Tuned
from training.report.evaluate import Evaluation
from training.report.measure import Metrics
from training.report.paired import Interval
from training.report.slices import Slice, telling

# MLflow's pages put metrics with the same text before the last slash into one section.
_SLICED = ("slice_ap", "slice_roc_auc", "slice_share_violating", "slice_mean_score", "slice_rows")
# The characters that MLflow accepts in names, without the slash.
_REFUSED = re.compile(r"[^\w.\- :]")
_LONGEST = 120


def metrics(found: Metrics, thresholds: Thresholds) -> dict[str, float]:
    """The figures by name. An interval's bounds end in `_low` and `_high`; what isn't measured is left out."""
    test, starts = found.test, {"review": thresholds.review, "auto": thresholds.auto}
    intervals: dict[str, Interval | None] = {"ap": test.ap, "roc_auc": test.roc_auc, "brier": test.brier}
    intervals |= {"ece": test.ece, **_tiers(test)}
    intervals |= {f"ap_{safe_name(source)}": ap for source, ap in found.by_source.items()}
    return {
        "test_rows": test.evidence.rows,
        "test_positives": test.evidence.positives,
        "test_distinct": test.evidence.distinct,
        **({} if test.chance is None else {"ece_p": test.chance.p, "ece_by_chance": test.chance.ece}),
        **{name: value for name, one in intervals.items() if one for name, value in _bounded(name, one).items()},
        **{f"threshold_{tier}": start for tier, start in starts.items() if start is not None},
        **_slices(found),
    }


def parameters(config: TrainingConfig, tuned: Tuned | None) -> dict[str, str | int | float]:
    """The configuration, and the search that found it if there was one."""
    found: dict[str, str | int | float] = {**flat(config)}
    if tuned:
        result = "better" if tuned.better else "no better configuration found"
        found |= {"search.trials": tuned.trials, "search.pruned": tuned.pruned, "search.result": result}
    return found


def curves(fitted: Fit, tuned: Tuned | None) -> dict[str, Curve]:
    """The out-of-fold loss by number of trees, and by trial of the search."""
    found: dict[str, Curve] = {"fit/out-of-fold log loss by tree": list(enumerate(fitted.losses.tolist(), start=1))}
    for stage, losses in tuned.losses.items() if tuned else ():
        found[f"search/{safe_name(stage)} - out-of-fold log loss by trial"] = losses
    return found


def flat(config: TrainingConfig) -> dict[str, str]:
    """The configuration as parameters, named as in the harm's YAML file.

    >>> found = flat(TrainingConfig())
    >>> found["trees.max_depth"], found["calibration"], found["text.encoder"]
    ('3', 'auto', 'default')
    """
    return dict(_flattened("", config.model_dump(mode="json")))


def safe_name(name: str) -> str:
    """A name as MLflow accepts it in those of parameters and metrics, after a slash too.

    >>> safe_name("corpus:edos"), safe_name("a/b=1")
    ('corpus_edos', 'a_b_1')
    """
    return _REFUSED.sub("_", name.replace(":", "_"))[:_LONGEST].strip(" .") or "_"


def _flattened(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _flattened(f"{prefix}{name}.", value)
        elif isinstance(value, list):
            found.append((f"{prefix}{name}", ", ".join(map(str, value))))
        else:
            found.append((f"{prefix}{name}", "default" if value is None else str(value)))
    return found


def _tiers(test: Evaluation) -> dict[str, Interval | None]:
    found: dict[str, Interval | None] = {}
    for tier in test.tiers:
        found |= {f"precision_{tier.tier}": tier.precision, f"recall_{tier.tier}": tier.recall}
    return found


def _slices(found: Metrics) -> dict[str, float]:
    """The figures of each slice with enough rows as `slice_ap/type: comment`."""
    by_name: dict[str, Slice] = {}
    for one in telling(found.slices):
        name = f"{safe_name(one.dimension)}: {safe_name(one.value)}"
        # Values that differ only in characters that MLflow refuses.
        while name in by_name:
            name += "_"
        by_name[name] = one
    values: dict[str, float] = {}
    for name, one in by_name.items():
        for section, value in zip(
            _SLICED, (one.ap, one.auc or one.roc_auc, one.share, one.mean_score, one.rows), strict=True
        ):
            if isinstance(value, Interval):
                values |= {f"{section}{end}/{name}": bound for end, bound in _bounded("", value).items()}
            elif value is not None:
                values[f"{section}/{name}"] = value
    return values


def _bounded(name: str, found: Interval) -> dict[str, float]:
    return {name: found.found, f"{name}_low": found.low, f"{name}_high": found.high}
