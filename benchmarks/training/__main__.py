"""Training: quality of the text harms beside a tuned linear baseline, calibration, time, memory, repeatability.

Run: python -m benchmarks.training.__main__ [--quick] [--json PATH]

Both sides see the same rows: repeated 80/20 splits in which equal texts stay together. Differences are paired by
repeat; their one-sided 95% lower bound is Nadeau and Bengio's (2003), which widens the t interval because training sets
overlap. Pooled means the mean over the harms, repeat by repeat. Across corpora, what was learned on one is tested on
another that means nearly the same by a violation; intervals come from resampling the test rows.

Calibration: each repeat's ECE has a p-value against its own distribution under perfect calibration, and each tier's
precision one against its target. Repeats share rows, so the p-values depend on each other; twice their median is a
valid p-value whatever the dependence (Rüschendorf 1982, DiCiccio et al. 2020), and must not fall below 0.05.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.report import Measure, arguments, at_least, at_most, report
from benchmarks.training import quality, texts
from benchmarks.training.quality import Run, SetUp
from benchmarks.training.texts import Corpus
from leads.errors import ConfigurationError
from leads.policies import load_policies
from leads.settings import Settings, load_settings
from models.text.sentence import open_encoder, place_of

REPEATS, QUICK_REPEATS = 5, 3
ROWS, QUICK_ROWS = 1_000_000, 200_000
_TIMED_TEXTS = 400


def main() -> int:
    """Measure everything; what needs the corpora is left out without them."""
    options = arguments(__doc__.splitlines()[0] if __doc__ else "")
    settings = load_settings()
    measures = _scale(settings, QUICK_ROWS if options.quick else ROWS)
    harms = texts.text_harms(settings)
    if harms:
        measures += _text(settings, harms, QUICK_REPEATS if options.quick else REPEATS)
        measures += _retrain(settings)
    else:
        _say("No corpora found, so quality isn't measured: set LEADS_CORPORA to the folder that holds them.")
    return report("Training, beside a tuned TF-IDF logistic regression", measures, options.json)


def _text(settings: Settings, harms: list[Corpus], repeats: int) -> list[Measure]:
    peers = {}
    for corpus in harms:
        _say(f"baseline: {corpus.harm}, {len(corpus.texts):,} texts, {repeats} repeats")
        peers[corpus.harm] = quality.baselines(corpus, repeats)
    policies = load_policies(settings.policies).harms
    measures = []
    for set_up in _set_ups(settings):
        by_harm: dict[str, list[Run]] = {}
        for corpus in harms:
            _say(f"{set_up.name}: {corpus.harm}")
            counts = quality.counts_of(corpus, set_up)
            by_harm[corpus.harm] = [
                quality.run(settings, policies[corpus.harm], corpus, counts, seed, peer)
                for seed, peer in enumerate(peers[corpus.harm])
            ]
            measures += quality.measures(corpus.harm, set_up.name, by_harm[corpus.harm])
        measures += _pooled(set_up.name, by_harm)
        measures += _speed(settings, harms[0], set_up)
    return measures + _across(settings)


def _set_ups(settings: Settings) -> list[SetUp]:
    """`best` last, when its encoder is installed."""
    set_ups = [SetUp("default", None)]
    try:
        set_ups.append(SetUp("best", open_encoder(place_of(settings))))
    except ConfigurationError as error:
        _say(f"The set-up with the sentence encoder isn't measured. {error}")
    return set_ups


def _pooled(set_up: str, by_harm: dict[str, list[Run]]) -> list[Measure]:
    better = np.array([[run.ours.ap - run.peer.ap for run in runs] for runs in by_harm.values()]).mean(axis=0)
    bar = 0.03 if set_up == "best" else 0.0
    return [
        at_least(f"pooled, {set_up}: AP ours − baseline", float(better.mean()), "", bar),
        at_least(f"pooled, {set_up}: the same, 95% lower bound", quality.lower_bound(better), "", 0.0),
    ]


def _speed(settings: Settings, corpus: Corpus, set_up: SetUp) -> list[Measure]:
    """Scoring new texts, one process: nothing of them is in the cache of vectors."""
    counts, rows = quality.counts_of(corpus, set_up), texts.split(corpus, 0)
    _, version = quality.train(settings, corpus, counts, rows, 0)
    # No earlier run left vectors of these.
    new_texts = [f"{text} {time.time_ns()} {i}" for i, text in enumerate(corpus.texts[:_TIMED_TEXTS])]
    started = time.perf_counter()
    quality.score(version, new_texts)
    seconds = time.perf_counter() - started
    return [Measure(f"{set_up.name}: new texts scored", len(new_texts) / seconds, "texts/s")]


def _across(settings: Settings) -> list[Measure]:
    by_set_up: dict[str, list[float]] = {}
    measures = []
    for learned, tested in texts.CROSS:
        corpus, rows = texts.across(*(texts.read(settings, key, [key]) for key in (learned, tested)))
        _say(f"across: {corpus.harm}")
        peer = texts.baseline(corpus, rows, 0)
        for set_up in _set_ups(settings):
            ap, peer_ap, better = quality.across(settings, corpus, rows, set_up, peer)
            name = f"{corpus.harm}, {set_up.name}"
            measures += [
                Measure(f"{name}: average precision", ap, ""),
                Measure(f"{name}: average precision, baseline", peer_ap, ""),
                Measure(
                    f"{name}: difference, 95% interval from {better.low:+.3f} to {better.high:+.3f}", ap - peer_ap, ""
                ),
            ]
            by_set_up.setdefault(set_up.name, []).append(ap - peer_ap)
    for name, differences in by_set_up.items():
        measures.append(
            at_least(f"across corpora, {name}: mean AP ours − baseline", float(np.mean(differences)), "", 0)
        )
    return measures


def _retrain(settings: Settings) -> list[Measure]:
    """The command as users run it, from nothing: features, fits, measures, plots, registration."""
    _say("leads train --all, twice")
    seconds, hashes = [], []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as home:
            started = time.perf_counter()
            given = {"LEADS_HOME": home, "LEADS_ENCODER": "none"}
            _run(["-P", "-m", "cli", "train", "--all", "--quiet"], given)
            seconds.append(time.perf_counter() - started)
            hashes.append(_registered(home))
    same = float(bool(hashes[0]) and hashes[0] == hashes[1])
    return [
        at_most("leads train --all on the corpora", min(seconds), "s", 180),
        at_least(f"{len(hashes[0])} files of the versions trained twice are the same, bit for bit", same, "", 1),
    ]


def _registered(home: str) -> dict[str, str]:
    """Hash of each file of each champion in a home, by harm and name, but for what holds a time."""
    from models import manifest
    from models.registry.registry import Registry

    settings = load_settings(home=home)
    registry = Registry(settings)
    found: dict[str, str] = {}
    for harm in load_policies(settings.policies).harms:
        for version in registry.versions(harm):
            about = manifest.read_manifest(registry.fetch(harm, version.version, settings.root / "again" / harm))
            found |= {f"{harm}/{name}": digest for name, digest in about.files.items()}
    return found


def _scale(settings: Settings, rows: int) -> list[Measure]:
    _say(f"{rows:,} rows of 60 columns, twice")
    made = [
        json.loads(_run(["-m", "benchmarks.training.million", str(rows), str(settings.threads)], {})) for _ in range(2)
    ]
    name = f"{rows:,} rows × 60 columns"
    return [
        Measure(f"{name}: fit", made[0]["seconds"], "s"),
        Measure(f"{name}: trees", made[0]["trees"], ""),
        Measure(f"{name}: the data", made[0]["data_mb"], "MB"),
        at_most(f"{name}: memory beyond the data", max(each["beyond_mb"] for each in made), "MB", 2_048),
        at_least(f"{name}: trained twice, the same bit for bit", float(made[0]["hash"] == made[1]["hash"]), "", 1),
    ]


def _run(arguments_: list[str], given: dict[str, str]) -> str:
    environment = os.environ | given
    ran = subprocess.run([sys.executable, *arguments_], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return ran.stdout


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
