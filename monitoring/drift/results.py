"""What is found of a window, and the verdict.

The verdict of a comparison: the version has drifted if its score has, or at least a tenth of its inputs. An input has
drifted if its values or how often it is missing have. Where neither holds, but windows vary so much that hardly any
change of the score could be seen, there is no verdict. Inputs that are the same constant on both sides, and those that
grow with the platform's age, don't count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from leads.clock import Micros
from leads.messages.wording import short_number
from monitoring.drift.columns import Figures
from monitoring.summaries.summary import SCORE

Against = Literal["reference", "before"]
REFERENCE: Against = "reference"
BEFORE: Against = "before"
DRIFTED_SHARE = 0.1
# With a wider threshold of the score, that nothing is beyond it doesn't say that nothing has changed.
CLEAR_THRESHOLD = 0.5


class ColumnDrift(NamedTuple):
    """A column of a comparison: drifted if `value` exceeds `threshold`.

    Args:
        name: an input, `<input> is missing`, `score`, `flagged`, or what texts have: `length`, `language`, `vocabulary`
            or `encoder`.
        input: the input that it says something about; empty for others.
        p: how likely chance causes at least this value.
        importance: of the input for the version, 0 to 1.
        grows: whether it grows with the platform's age, so that it is no drift.
    """

    name: str
    input: str
    method: str
    value: float
    threshold: float
    p: float
    reference: Figures
    current: Figures
    importance: float
    grows: bool

    @property
    def drifted(self) -> bool:
        return not self.grows and self.value > self.threshold

    @property
    def rank(self) -> float:
        """What to look at first, from high to low."""
        return rank(self.value, self.importance)


@dataclass(frozen=True)
class Comparison:
    """A window compared with a baseline.

    Args:
        version: compared with its reference sample; empty: all versions, compared with the windows before.
        slice: such as `type=comment`; empty: everything.
        since, until: of the window, µs.
        rows, predictions: of the window.
        of_rows: effective number of rows of the baseline.
        alike: what the baseline is, in words.
        columns: the most important drift first.
    """

    harm: str
    version: str
    against: Against
    slice: str
    since: Micros
    until: Micros
    rows: int
    predictions: int
    of_rows: float
    alike: str
    columns: tuple[ColumnDrift, ...]

    def column(self, name: str) -> ColumnDrift | None:
        """The column with this name; None if it can't have drifted: it is the same constant on both sides."""
        return next((one for one in self.columns if one.name == name), None)

    @property
    def inputs(self) -> dict[str, bool]:
        """Whether each input has drifted, without those that grow."""
        found: dict[str, bool] = {}
        for one in self.columns:
            if one.input and not one.grows:
                found[one.input] = found.get(one.input, False) or one.drifted
        return found

    @property
    def share(self) -> float:
        """The share of the inputs that have drifted."""
        inputs = self.inputs
        return sum(inputs.values()) / len(inputs) if inputs else 0.0

    @property
    def score_drifted(self) -> bool:
        score = self.column(SCORE)
        return score is not None and score.drifted

    @property
    def drifted(self) -> bool | None:
        """The verdict; None if a change couldn't have been seen."""
        if self.score_drifted or self.share >= DRIFTED_SHARE:
            return True
        return None if self.unclear else False

    @property
    def unclear(self) -> str:
        """Why it can't be told that nothing has drifted; empty if it can."""
        score = self.column(SCORE)
        if score is None or score.drifted or score.threshold <= CLEAR_THRESHOLD:
            return ""
        return f"only a change of the score above {short_number(score.threshold)} deviations would show"


class TooFew(NamedTuple):
    """A comparison that can't be made, and why."""

    harm: str
    version: str
    against: Against
    slice: str
    since: Micros
    until: Micros
    rows: int
    why: str


def rank(value: float, importance: float) -> float:
    """Effect × importance: what to look at first. Inputs that the trees don't use still rank by their effect."""
    return min(value, 10.0) * (0.01 + importance)


class Measured(NamedTuple):
    """The comparisons of a window, those of everything first, and those that couldn't be made."""

    comparisons: tuple[Comparison, ...]
    too_few: tuple[TooFew, ...]

    @property
    def verdicts(self) -> tuple[Comparison, ...]:
        """The comparisons whose verdicts count: those with the reference; without any, that with the windows before."""
        whole = [one for one in self.comparisons if not one.slice]
        return tuple([one for one in whole if one.against == REFERENCE] or whole)

    @property
    def drifted(self) -> bool | None:
        """The verdict; None if there is none, or a change couldn't have been seen."""
        found = [one.drifted for one in self.verdicts]
        return True if True in found else None if None in found or not found else False
