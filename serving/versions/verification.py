"""Verifies a version before it serves. The follower does this, and every process that loads the version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import unsatisfied
from leads.errors import LeadsError, ModelRefused
from models import golden, manifest
from models.version import ModelVersion

Load = Callable[[Path], ModelVersion]
Live = Callable[[], FeatureSet]


def load_verified(load: Load, folder: Path, harm: str, version: str, live: Live) -> ModelVersion:
    """Load the version in `folder`, verify it and warm it up.

    Args:
        live: reads the live features; only called if the version needs more than the built-in ones.

    Raises:
        ModelRefused: the folder holds another version, the live features can't satisfy the version's contract, its
            golden rows don't reproduce, or it failed in any other way.
    """
    try:
        loaded = load(folder)
        if (loaded.harm, loaded.version) != (harm, version):
            holds = f"The folder holds {loaded.name} version {loaded.version} instead."
            raise ModelRefused(holds, field=f"{harm} version {version}")
        check_contract(loaded, live)
        loaded.verify()
        warm_up(loaded)
    except ModelRefused:
        raise
    except Exception as error:
        # A version's files can make the libraries that read them fail in any way. Only this version may be affected.
        raise ModelRefused(
            f"The version failed while it was verified: {reason_of(error)}", field=f"{harm} version {version}"
        ) from error
    return loaded


def check_contract(version: ModelVersion, live: Live) -> None:
    """Check that the features the version was trained with are live.

    The built-in features always are, so that most versions are checked even while the database can't be reached.

    Raises:
        ModelRefused: one of them isn't, or it is declared differently.
    """
    if unsatisfied(version.contract, BUILTIN) is None:
        return
    why = unsatisfied(version.contract, live())
    if why:
        raise ModelRefused(why, field="contract.json", remedy=f"Train the harm again: leads train {version.harm}")


def warm_up(version: ModelVersion) -> None:
    """Score and explain the golden rows once, so that the first request doesn't pay for one-time set-up."""
    rows = golden.GoldenRows.from_json(manifest.read_file(version.folder, manifest.GOLDEN)).vector
    vector = np.array([[np.nan if x is None else x for x in row] for row in rows], dtype=np.float32)
    version.contributions(version.score_vector(vector).vector)


def reason_of(error: Exception) -> str:
    """An error as a reason for people: the message of a LeadsError, and for other errors the type as well."""
    return str(error) if isinstance(error, LeadsError) else f"{type(error).__name__}: {error}"
