"""Trains on a million rows of 60 columns and says what it took; run as a process of its own, so that its memory is."""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np

from features.contract import FeatureContract
from features.evaluate.columns import contract_for
from training.fit.model import fit

COLUMNS = 60


def main(rows: int, threads: int) -> None:
    """Print seconds, MB beyond the data at the peak, trees, and the booster's hash, as JSON."""
    import hashlib

    whole = contract_for(text=False)
    contract = FeatureContract(whole.feature_service, whole.columns[:COLUMNS], whole.encoder_version)
    random = np.random.default_rng(1)
    # Drawn as it stays: what making the data takes must not hide what training takes.
    features = random.standard_exponential((rows, COLUMNS), dtype=np.float32)
    features[random.random(rows) < 0.3, :10] = np.nan
    pull = np.nan_to_num(features[:, 0]) + features[:, 20] * features[:, 30] + 0.5 * features[:, 40] - 4.5
    labels = random.random(rows) < 1 / (1 + np.exp(-pull))
    groups = random.integers(0, 5, rows)
    del pull
    # One small fit first: what the libraries take once isn't the rows'.
    some = slice(0, 2_000)
    fit(contract, features[some], labels[some], groups[some], counts=None, rows=np.arange(2_000), threads=1, seed=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    fitted = fit(contract, features, labels, groups, counts=None, rows=np.arange(rows), threads=threads, seed=1)
    seconds = time.perf_counter() - started
    beyond = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1_024
    made = bytes(fitted.booster.save_raw("ubj")) + fitted.calibrator.to_json()
    found = {
        "seconds": seconds,
        "beyond_mb": beyond,
        "data_mb": features.nbytes / 2**20,
        "trees": fitted.rounds,
        "hash": hashlib.sha256(made).hexdigest(),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
