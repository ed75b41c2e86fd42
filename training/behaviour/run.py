"""How a version behaves: its harm's suite run on raw text, and where a new version behaves worse than the champion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from features.evaluate.columns import text_only, unsatisfied
from leads.errors import InvalidInput, ModelRefused
from leads.settings import Settings
from models.version import ModelVersion
from training.behaviour.suite import KINDS, Case, Check, Kind, Suite, load

Doubles = npt.NDArray[np.float64]

FILE = "behaviour.json"
COLUMNS = ("case", "kind", "passed", "champion", "weakest group", "")
CHANCE = 0.05
LOST_SHARE = 0.2
# Less than this apart is equal: margins are sums of 32-bit numbers.
_EQUAL = 1e-5


class GroupResult(msgspec.Struct, frozen=True):
    """The checks of a case whose texts name a target group; a check that names two counts for both."""

    group: str
    passed: int
    checks: int


class CaseResult(msgspec.Struct, frozen=True):
    """One case. `bits` holds a 1 for each check that passed, a 0 for each that didn't, in the suite's order."""

    name: str
    kind: Kind
    checks: int
    passed: int
    bits: str
    groups: tuple[GroupResult, ...]


class KindTotal(msgspec.Struct, frozen=True):
    """All cases of one kind together."""

    kind: Kind
    cases: int
    checks: int
    passed: int


class BehaviourReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`behaviour.json`: what a version did on a suite, whose hash is `suite`."""

    harm: str
    suite: str
    texts: int
    cases: tuple[CaseResult, ...]
    kinds: tuple[KindTotal, ...]

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(raw: bytes) -> BehaviourReport:
        """Raises ModelRefused when the bytes hold no report."""
        try:
            return msgspec.json.decode(raw, type=BehaviourReport)
        except msgspec.MsgspecError as error:
            raise ModelRefused(f"{FILE} is not a report of behaviour: {error}.", field=FILE) from error


class Regression(msgspec.Struct, frozen=True):
    """A case, or all cases of a kind (`name` is the kind's), that the candidate passes less of.

    Args:
        lost, gained: checks that only the champion, only the candidate passes.
        p: chance of so many lost or more, were a changed check lost or gained with equal chance.
    """

    name: str
    kind: Kind
    whole_kind: bool
    checks: int
    champion_passed: int
    candidate_passed: int
    lost: int
    gained: int
    p: float
    why: str


class _Compared(NamedTuple):
    """Two strings of bits over the same checks."""

    name: str
    kind: Kind
    whole_kind: bool
    champion: str
    candidate: str


def suite_for(settings: Settings, harm: str) -> Suite | None:
    """The harm's suite: one in `suites` beside its training configuration comes before the one the project brings."""
    return load(harm, settings.training / "suites") or load(harm)


def run(version: ModelVersion, suite: Suite) -> BehaviourReport:
    """Run a suite. The version knows the texts and nothing else, so every stored feature is missing.

    Raises:
        InvalidInput: the suite is another harm's, or the version doesn't judge text.
        ModelRefused: this code can't evaluate the version's contract.
    """
    if version.harm != suite.harm or not version.uses_text:
        raise InvalidInput(
            f"The suite of {suite.harm} can't judge {version.name} {version.version}.",
            field="suite",
            remedy="Run a harm's own suite on a version that judges text.",
        )
    if reason := unsatisfied(version.contract):
        raise ModelRefused(reason, field="contract.json", remedy="Train the harm again with this code.")
    margins = version.score(text_only(version.contract, suite.texts), suite.texts).margin
    cases = tuple(_case_result(case, margins) for case in suite.cases)
    return BehaviourReport(suite.harm, suite.hash, len(suite.texts), cases, _totals(cases))


def report_of(settings: Settings, version: ModelVersion) -> BehaviourReport | None:
    """What the version does on its harm's suite; None where there is none, or it doesn't judge text.

    Raises:
        ModelRefused: as `run`.
    """
    suite = suite_for(settings, version.harm) if version.uses_text else None
    return run(version, suite) if suite else None


def regressions(champion: BehaviourReport, candidate: BehaviourReport) -> tuple[Regression, ...]:
    """Where the candidate passes fewer checks than the champion, case by case and then kind by kind.

    Either the exact one-sided sign test on the checks that differ (McNemar 1947) gives p < 0.05, or the champion passed
    all of them and the candidate loses a fifth or more. Checks of a case share texts, so `p` is a yardstick and no
    exact chance.

    Raises:
        InvalidInput: the reports are of different suites.
    """
    if champion.suite != candidate.suite:
        raise InvalidInput(
            f"The champion's report is of suite {champion.suite}, the candidate's of {candidate.suite}.",
            field="suite",
            remedy="Run the candidate's suite on the champion.",
        )
    pairs = list(zip(champion.cases, candidate.cases, strict=True))
    compared = [_Compared(old.name, old.kind, False, old.bits, new.bits) for old, new in pairs]
    for kind in KINDS:
        old_bits, new_bits = (
            "".join(case.bits for case in r.cases if case.kind == kind) for r in (champion, candidate)
        )
        compared.append(_Compared(kind, kind, True, old_bits, new_bits))
    return tuple(found for one in compared if (found := _regression(one)) is not None)


def rows(report: BehaviourReport, champion: BehaviourReport | None = None) -> list[tuple[str, ...]]:
    """Rows for a table with `COLUMNS`: each case, then each kind. A champion's report of another suite is left out."""
    other = champion if champion is not None and champion.suite == report.suite else None
    worse = {(found.name, found.whole_kind) for found in (regressions(other, report) if other else ())}
    cases: Sequence[CaseResult | None] = other.cases if other else [None] * len(report.cases)
    totals: Sequence[KindTotal | None] = other.kinds if other else [None] * len(report.kinds)
    return [
        *(
            (new.name, new.kind, _share(new), _share(old), _weakest(new.groups), _said((new.name, False) in worse))
            for new, old in zip(report.cases, cases, strict=True)
        ),
        *(
            ("all", new.kind, _share(new), _share(old), "", _said((new.kind, True) in worse))
            for new, old in zip(report.kinds, totals, strict=True)
        ),
    ]


def sign_test(lost: int, gained: int) -> float:
    """Chance that of `lost + gained` fair coins `lost` or more show one side.

    >>> sign_test(5, 0)
    0.03125
    """
    n = lost + gained
    return sum(math.comb(n, k) for k in range(lost, n + 1)) / (1 << n)


def _case_result(case: Case, margins: Doubles) -> CaseResult:
    passed = [_passes(case, check, margins) for check in case.checks]
    bits = "".join("1" if each else "0" for each in passed)
    by_group: dict[str, list[bool]] = {}
    for check, each in zip(case.checks, passed, strict=True):
        for group in check.groups:
            by_group.setdefault(group, []).append(each)
    groups = tuple(GroupResult(group, sum(found), len(found)) for group, found in by_group.items())
    return CaseResult(case.name, case.kind, len(passed), sum(passed), bits, groups)


def _passes(case: Case, check: Check, margins: Doubles) -> bool:
    moved = float(margins[check.of] - np.median(margins[list(check.against)]))
    return abs(moved) <= case.tolerance if case.kind == "invariance" else moved > _EQUAL


def _totals(cases: Sequence[CaseResult]) -> tuple[KindTotal, ...]:
    found = []
    for kind in KINDS:
        of_kind = [case for case in cases if case.kind == kind]
        if of_kind:
            checks, passed = sum(case.checks for case in of_kind), sum(case.passed for case in of_kind)
            found.append(KindTotal(kind, len(of_kind), checks, passed))
    return tuple(found)


def _regression(of: _Compared) -> Regression | None:
    pairs = list(zip(of.champion, of.candidate, strict=True))
    lost, gained = pairs.count(("1", "0")), pairs.count(("0", "1"))
    if lost <= gained:
        return None
    checks, old, new = len(pairs), of.champion.count("1"), of.candidate.count("1")
    p = sign_test(lost, gained)
    passes = f"passes {new} of {checks} checks, the champion {old}"
    if old == checks and lost >= LOST_SHARE * checks:
        why = f"{passes}; it loses {lost / checks:.0%} of what was all passed."
    elif p < CHANCE:
        why = f"{passes}; {lost} lost and {gained} gained are more than chance (p = {p:.3g})."
    else:
        return None
    return Regression(of.name, of.kind, of.whole_kind, checks, old, new, lost, gained, p, why)


def _share(found: CaseResult | KindTotal | None) -> str:
    return "–" if found is None else f"{found.passed} of {found.checks}"


def _weakest(groups: Sequence[GroupResult]) -> str:
    """The target group with the smallest share, where any check that names one fails."""
    weakest = min(groups, key=lambda each: each.passed / each.checks, default=None)
    if weakest is None or weakest.passed == weakest.checks:
        return ""
    return f"{weakest.group}: {weakest.passed} of {weakest.checks}"


def _said(worse: bool) -> str:
    return "worse" if worse else ""
