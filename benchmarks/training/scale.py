"""Training on many rows of 60 columns, in a process of its own, so that its peak memory is that of the training."""

from __future__ import annotations

import hashlib
import json
import resource
import sys

import numpy as np

from benchmarks.report import Measure, at_least, at_most, say
from benchmarks.timing import timed
from benchmarks.training.repeat import python
from features.contract import FeatureContract
from features.evaluate.columns import contract_for
from leads.settings import Settings
from training.fit.model import Fit, fit

COLUMNS = 60


def many_rows(settings: Settings, rows: int) -> list[Measure]:
    """Time, memory and repeatability of two trainings on the same rows."""
    say(f"{rows:,} rows of {COLUMNS} columns, twice")
    command = ["-m", "benchmarks.training.scale", str(rows), str(settings.threads)]
    made = [json.loads(python(command)) for _ in range(2)]
    name = f"{rows:,} rows × {COLUMNS} columns"
    return [
        Measure(f"{name}: fit", made[0]["seconds"], "s"),
        Measure(f"{name}: trees", made[0]["trees"], ""),
        Measure(f"{name}: the data", made[0]["data_mb"], "MB"),
        at_most(f"{name}: memory beyond the data", max(each["beyond_mb"] for each in made), "MB", 2_048),
        at_least(f"{name}: trained twice, the same bit for bit", float(made[0]["hash"] == made[1]["hash"]), "", 1),
    ]


def main(rows: int, threads: int) -> None:
    """Print seconds, peak MB beyond the data, trees, and the hash of the model, as JSON."""
    whole = contract_for(text=False)
    contract = FeatureContract(whole.feature_service, whole.columns[:COLUMNS], whole.encoder_version)
    random = np.random.default_rng(1)
    # Drawn in place, so that making the data has no higher peak than the training.
    features = random.standard_exponential((rows, COLUMNS), dtype=np.float32)
    features[random.random(rows) < 0.3, :10] = np.nan
    pull = np.nan_to_num(features[:, 0]) + features[:, 20] * features[:, 30] + 0.5 * features[:, 40] - 4.5
    labels = random.random(rows) < 1 / (1 + np.exp(-pull))
    groups = random.integers(0, 5, rows)
    del pull

    def fitted(first: int, threads: int) -> Fit:
        some = slice(0, first)
        at = np.arange(first)
        return fit(contract, features[some], labels[some], groups[some], counts=None, rows=at, threads=threads, seed=1)

    # A small fit first: the memory that the libraries take once doesn't depend on the rows.
    fitted(2_000, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made: list[Fit] = []
    seconds = timed(lambda: made.append(fitted(rows, threads)))
    beyond = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1_024
    model = bytes(made[0].booster.save_raw("ubj")) + made[0].calibrator.to_json()
    found = {
        "seconds": seconds,
        "beyond_mb": beyond,
        "data_mb": features.nbytes / 2**20,
        "trees": made[0].rounds,
        "hash": hashlib.sha256(model).hexdigest(),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
