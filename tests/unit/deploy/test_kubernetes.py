"""The example for Kubernetes: a hardened CronJob, with a command, settings and an image that exist."""

from __future__ import annotations

from typing import Any

import typer.main
import yaml

from cli.app import app
from leads.settings import Settings
from tests.support.paths import REPOSITORY

TEXT = (REPOSITORY / "deploy" / "kubernetes" / "monitor.yaml").read_text()
JOB: dict[str, Any] = yaml.safe_load(TEXT)
POD: dict[str, Any] = JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_the_job_has_no_rights_and_a_read_only_root() -> None:
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] == 10001
    assert POD["automountServiceAccountToken"] is False
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert {"/tmp", "/var/lib/leads"} <= {mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {volume["name"] for volume in POD["volumes"]}


def test_the_command_and_the_settings_exist() -> None:
    group, command, *options = CONTAINER["args"]
    found = typer.main.get_command(app).commands[group].commands[command]  # type: ignore[attr-defined]
    assert set(options) <= {option for one in found.params for option in one.opts}
    names = {one["name"] for one in CONTAINER["env"]}
    assert {name for name in names if name.removeprefix("LEADS_").lower() not in Settings.model_fields} == set()
    assert CONTAINER["image"].partition(":")[0] == "lead-serving-worker"


def test_runs_do_not_pile_up() -> None:
    assert JOB["kind"] == "CronJob"
    assert JOB["spec"]["concurrencyPolicy"] == "Forbid"
