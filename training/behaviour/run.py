"""Runs a harm's behaviour suite on a version, and finds where a candidate does worse than the champion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from features.declared.feature_set import FeatureSet
from features.evaluate.columns import text_only
from leads.errors import InvalidInput, ModelRefused
from leads.settings import Settings
from models.scores import Scores
from models.version import ModelVersion
from training.behaviour.suite import KINDS, BehaviourCheck, Case, Kind, Suite, load
from training.contracts import check_satisfied

Doubles = npt.NDArray[np.float64]

FILE = "behaviour.json"
COLUMNS = ("case", "kind", "passed", "champion", "weakest group", "")
CHANCE = 0.05
LOST_SHARE = 0.2
# Margins that differ by less are equal: they are sums of 32-bit floats.
_EQUAL = 1e-5


class GroupResult(msgspec.Struct, frozen=True):
    """The checks of a case whose texts name a target group. A check that names two groups counts for both."""

    group: str
    passed: int
    checks: int


class CaseResult(msgspec.Struct, frozen=True):
    """The result of one case. `bits` holds 1 for each check that passed and 0 for each that failed, in suite order."""

    name: str
    kind: Kind
    checks: int
    passed: int
    bits: str
    groups: tuple[GroupResult, ...]


class KindTotal(msgspec.Struct, frozen=True):
    """The results of all cases of one kind."""

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
        """Parse a report. Raises ModelRefused if the bytes aren't one."""
        try:
            return msgspec.json.decode(raw, type=BehaviourReport)
        except msgspec.MsgspecError as error:
            raise ModelRefused(
                f"{FILE} is not a valid behaviour report: {error}.", field=FILE, remedy="Train the harm again."
            ) from error


class Regression(msgspec.Struct, frozen=True):
    """A case of which the candidate passes fewer checks than the champion, or a kind (then `name` is the kind).

    Args:
        whole_kind: True for all cases of a kind together.
        lost: checks that only the champion passes; `gained`: checks that only the candidate passes.
        p: p-value of the sign test; see `sign_test`.
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
    """The bits of champion and candidate for the same checks."""

    name: str
    kind: Kind
    whole_kind: bool
    champion: str
    candidate: str


def suite_for(settings: Settings, harm: str) -> Suite | None:
    """The harm's suite: from `suites` next to its training configuration, else the built-in one; None if neither."""
    return load(harm, settings.training / "suites") or load(harm)


def run(version: ModelVersion, suite: Suite, features: FeatureSet) -> BehaviourReport:
    """Run a suite. Raises InvalidInput and ModelRefused as `scored`."""
    return report_on(suite, scored(version, suite, features).margin)


def scored(version: ModelVersion, suite: Suite, features: FeatureSet) -> Scores:
    """Score a suite's texts. The version only sees the texts; all stored features are missing.

    Raises:
        InvalidInput: the suite belongs to another harm, or the version doesn't use text.
        ModelRefused: these features can't satisfy the version's contract.
    """
    if version.harm != suite.harm or not version.uses_text:
        raise InvalidInput(
            f"The suite of {suite.harm} can't be run on {version.harm} version {version.version}.",
            field="suite",
            remedy="Run it on a version of the same harm that uses text.",
        )
    check_satisfied(version, features)
    return version.score(text_only(version.contract, suite.texts, features), suite.texts)


def report_on(suite: Suite, margins: Doubles) -> BehaviourReport:
    """Which checks pass by the (n,) margins of the suite's texts."""
    cases = tuple(_case_result(case, margins) for case in suite.cases)
    return BehaviourReport(suite.harm, suite.hash, len(suite.texts), cases, _totals(cases))


def report_of(settings: Settings, version: ModelVersion, features: FeatureSet) -> BehaviourReport | None:
    """Run the harm's suite on a version; None if there is no suite or the version doesn't use text.

    Raises:
        ModelRefused: as `run`.
    """
    suite = suite_for(settings, version.harm) if version.uses_text else None
    return run(version, suite, features) if suite else None


def regressions(champion: BehaviourReport, candidate: BehaviourReport) -> tuple[Regression, ...]:
    """Cases and kinds of which the candidate passes significantly fewer checks than the champion.

    That is, the exact one-sided sign test on the checks that differ (McNemar 1947) gives p < 0.05, or the champion
    passed all checks and the candidate fails a fifth or more. Checks of a case share texts, so p is a heuristic, not an
    exact probability.

    Raises:
        InvalidInput: the reports are of different suites.
    """
    if champion.suite != candidate.suite:
        raise InvalidInput(
            f"The champion's report is of suite {champion.suite}, the candidate's is of suite {candidate.suite}.",
            field="suite",
            remedy="Run the same suite on both.",
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
    """Rows of a table with `COLUMNS`: each case, then each kind. A champion's report of another suite is ignored."""
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
    """The probability that at least `lost` of `lost + gained` fair coins show heads.

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


def _passes(case: Case, check: BehaviourCheck, margins: Doubles) -> bool:
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
        why = f"{passes}; it fails {lost / checks:.0%} of the checks, all of which the champion passed."
    elif p < CHANCE:
        why = f"{passes}; {lost} lost against {gained} gained is significant (p = {p:.3g})."
    else:
        return None
    return Regression(of.name, of.kind, of.whole_kind, checks, old, new, lost, gained, p, why)


def _share(found: CaseResult | KindTotal | None) -> str:
    return "–" if found is None else f"{found.passed} of {found.checks}"


def _weakest(groups: Sequence[GroupResult]) -> str:
    """The target group with the lowest share of passed checks; empty if all checks that name a group pass."""
    weakest = min(groups, key=lambda each: each.passed / each.checks, default=None)
    if weakest is None or weakest.passed == weakest.checks:
        return ""
    return f"{weakest.group}: {weakest.passed} of {weakest.checks}"


def _said(worse: bool) -> str:
    return "worse" if worse else ""
