"""Settings of a simulated platform: size, shares, periods, seed."""

from __future__ import annotations

import re
from typing import Literal, get_args

import msgspec

from leads.clock import Micros
from leads.errors import InvalidInput

# 2025-01-06T00:00:00Z, a Monday. Fixed, so that a seed gives the same history whenever it is run.
DEFAULT_START: Micros = 1_736_121_600_000_000
_MIN_START: Micros = 1_100_000_000_000_000
_MAX_START: Micros = 4_000_000_000_000_000
_PERIOD_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")

# The subject types whose truth is recorded, and their harms. No policy covers other types.
HARMS_BY_TYPE: dict[str, tuple[str, ...]] = {
    "account": ("stream_manipulation",),
    "comment": ("spam", "identity_hate", "sexism", "harassment"),
}


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Consecutive days. In a `changed` period spam uses new wording and farms behave differently, to cause drift."""

    name: str
    days: int
    changed: bool = False


class SimulationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of a simulation. Equal settings and seed give equal bytes.

    Args:
        seed: seed of all random numbers.
        accounts: accounts at the end of the first period; later periods add some in proportion to their length.
        periods: simulated one after another in the same world, each written to its own file.
        start: when the first period begins, µs since epoch.
        plays_per_day: plays of an average listener on a weekday; heavy listeners and farms play a multiple of it.
        comments_per_day: comments per account and day, not counting spam.
        spam_share: share of comments that are spam, outside changed periods.
        farm_share: share of accounts that belong to stream-manipulation farms.
        review_share: probability that a comment is reviewed regardless of reports.
        account_review_share: the same for an account, on each day on which it plays.
        reviewer_miss: probability that a reviewer misses a violation; false alarms are a quarter as likely.

    Raises:
        InvalidInput: a value is out of range.
    """

    seed: int = 1
    accounts: int = 5_000
    periods: tuple[Period, ...] = (Period("history", 30), Period("change", 2, changed=True))
    start: Micros = DEFAULT_START
    plays_per_day: float = 1.2
    comments_per_day: float = 0.07
    spam_share: float = 0.07
    farm_share: float = 0.04
    review_share: float = 0.15
    account_review_share: float = 0.02
    reviewer_miss: float = 0.08

    def __post_init__(self) -> None:
        _check_range("seed", self.seed, 0, 2**63 - 1)
        _check_range("accounts", self.accounts, 100, 1_000_000)
        _check_range("start", self.start, _MIN_START, _MAX_START)
        _check_range("plays_per_day", self.plays_per_day, 0.05, 100)
        _check_range("comments_per_day", self.comments_per_day, 0.001, 10)
        for name in ("spam_share", "farm_share", "review_share", "account_review_share", "reviewer_miss"):
            _check_range(name, getattr(self, name), 0.0, 0.5)
        _check_range("periods", len(self.periods), 1, 100)
        for period in self.periods:
            _check_range("periods.days", period.days, 1, 3_650)
            if not _PERIOD_NAME.fullmatch(period.name):
                raise InvalidInput(
                    f"{period.name!r} is not a valid period name.",
                    field="periods.name",
                    remedy="Start with a letter and use at most 32 characters: a-z, 0-9 and hyphens.",
                )
        if len({period.name for period in self.periods}) != len(self.periods):
            raise InvalidInput("Two periods have the same name.", field="periods.name", remedy="Rename one of them.")

    @property
    def days(self) -> int:
        """Total days of all periods."""
        return sum(period.days for period in self.periods)


def _check_range(field: str, value: float, least: float, most: float) -> None:
    # Not `value < least or ...`: NaN must fail too.
    if not least <= value <= most:
        raise InvalidInput(f"{value} is out of range.", field=field, remedy=f"Use a value from {least} to {most}.")


Preset = Literal["standard", "demo", "small"]
PRESETS: tuple[Preset, ...] = get_args(Preset)


_AFTERWARDS = (Period("recent", 2), Period("change", 2, changed=True))


def preset(name: Preset, *, seed: int = 1, start: Micros = DEFAULT_START) -> SimulationConfig:
    """`standard`: 5,000 accounts, 30 days and a changed period of 2. `demo` and `small` take minutes to train on.

    In both, nothing changes in the period `recent` after `history`, so it shows how good models of the history are.
    They have more farms and more reviews than a real platform, so that each harm gets enough labels for training.
    """
    if name == "standard":
        return SimulationConfig(seed=seed, start=start)
    if name == "demo":
        return SimulationConfig(
            seed=seed,
            start=start,
            accounts=2_000,
            periods=(Period("history", 21), *_AFTERWARDS),
            farm_share=0.06,
            account_review_share=0.08,
        )
    return SimulationConfig(
        seed=seed,
        start=start,
        accounts=700,
        periods=(Period("history", 10), *_AFTERWARDS),
        plays_per_day=0.6,
        comments_per_day=0.3,
        spam_share=0.08,
        farm_share=0.22,
        review_share=0.25,
        account_review_share=0.04,
    )
