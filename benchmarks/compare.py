"""Compares the speed of this checkout with another one, to show that a change has kept it.

Run: python -m benchmarks.compare BASE_DIR [--name features|serving] [--pairs N] [--limit RATIO] [--json PATH]

Both checkouts run the same benchmark with `--quick`, alternately. Each uses its own code and its own `.venv`. For each
timing that both report, the table shows a ratio: the time in this checkout divided by the time in the other one. It is
the geometric mean over the pairs, with its 95% t interval. Rates are inverted, so more than 1 always means slower. The
verdict is `slower` if the whole interval is above the limit, `kept` if the whole interval is at or below it, and
`unclear` otherwise; then run more pairs. With many timings, a few intervals miss the true ratio by chance.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.markup import escape
from rich.table import Table

from benchmarks.report import REPOSITORY, Measure, console, read_json, say, write_json
from leads.errors import ConfigurationError, LeadsError

NAMES = ("features", "serving")
_DURATIONS = ("ms", "s")
_TAIL = 3_000

# Seconds, or seconds per unit of work, by the row's name.
Timings = Mapping[str, float]


class SpeedRatio(NamedTuple):
    """How long this checkout takes, as a multiple of the base's time, with a 95% interval."""

    name: str
    ratio: float
    low: float
    high: float

    def verdict(self, limit: float) -> str:
        """`slower`, `kept` or `unclear`, by the largest ratio that counts as kept."""
        if self.low > limit:
            return "slower"
        return "kept" if self.high <= limit else "unclear"


def timings(measures: Sequence[Measure]) -> Timings:
    """The timings among a benchmark's rows; rows without a value, and names that come twice, are left out.

    >>> timings([Measure("read", 4.0, "ms"), Measure("write", 50.0, "rows/s"), Measure("memory", 3.0, "MB")])
    {'read': 0.004, 'write': 0.02}
    """
    found: dict[str, float] = {}
    names = [measure.name for measure in measures]
    for measure in measures:
        value = measure.value
        if value is None or not math.isfinite(value) or value <= 0 or names.count(measure.name) > 1:
            continue
        if measure.unit in _DURATIONS:
            found[measure.name] = value / 1_000 if measure.unit == "ms" else value
        elif measure.unit.endswith("/s"):
            found[measure.name] = 1 / value
    return found


def speed_ratios(base: Sequence[Timings], here: Sequence[Timings]) -> list[SpeedRatio]:
    """One ratio per timing that every run of both checkouts reports, in their order.

    Args:
        base: the other checkout's runs.
        here: this checkout's runs, in the same order: the nth of both are a pair.
    """
    common = [name for name in here[0] if all(name in run for run in (*base, *here))]
    return [_ratio(name, [math.log(b[name] / a[name]) for a, b in zip(base, here, strict=True)]) for name in common]


def run_quick(checkout: Path, name: str, folder: Path) -> Timings:
    """Run a benchmark in a checkout.

    Raises:
        LeadsError: it ended without writing its rows; shows the end of what it printed.
    """
    rows, log = folder / "rows.json", folder / "log.txt"
    rows.unlink(missing_ok=True)
    packages = os.pathsep.join((str(checkout), str(checkout / "clients" / "python")))
    with log.open("wb") as out:
        ran = subprocess.run(
            [python_of(checkout), "-m", f"benchmarks.{name}", "--quick", "--json", str(rows)],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": packages},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    # A bar that doesn't hold also makes the exit code non-zero, so only the file tells whether it ran.
    if not rows.exists():
        printed = log.read_text(errors="replace")[-_TAIL:]
        raise LeadsError(f"benchmarks.{name} in {checkout} exited with {ran.returncode} and no rows:\n{printed}")
    return timings(read_json(rows))


def python_of(checkout: Path) -> str:
    """The Python of a checkout's environment.

    Raises:
        ConfigurationError: it has none.
    """
    python = checkout / ".venv" / "bin" / "python"
    if not python.exists():
        raise ConfigurationError(f"{python} doesn't exist.", field=str(checkout), remedy="Run `make setup` there.")
    return str(python)


def in_turns(base: Path, here: Path, name: str, pairs: int, folder: Path) -> list[SpeedRatio]:
    """Run `pairs` pairs; which checkout goes first alternates."""
    runs: dict[Path, list[Timings]] = {base: [], here: []}
    for pair in range(pairs):
        order = [base, here] if pair % 2 == 0 else [here, base]
        for checkout in order:
            say(f"pair {pair + 1} of {pairs}: {name} in {checkout}")
            runs[checkout].append(run_quick(checkout, name, folder))
    found = speed_ratios(runs[base], runs[here])
    reported = {row for run in (*runs[base], *runs[here]) for row in run}
    left_out = sorted(reported - {one.name for one in found})
    if left_out:
        say(f"Not compared, because not every run has them: {'; '.join(left_out)}")
    return found


def main() -> int:
    """Compare and report; the exit code is 1 when a timing is slower, or nothing could be compared."""
    options = _options()
    base: Path = options.base.resolve()
    try:
        if base == REPOSITORY:
            raise ConfigurationError(f"{base} is this checkout.", field="BASE_DIR", remedy="Name another one.")
        for checkout in (base, REPOSITORY):
            python_of(checkout)
        with tempfile.TemporaryDirectory() as temporary:
            found = in_turns(base, REPOSITORY, options.name, options.pairs, Path(temporary))
    except LeadsError as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        return 1
    console.print(_table(found, base, options))
    if options.json is not None:
        write_json([_measure(one, options.limit) for one in found], options.json)
    return int(not found or any(one.verdict(options.limit) == "slower" for one in found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, metavar="BASE_DIR", help="the checkout to compare with")
    parser.add_argument("--name", choices=NAMES, default=NAMES[0], help="the benchmark to run (default: features)")
    parser.add_argument("--pairs", type=_pairs, default=5, metavar="N", help="runs of each checkout, at least 2 (5)")
    parser.add_argument("--limit", type=float, default=1.1, metavar="RATIO", help="slower above this ratio (1.1)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the ratios to this file")
    return parser.parse_args()


def _pairs(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pairs: an interval takes 2 or more")
    return int(text)


def _ratio(name: str, logs: Sequence[float]) -> SpeedRatio:
    from scipy.stats import t

    mean, n = float(np.mean(logs)), len(logs)
    half = float(t.ppf(0.975, n - 1) * np.std(logs, ddof=1) / math.sqrt(n))
    return SpeedRatio(name, math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def _measure(one: SpeedRatio, limit: float) -> Measure:
    return Measure(one.name, one.ratio, "ratio", f"≤ {limit:g}", one.verdict(limit) != "slower")


def _table(found: Sequence[SpeedRatio], base: Path, options: argparse.Namespace) -> Table:
    title = f"benchmarks.{options.name}: time here / time in {base}, {options.pairs} pairs; limit {options.limit:g}"
    table = Table(title=escape(title), title_justify="left")
    for name in ("timing", "ratio", "95% interval", "verdict"):
        table.add_column(name, justify="left" if name in ("timing", "verdict") else "right")
    colours = {"slower": "red", "kept": "green", "unclear": "yellow"}
    for one in found:
        verdict = one.verdict(options.limit)
        interval = f"{one.low:.3g} to {one.high:.3g}"
        table.add_row(escape(one.name), f"{one.ratio:.3f}", interval, f"[{colours[verdict]}]{verdict}[/]")
    return table


if __name__ == "__main__":
    sys.exit(main())
