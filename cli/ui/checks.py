"""Shows what checks found: tables and advice for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence

from cli.checks.configuration import check_variables, settings_in_effect, usable_settings, wrong_settings
from cli.checks.findings import Finding, failing
from cli.checks.installation import check_packages, check_python
from cli.checks.run import as_json, check_everything, effective
from cli.ui.terminal import console, escape, note, print_json, table
from leads.errors import ConfigurationError
from leads.messages.wording import counted

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red", "not_running": "yellow"}


def print_findings(title: str, findings: Sequence[Finding], *, reasons: bool = False) -> None:
    """A table of all findings, then what to do about those that aren't ok.

    Args:
        reasons: also say why each matters.
    """
    rows = [(_words(one.check), _state(one), escape(one.detail)) for one in findings]
    console.print(table(title, ("part", "state", "detail"), rows))
    advised = [one for one in findings if one.state != "ok" and one.remedy]
    if advised:
        note("")
    for one in advised:
        why = f"{one.why} " if reasons and one.why else ""
        note(f"[{_COLOURS[one.state]}]{_words(one.check)}:[/] {escape(why)}{escape(one.remedy)}")


def diagnose(*, json: bool) -> bool:
    """Check the whole set-up and show what was found; returns whether nothing failed."""
    try:
        settings = usable_settings()
    except ConfigurationError as error:
        # Everything else depends on the settings.
        findings = [*wrong_settings(error), check_python(), check_packages(), *check_variables()]
        if json:
            print_json(as_json(findings, settings=[]))
        else:
            print_findings("Set-up", findings, reasons=True)
        return False
    if json:
        findings = check_everything(settings)
        print_json(as_json(findings, home=str(settings.root), settings=effective(settings)))
        return not failing(findings)
    with console.status("checking"):
        findings = check_everything(settings)
    rows = [(one.name, escape(one.value), one.source) for one in settings_in_effect(settings)]
    console.print(table("Settings", ("variable", "value", "source"), rows))
    print_findings(f"Set-up in {escape(str(settings.root))}", findings, reasons=True)
    failed = failing(findings)
    warnings = sum(one.state == "warning" for one in findings)
    note(f"\n{len(failed)} failed, {counted(warnings, 'warning')}, {counted(len(findings), 'check')}.")
    return not failed


def _words(check: str) -> str:
    return check.replace("_", " ")


def _state(finding: Finding) -> str:
    return f"[{_COLOURS[finding.state]}]{_words(finding.state)}[/]"
