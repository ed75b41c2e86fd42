"""The proof that a version must give before it serves, in the follower as in every process that loads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from features.evaluate.columns import unsatisfied
from leads.errors import LeadsError, ModelRefused
from models import golden, manifest
from models.version import ModelVersion

Load = Callable[[Path], ModelVersion]


def prove(load: Load, folder: Path, harm: str, version: str) -> ModelVersion:
    """The version in `folder`, loaded, proven and warmed up.

    Raises:
        ModelRefused: it isn't this version, its contract can't be satisfied here, its golden rows don't reproduce, or
            whatever went wrong while it was tried.
    """
    try:
        loaded = load(folder)
        if (loaded.harm, loaded.version) != (harm, version):
            raise ModelRefused(f"The folder holds {loaded.name} version {loaded.version}.")
        check_contract(loaded)
        loaded.verify()
        warm_up(loaded)
    except ModelRefused:
        raise
    except Exception as error:
        # What a version's files can do to the libraries that read them is open-ended; it must hurt this version only.
        raise ModelRefused(f"It can't be tried: {reason_of(error)}", field=f"{harm} version {version}") from error
    return loaded


def check_contract(version: ModelVersion) -> None:
    """Raises ModelRefused when this code can't give the version the features it was trained with."""
    why = unsatisfied(version.contract)
    if why:
        raise ModelRefused(why, field="contract.json")


def warm_up(version: ModelVersion) -> None:
    """Score and explain the golden rows once, so that no request pays for what the first call sets up."""
    rows = golden.GoldenRows.from_json(manifest.read_file(version.folder, manifest.GOLDEN)).vector
    vector = np.array([[np.nan if x is None else x for x in row] for row in rows], dtype=np.float32)
    version.contributions(version.score_vector(vector).vector)


def reason_of(error: Exception) -> str:
    """An error as the reason of a refusal: ours speak for themselves, of others the kind must be named."""
    return str(error) if isinstance(error, LeadsError) else f"{type(error).__name__}: {error}"
