"""Training: quality compared with a tuned linear baseline, calibration, time, memory, repeatability.

Run: python -m benchmarks.training [--quick] [--json PATH] [--encoder [--only PART …] [--splits N] [--keep FOLDER]]

Both sides use the same rows: repeated 80/20 splits that keep equal texts on one side. Differences are paired by split.
Their one-sided 95% lower bound is that of Nadeau and Bengio (2003), which widens the t interval because the training
sets overlap. "Pooled" is the mean over the harms in each split. Across corpora, a model is trained on one corpus and
tested on another that defines violations in nearly the same way. These intervals come from resampling the test rows.

On each split, one test asks whether the ECE is larger than a perfectly calibrated model would have by chance. Another
asks whether a tier's precision is below its target. The splits share rows, so their p-values depend on each other.
Twice their median is a valid p-value in spite of that (Rüschendorf 1982, DiCiccio et al. 2020). It must not fall below
0.05.

Parts that need the public corpora are left out if the corpora are not found.

With --encoder, it measures the encoder that is fine-tuned on all harms instead, on two splits: its quality next to the
baseline and to the stack with MiniLM, behaviour, time, speed, and what it costs the service. That takes some hours;
with --keep, encoders that are made, and those that are half done, are there for the next run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.homes import forget_settings
from benchmarks.report import Report, parser, say
from benchmarks.training import encoder, repeat, scale, texts
from benchmarks.training.parts import across_corpora, text_quality
from leads.settings import load_settings

REPEATS, QUICK_REPEATS = 5, 3
ROWS, QUICK_ROWS = 1_000_000, 200_000


def main() -> int:
    """Run every part and report."""
    takes = parser(__doc__ or "")
    takes.add_argument("--encoder", action="store_true", help="measure the encoder that is fine-tuned")
    takes.add_argument("--only", nargs="+", choices=encoder.PARTS, default=encoder.PARTS, help="of the encoder's parts")
    takes.add_argument("--splits", type=int, metavar="N", default=encoder.SPLITS, help="of the encoder; default: 2")
    takes.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the encoders here (default: they are removed)")
    options = takes.parse_args()
    forget_settings("HOME", "CORPORA", "ENCODER_DIR", "THREADS")
    report = Report("Training, compared with TF-IDF and logistic regression", options.json)
    settings = load_settings()
    if options.encoder:
        encoder.measured(report, settings, options.only, repeats=options.splits, keep=options.keep, quick=options.quick)
        return report.finish()
    rows = QUICK_ROWS if options.quick else ROWS
    report.part("many rows", lambda: scale.many_rows(settings, rows))
    harms = report.attempt("corpora", lambda: texts.text_harms(settings))
    if harms:
        text_quality(report, settings, harms, QUICK_REPEATS if options.quick else REPEATS)
        across_corpora(report, settings)
        report.part("leads train --all", repeat.trained_twice)
    elif harms is not None:
        say("No corpora were found, so quality isn't measured. Set LEADS_CORPORA to the folder that holds them.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
