"""What a version does on its harm's behaviour suite, and which texts it fails on."""

from __future__ import annotations

from collections import Counter

from cli.ui.models.versions import opened_version
from cli.ui.terminal import console, escape, next_steps, note, table
from leads.errors import NotFound
from leads.policies import Policies
from leads.settings import Settings
from training.behaviour.failures import failures
from training.behaviour.run import COLUMNS, rows, suite_for

# Failed checks of a case that are shown by default.
_OF_A_CASE = 3
_FAILED = ("case", "text", "score", "must score", "than / as this text", "its score")
_CAPTION = (
    "Scores are calibrated; all features but the text are missing. Invariance allows a difference in log-odds, so the "
    "same difference of scores can pass in one place and fail in another."
)


def show_behaviour(settings: Settings, policies: Policies, harm: str, number: str | None, *, every: bool) -> None:
    """Run the harm's behaviour suite on a version, and show the checks that it fails.

    Args:
        every: all failed checks, not only the first ones of each case.

    Raises:
        NotFound: an unknown harm or version, or the harm has no suite.
        InvalidInput: the version doesn't use text.
        ModelRefused: its files are damaged.
    """
    policies.harm(harm, field="HARM")
    suite = suite_for(settings, harm)
    if suite is None:
        where = settings.training / "suites" / f"{harm}.yaml"
        raise NotFound(f"{harm} has no behaviour suite.", field="HARM", remedy=f"Write one: {where}")
    opened = opened_version(settings, harm, number)
    report, failed = failures(opened.version, suite, opened.features)
    console.print(table(f"{harm} v{opened.version.version} on suite {report.suite}", COLUMNS, rows(report)))
    shown, of_case = [], Counter[str]()
    for one in failed:
        of_case[one.case] += 1
        if every or of_case[one.case] <= _OF_A_CASE:
            shown.append(
                (
                    one.case,
                    escape(one.text),
                    f"{one.score:.3f}",
                    one.expected,
                    escape(one.other),
                    f"{one.other_score:.3f}",
                )
            )
    if not failed:
        note("It passes every check.")
    else:
        left = f"; the first {len(shown)} are shown" if len(shown) < len(failed) else ""
        title = f"{len(failed)} checks fail{left}" if len(failed) > 1 else "1 check fails"
        console.print(table(title, _FAILED, shown, right=(_FAILED[2], _FAILED[5]), caption=_CAPTION))
    more = [(f"leads models behaviour {harm} {opened.version.version} --all", "see every failed check")]
    next_steps(
        *(more if len(shown) < len(failed) else ()),
        (f"leads models show {harm} {opened.version.version}", "see its figures"),
        (f"leads train {harm}", "train it again, with labels of such texts"),
    )
