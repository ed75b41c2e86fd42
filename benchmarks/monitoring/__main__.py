"""Monitoring: planted changes, quiet months, simulated months, real texts, and its speed next to plain Evidently.

Run: python -m benchmarks.monitoring [--quick] [--only PART …] [--months N] [--json PATH]

Predictions, events and verdicts are generated (`generated.py`), with what makes real windows differ without drift: the
rhythm of days and weeks, accounts that stay active for hours, ages that grow, heavy tails. Monitoring's own jobs and
rules watch them, by the clock of the platform: four weeks of history, then two runs an hour. A change counts as named
if an alert of the right rule opens in time, about the right column or slice. Every alert of a quiet month is false.
The part `months` simulates platforms end to end instead, with all changes in one month: events, features, models.

The part `texts` needs the public corpora: models that were trained on some of their texts score others, and what
monitoring says about these is compared with their labels. It is left out if the corpora aren't found.
"""

from __future__ import annotations

import sys

from benchmarks.homes import forget_settings
from benchmarks.monitoring import planted
from benchmarks.monitoring.months import watch
from benchmarks.monitoring.plain import evidently
from benchmarks.monitoring.speed import speed
from benchmarks.monitoring.texts import texts
from benchmarks.report import Report, parser
from leads.settings import load_settings

SEEDS, QUICK_SEEDS = 20, 2
MONTHS, QUICK_MONTHS = 12, 2
# Its figures hardly differ between platforms.
_MOST_FOR_EVIDENTLY = 5
# Platforms on which everything is simulated, end to end.
_SIMULATED, _QUICK_SIMULATED = 3, 1
_PARTS = ("speed", "changes", "quiet", "months", "texts", "evidently")


def main() -> int:
    """Run the parts and report."""
    takes = parser(__doc__ or "")
    takes.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS, help="only these parts")
    takes.add_argument("--months", type=int, metavar="N", help=f"quiet months (default {MONTHS})")
    takes.add_argument("--seeds", type=int, metavar="N", help=f"platforms for each change (default {SEEDS})")
    options = takes.parse_args()
    report = Report("Monitoring", options.json)
    seeds = options.seeds or (QUICK_SEEDS if options.quick else SEEDS)
    months = options.months or (QUICK_MONTHS if options.quick else MONTHS)
    if "speed" in options.only:
        report.part("speed", lambda: speed(options.quick))
    if "changes" in options.only:
        report.part("planted changes", lambda: planted.changes(range(1, seeds + 1)))
    if "quiet" in options.only:
        report.part("quiet months", lambda: planted.quiet_months(range(101, 101 + months)))
    if "months" in options.only:
        simulated = options.seeds or (_QUICK_SIMULATED if options.quick else _SIMULATED)
        report.part("simulated months", lambda: watch.simulated_months(range(1, simulated + 1)))
    if "texts" in options.only:
        forget_settings("HOME", "CORPORA", "ENCODER_DIR")
        texts(report, load_settings(), quick=options.quick)
    if "evidently" in options.only:
        report.part("plain Evidently", lambda: evidently(range(1, min(seeds, _MOST_FOR_EVIDENTLY) + 1)))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
