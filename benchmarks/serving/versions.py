"""Which versions are served, the same on every run; and more versions of a harm, good ones and damaged ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq

from leads.db.model_changes import CHALLENGER, CHAMPION
from leads.settings import Settings
from models import manifest
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import RunRecord
from models.text.sentence import place_of
from models.version import ModelVersion, load
from models.write import Parts, write_version

# Two variants' scores of a subject differ by at least this much log-odds.
_APART = 0.2
# A harm with labels in every simulated world; the versions of harms without labels are copied from it.
_COPIED = "harassment"


def set_champions(settings: Settings, harms: Sequence[str], folder: Path) -> None:
    """Make each harm's newest version its champion, whatever the gate said about it: this measures serving.

    A harm without labels gets a copy of another harm's version.
    """
    registry = MlflowRegistry(settings)
    for number, harm in enumerate(harms):
        known = registry.versions(harm)
        version = known[0].version if known else register_variant(settings, _COPIED, folder, number, harm=harm)
        registry.set_alias(harm, CHAMPION, version)
        if CHALLENGER in registry.aliases(harm):
            registry.drop_alias(harm, CHALLENGER)


def register_variant(settings: Settings, of: str, folder: Path, number: int, *, harm: str | None = None) -> str:
    """Register a copy of version 1 of a harm whose log-odds are all higher by `number` steps.

    Args:
        of: the harm whose version is copied.
        harm: the harm to register the copy for; default: the same.

    Returns:
        The copy's version number.
    """
    registry, harm = MlflowRegistry(settings), harm or of
    place = place_of(settings)
    first = load(registry.fetch(of, "1", folder / "fetched" / of), place)
    parts = _shifted(first, harm, number * _APART)
    made = write_version(folder / "made" / f"{harm}-{number}", parts, place=place)
    return registry.register(harm, made, RunRecord(fingerprint=f"benchmark-{number}"))


def register_bad(settings: Settings, harm: str, folder: Path, number: int) -> str:
    """Register a version, then damage its stored booster; returns the version number."""
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
        card="# A version for benchmarks\n",
        own_start=first.starts_from == "booster",
    )
