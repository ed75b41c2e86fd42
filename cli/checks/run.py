"""The checks of `leads status` and of `leads doctor`, and their results as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cli.checks.champions import champion_checks
from cli.checks.configuration import configuration_checks, settings_in_effect
from cli.checks.findings import Finding, failing, run_checks
from cli.checks.host import host_checks, host_setup_checks
from cli.checks.installation import installation_checks, version
from cli.checks.monitoring import monitoring_checks, monitoring_setup_checks
from cli.checks.processes import process_checks
from cli.checks.stores import store_checks
from leads import clock
from leads.settings import Settings


def check_status(settings: Settings) -> list[Finding]:
    """What `leads status` checks: stores, processes, monitoring, disk and permissions."""
    checks = [*store_checks(settings), *process_checks(settings), *monitoring_checks(settings)]
    return run_checks([*checks, *host_checks(settings)])


def check_everything(settings: Settings) -> list[Finding]:
    """What `leads doctor` checks: the same, and the set-up."""
    checks = [*installation_checks(settings), *configuration_checks(settings), *monitoring_setup_checks(settings)]
    checks += champion_checks(settings)
    return [*check_status(settings), *run_checks([*checks, *host_setup_checks(settings)])]


def as_json(findings: Sequence[Finding], required: Sequence[str] = (), **more: Any) -> bytes:
    """The document that `--json` prints; docs/troubleshooting.md describes it."""
    document: Mapping[str, Any] = {
        "ok": not failing(findings, required),
        "version": version(),
        "checked_at": clock.to_text(clock.now()),
        **more,
        "checks": findings,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def effective(settings: Settings) -> list[dict[str, str]]:
    """The settings in effect, for the document."""
    shown: list[dict[str, str]] = msgspec.to_builtins(settings_in_effect(settings))
    return shown
