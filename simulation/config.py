"""What a simulated platform looks like: its size, its shares, its periods, its seed."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from leads.clock import Micros
from leads.errors import InvalidInput

# 2025-01-06T00:00:00Z, a Monday: a fixed default, so that one seed gives one history on any day.
DEFAULT_START: Micros = 1_736_121_600_000_000
_EARLIEST: Micros = 1_100_000_000_000_000
_LATEST: Micros = 4_000_000_000_000_000
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")

# Truth is told for these; other types of subject have no policy of their own.
HARMS_OF: dict[str, tuple[str, ...]] = {
    "account": ("stream_manipulation",),
    "comment": ("spam", "identity_hate", "sexism", "harassment"),
}


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Some days in a row. In a `changed` one a campaign with other wording runs, and farms behave differently."""

    name: str
    days: int
    changed: bool = False


class SimulationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides a history, byte for byte.

    Args:
        seed: equal seeds and settings give equal bytes.
        accounts: accounts that exist by the end of the first period; later periods add their part.
        periods: run one after the other in the same world; each is written to its own file.
        start: instant at which the first period begins, µs.
        plays_per_day: plays of an ordinary listener on an ordinary day; heavy ones and farms are multiples of it.
        comments_per_day: comments per account and day, spam left out.
        spam_share: share of comments that are spam, outside changed periods.
        farm_share: share of accounts that belong to a stream-manipulation farm.
        review_share: chance that a comment is judged whether reported or not.
        account_review_share: the same for an account, for each day on which it plays.
        reviewer_miss: chance that a reviewer passes a violation; finding one where there is none is a quarter of it.

    Raises:
        InvalidInput: a value is out of its range; names it.
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
        _check("seed", self.seed, 0, 2**63 - 1)
        _check("accounts", self.accounts, 100, 1_000_000)
        _check("start", self.start, _EARLIEST, _LATEST)
        _check("plays_per_day", self.plays_per_day, 0.05, 100)
        _check("comments_per_day", self.comments_per_day, 0.001, 10)
        for name in ("spam_share", "farm_share", "review_share", "account_review_share", "reviewer_miss"):
            _check(name, getattr(self, name), 0.0, 0.5)
        _check("periods", len(self.periods), 1, 100)
        for period in self.periods:
            _check("periods.days", period.days, 1, 3_650)
            if not _NAME.fullmatch(period.name):
                raise InvalidInput(
                    f"{period.name!r} can't name a period.", field="periods.name", remedy="Use a-z, 0-9 and hyphens."
                )
        if len({period.name for period in self.periods}) != len(self.periods):
            raise InvalidInput("Two periods have the same name.", field="periods.name", remedy="Rename one of them.")

    @property
    def days(self) -> int:
        """Days of all periods."""
        return sum(period.days for period in self.periods)


def _check(field: str, value: float, least: float, most: float) -> None:
    # Written so that NaN fails too.
    if not least <= value <= most:
        raise InvalidInput(f"{value} is out of range.", field=field, remedy=f"Give a value from {least} to {most}.")


Preset = Literal["standard", "small"]


def preset(name: Preset, *, seed: int = 1, start: Micros = DEFAULT_START) -> SimulationConfig:
    """`standard`: 5,000 accounts over 30 days and a change of 2. `small`: minutes instead of hours to work through.

    The small one has more farms and more reviews than any real platform, so that each harm has enough labels to learn.
    """
    if name == "standard":
        return SimulationConfig(seed=seed, start=start)
    return SimulationConfig(
        seed=seed,
        start=start,
        accounts=700,
        periods=(Period("history", 10), Period("change", 2, changed=True)),
        plays_per_day=0.6,
        comments_per_day=0.3,
        spam_share=0.08,
        farm_share=0.22,
        review_share=0.25,
        account_review_share=0.04,
    )
