"""Verifies versions. The follower does it for its whole host; processes trust its proof, or have a child process do it.

Verifying scores the golden rows, which is a lot of Python at once. In a process that answers requests, all of them
would wait meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import unsatisfied
from leads.errors import FilesDamaged, LeadsError, ModelRefused
from models.version import ModelVersion
from serving.versions.proofs import Proof, check_manifest, marks, proof_of

Load = Callable[[Path], ModelVersion]
Live = Callable[[], FeatureSet]


def verify(load: Load, folder: Path, harm: str, version: str) -> tuple[ModelVersion, Proof]:
    """Load the version in `folder` and verify it: every file's hash, and the golden rows.

    Raises:
        FilesDamaged: a file isn't the one that was registered, or the folder holds another version.
        ModelRefused: the golden rows don't reproduce, or it failed in any other way.
    """
    with _refusing(harm, version):
        before = marks(folder)
        loaded = load(folder)
        _check_number(loaded, harm, version)
        loaded.verify()
        return loaded, proof_of(loaded, before)


def load_proven(load: Load, proof: Proof, folder: Path, harm: str, version: str, live: Live) -> ModelVersion:
    """Load a version that a proof says was verified, and warm it up.

    What is read is hashed, while other threads run. So a file that has changed since is found, whatever its size and
    times say.

    Args:
        load: checks the hash of every file that it reads.
        live: reads the live features; only called if the version needs more than the built-in ones.

    Raises:
        FilesDamaged: a file isn't the one that was verified.
        ModelRefused: the live features can't satisfy the version's contract, or it failed in any other way.
    """
    with _refusing(harm, version):
        check_manifest(folder, proof)
        loaded = load(folder)
        _check_number(loaded, harm, version)
        check_contract(loaded, live)
        warm_up(loaded)
        return loaded


@contextmanager
def _refusing(harm: str, version: str) -> Iterator[None]:
    """Turn every error into ModelRefused."""
    try:
        yield
    except ModelRefused:
        raise
    except Exception as error:
        # A version's files can make the libraries that read them fail in any way. Only this version may be affected.
        raise ModelRefused(
            f"The version failed while it was verified: {reason_of(error)}", field=f"{harm} version {version}"
        ) from error


def _check_number(loaded: ModelVersion, harm: str, version: str) -> None:
    if (loaded.harm, loaded.version) != (harm, version):
        raise FilesDamaged(
            f"The folder holds {loaded.name} version {loaded.version} instead.", field=f"{harm} version {version}"
        )


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
    """Score and explain one subject, so that the first request doesn't pay for one-time set-up."""
    features = np.zeros((1, len(version.contract.columns)), dtype=np.float32)
    version.contributions(version.score(features, ["a text"]).vector)


def reason_of(error: Exception) -> str:
    """An error as a reason for people: the message of a LeadsError, and for other errors the type as well."""
    return str(error) if isinstance(error, LeadsError) else f"{type(error).__name__}: {error}"
