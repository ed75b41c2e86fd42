"""The gate: whether a version may become champion. What fails here isn't promoted, unless somebody overrides it."""

from __future__ import annotations

import msgspec

from features.evaluate.columns import unsatisfied
from leads.errors import ModelRefused
from leads.policies import HarmPolicy
from leads.settings import Settings
from models.version import ModelVersion
from training.data.dataset import Dataset
from training.gate import checks, scores
from training.gate.checks import Check, Judged
from training.gate.side_by_side import held_out

# Resamples and simulations are drawn from it, so that equal rows give an equal verdict.
SEED = 7
__all__ = ["Check", "GateReport", "judge", "unmeasured"]


class GateReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the gate found.

    Args:
        champion: the version it was compared with; None when it was judged alone, and `alone` says why.
        rows, positives: the held-out rows that stand for what is scored on the platform.
    """

    harm: str
    candidate: str
    champion: str | None
    alone: str
    rows: int
    positives: int
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    def text(self) -> str:
        """That it passed, against whom, or what failed."""
        if self.passed:
            ranked = next((check.found for check in self.checks if check.name == "ranking"), "nothing measured")
            said = f"It passes the gate: {ranked}; {self.rows:,} held-out rows."
        else:
            reasons = "; ".join(f"{check.name}: {check.found}, needed {check.needed}" for check in self.failed)
            said = f"The gate blocks it: {reasons}."
        return said if self.champion else f"{said} {self.alone}".strip()

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_json(raw: str) -> GateReport:
        """Raises ModelRefused when the text holds no report."""
        try:
            return msgspec.json.decode(raw, type=GateReport)
        except msgspec.MsgspecError as error:
            raise ModelRefused(f"The kept gate report can't be read: {error}.", field="model_changes.gate") from error


def judge(
    settings: Settings,
    policy: HarmPolicy,
    harm: str,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    data: Dataset,
    *,
    alone: str = "",
    seed: int = SEED,
) -> GateReport:
    """Judge a version on the harm's held-out rows.

    A champion whose contract this code can't satisfy doesn't answer any more where this code serves, so that the
    candidate is judged as if there were none.

    Args:
        champion: None when there is none to compare with.
        alone: why there is none.
    """
    rows = held_out(data)
    why = unsatisfied(champion.contract) if champion else None
    if champion and why:
        alone = f"Version {champion.version} can't be compared. {why}"
        champion = None
    found = [checks.contract(candidate)]
    if found[0].passed:
        judged = Judged(policy, candidate, champion, rows, seed)
        found += [
            *scores.ranking(judged),
            scores.calibration(judged),
            scores.tiers(judged),
            checks.behaves(judged, settings),
            checks.parts(judged),
            checks.latency(judged),
        ]
    return GateReport(
        harm=harm,
        candidate=candidate.version,
        champion=champion.version if champion else None,
        alone=alone,
        rows=int(rows.served.sum()),
        positives=int(rows.labels[rows.served].sum()),
        checks=tuple(found),
    )


def unmeasured(harm: str, candidate: ModelVersion, why: str) -> GateReport:
    """The report when there are no rows to judge on: it fails, but for what needs none."""
    rows = Check("held-out rows", "none", "enough of each kind", False, why)
    return GateReport(harm, candidate.version, None, why, 0, 0, (checks.contract(candidate), rows))
