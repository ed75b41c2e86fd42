"""The comparison of two checkouts' speed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.compare import SpeedRatio, in_turns, python_of, run_quick, speed_ratios, timings
from benchmarks.report import Measure
from leads.errors import ConfigurationError, LeadsError

# Notes which checkout ran, and exits with 1, as a benchmark does whose bar is missed.
BENCHMARK = """\
import json, os, sys
from pathlib import Path
assert sys.argv[1] == "--quick" and os.environ["PYTHONPATH"].startswith(os.getcwd())
with open({log!r}, "a") as log:
    log.write({name!r} + " ")
rows = [{{"name": "read", "value": {ms}, "unit": "ms", "bar": "", "holds": None}},
        {{"name": "only " + {name!r}, "value": 1.0, "unit": "s", "bar": "", "holds": None}}]
Path(sys.argv[3]).write_text(json.dumps(rows))
sys.exit(1)
"""


def checkout(folder: Path, source: str) -> Path:
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "features.py").write_text(source)
    return folder


def test_both_checkouts_run_in_turns_and_common_timings_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(tmp_path / "log")
    base = checkout(tmp_path / "base", BENCHMARK.format(log=log, name="base", ms=2.0))
    here = checkout(tmp_path / "here", BENCHMARK.format(log=log, name="here", ms=3.0))
    (one,) = in_turns(base, here, "features", 3, tmp_path)
    assert Path(log).read_text().split() == ["base", "here", "here", "base", "base", "here"]
    assert one.name == "read"
    assert (one.ratio, one.low, one.high) == pytest.approx((1.5, 1.5, 1.5))
    assert "only base; only here" in capsys.readouterr().err


def test_a_run_without_rows_is_an_error_that_shows_what_was_printed(tmp_path: Path) -> None:
    broken = checkout(tmp_path / "base", "raise SystemExit('The gate held spam back.')")
    with pytest.raises(LeadsError, match="The gate held spam back"):
        run_quick(broken, "features", tmp_path)
    with pytest.raises(ConfigurationError, match="doesn't exist"):
        python_of(tmp_path)


def test_rates_count_by_their_inverse_and_rows_without_a_value_are_left_out() -> None:
    rows = [
        Measure("read", 4.0, "ms"),
        Measure("fit", 2.0, "s"),
        Measure("write", 50.0, "rows/s"),
        Measure("lost", None, "ms", "", False),
        Measure("none", 0.0, "ms"),
        Measure("twice", 1.0, "ms"),
        Measure("twice", 2.0, "ms"),
        Measure("times faster", 9.0, "ratio"),
    ]
    assert timings(rows) == {"read": 0.004, "fit": 2.0, "write": 0.02}


def test_the_interval_is_that_of_the_mean_log_ratio() -> None:
    base = [{"read": 1.0}, {"read": 1.0}, {"read": 4.0}]
    here = [{"read": 1.0}, {"read": 2.0}, {"read": 16.0}]
    (one,) = speed_ratios(base, here)
    assert one.ratio == pytest.approx(2.0)
    # log ratios 0, ln 2, 2 ln 2: standard error ln 2 / sqrt 3, and t(0.975, 2) is 4.3027.
    assert one.low == pytest.approx(2.0 * 2 ** (-4.3027 / 3**0.5), rel=1e-4)
    assert one.high == pytest.approx(2.0 * 2 ** (4.3027 / 3**0.5), rel=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.9, 1.1, "kept"), (1.2, 1.3, "slower"), (1.0, 1.2, "unclear"), (0.4, 0.6, "kept")]
)
def test_the_verdict_follows_the_whole_interval(low: float, high: float, verdict: str) -> None:
    assert SpeedRatio("read", (low + high) / 2, low, high).verdict(1.1) == verdict
