"""The gate: decides whether a version may become champion. A version that fails is only promoted by overriding it."""

from __future__ import annotations

import msgspec

from features.declared.feature_set import FeatureSet
from features.evaluate.columns import unsatisfied
from leads.errors import ModelRefused
from leads.policies import HarmPolicy
from leads.settings import Settings
from models.version import ModelVersion
from training.config import SEED
from training.data.dataset import Dataset
from training.evidence import Evidence
from training.gate import checks, scores
from training.gate.checks import GateCheck, Judged
from training.gate.overlap import Overlap
from training.gate.side_by_side import Compared, VersionFigures, held_out


class GateReport(msgspec.Struct, frozen=True):
    """The gate's findings.

    Args:
        champion: the version it was compared with; None if there was none, and `why_no_champion` says why.
        rows, positives: held-out rows that represent what is scored on the platform, and how many of them violate.
        evidence: the same rows, and how many observations they are; None in reports of earlier releases.
        measures: of candidate and champion on these rows; empty if they are too few or too similar.
        figures: of the champion, if there is one, and of the candidate, on these rows.
        overlap: the held-out rows that were left out because one of them was trained on them; None in reports of
            earlier releases.
    """

    harm: str
    candidate: str
    champion: str | None
    # Its name in the reports that the database holds.
    why_no_champion: str = msgspec.field(name="alone")
    rows: int
    positives: int
    checks: tuple[GateCheck, ...]
    evidence: Evidence | None = None
    measures: tuple[Compared, ...] = ()
    figures: tuple[VersionFigures, ...] = ()
    overlap: Overlap | None = None

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[GateCheck, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def excused(self) -> tuple[GateCheck, ...]:
        """The checks that passed only because they are lenient on a first version."""
        return tuple(check for check in self.checks if check.excused)

    def text(self) -> str:
        """A summary: whether it passed and against which version, or what failed."""
        if self.passed:
            ranked = next((check.found for check in self.checks if check.name == "ranking"), "nothing measured")
            summary = f"Passed the gate: {ranked}, on {self._on()}."
            summary += "".join(f" Excused, {check.name}: {check.why}" for check in self.excused)
        else:
            reasons = "; ".join(f"{check.name}: {check.found}, needed {check.needed}" for check in self.failed)
            summary = f"Blocked by the gate: {reasons}."
        return summary if self.champion else f"{summary} {self.why_no_champion}".strip()

    def _on(self) -> str:
        return self.evidence.text() if self.evidence else f"{self.rows:,} held-out rows"

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_json(raw: str) -> GateReport:
        """Parse a report. Raises ModelRefused if the text isn't one."""
        try:
            return msgspec.json.decode(raw, type=GateReport)
        except msgspec.MsgspecError as error:
            raise ModelRefused(f"The stored gate report can't be read: {error}.", field="model_changes.gate") from error


def judge(
    settings: Settings,
    policy: HarmPolicy,
    harm: str,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    data: Dataset,
    *,
    why_no_champion: str = "",
    seed: int = SEED,
) -> GateReport:
    """Run the gate's checks on the harm's held-out rows, without those that one of the versions was trained on.

    A champion whose contract the features can't satisfy can't serve here either, so the candidate is then judged as if
    there were no champion.

    Args:
        champion: the version to compare with; None if there is none.
        why_no_champion: why there is none.
        seed: resamples and simulations are drawn from it, so equal rows give an equal report except for latency.
    """
    why = unsatisfied(champion.contract, data.feature_set) if champion else None
    if champion and why:
        why_no_champion = f"Version {champion.version} can't be compared. {why}"
        champion = None
    rows = held_out(data, (candidate,) if champion is None else (champion, candidate))
    found, judged = [checks.contract(candidate, data.feature_set)], Judged(policy, candidate, champion, rows, seed)
    comparable = found[0].passed and not rows.of_served.missing
    if found[0].passed:
        found += _checks(judged, settings)
    return GateReport(
        harm=harm,
        candidate=candidate.version,
        champion=champion.version if champion else None,
        why_no_champion=why_no_champion,
        rows=rows.of_served.rows,
        positives=rows.of_served.positives,
        checks=tuple(found),
        evidence=rows.of_served,
        measures=judged.measures if comparable else (),
        figures=judged.figures if comparable else (),
        overlap=rows.overlap,
    )


def _checks(judged: Judged, settings: Settings) -> list[GateCheck]:
    enough = checks.enough_rows(judged)
    by_scores = (
        [*scores.ranking(judged), scores.calibration(judged), scores.tiers(judged), checks.slices(judged)]
        if enough.passed
        else []
    )
    return [enough, *by_scores, checks.behaviour(judged, settings), checks.latency(judged)]


def unmeasured(harm: str, candidate: ModelVersion, why: str, features: FeatureSet) -> GateReport:
    """The report if there are no rows to judge on: only the contract is checked, and the gate fails."""
    rows = GateCheck("held-out rows", "none", "enough of both kinds", False, why)
    return GateReport(harm, candidate.version, None, why, 0, 0, (checks.contract(candidate, features), rows))
