"""More versions of a harm in the registry: good ones that score differently, and bad ones."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq

from leads.settings import Settings
from models import manifest
from models.registry.registry import Registry, RunRecord
from models.version import ModelVersion, load
from models.write import Parts, write_version

# Two versions' scores of a subject differ by at least this much of log-odds.
_APART = 0.2


def register_variant(settings: Settings, of: str, folder: Path, number: int, *, harm: str | None = None) -> str:
    """A version that scores like the registry's first `of` that harm, every log-odds higher by `number` steps.

    Args:
        harm: for which it is registered; default: the same.

    Returns:
        Its number.
    """
    registry, harm = Registry(settings), harm or of
    first = load(registry.fetch(of, "1", folder / "fetched" / of))
    made = write_version(folder / "made" / f"{harm}-{number}", _shifted(first, harm, number * _APART))
    return registry.register(harm, made, RunRecord(fingerprint=f"benchmark-{number}"))


def register_bad(settings: Settings, harm: str, folder: Path, number: int) -> str:
    """A version whose booster changes where it is kept after it was registered; returns its number."""
    version = register_variant(settings, harm, folder, number)
    boosters = settings.artifacts_dir.rglob(manifest.BOOSTER)
    newest = max(boosters, key=lambda path: path.stat().st_mtime_ns)
    raw = bytearray(newest.read_bytes())
    raw[-9] ^= 1
    newest.write_bytes(raw)
    return version


def _shifted(first: ModelVersion, harm: str, log_odds: float) -> Parts:
    table = pq.read_table(first.folder / manifest.REFERENCE)
    columns = [table[name].to_numpy() for name in first.input_names]
    shifted = tuple(float(x) + log_odds for x in first.calibrator.log_odds)
    return Parts(
        harm=harm,
        contract=first.contract,
        booster=first.booster,
        text_stage=first.text_stage,
        prior_log_odds=first.prior_log_odds,
        calibrator=msgspec.structs.replace(first.calibrator, log_odds=shifted),
        thresholds=first.thresholds,
        reference=np.column_stack(columns).astype(np.float32),
        reference_labels=table["label"].to_pylist(),
        metrics=b"{}",
        card="# A version for measuring\n",
        own_start=first.starts_from == "booster",
    )
