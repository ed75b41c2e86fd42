"""The systemd units: accepted by systemd, hardened, and with commands and settings that exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main

from cli.app import app
from leads.settings import Settings
from tests.support.paths import REPOSITORY

UNITS = sorted((REPOSITORY / "deploy" / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
LEADS = "/opt/leads/bin/leads"


def of(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_services_have_few_rights(unit: Path) -> None:
    assert of(unit, "User") not in ([], ["root"])
    for key, value in (
        ("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("ProtectHome", "yes"), ("PrivateTmp", "yes"),
        ("CapabilityBoundingSet", ""), ("UMask", "0077"), ("StateDirectoryMode", "0700"),
    ):  # fmt: skip
        assert of(unit, key) == [value], key


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_commands_and_settings_exist(unit: Path) -> None:
    (command,) = of(unit, "ExecStart")
    words = shlex.split(command)
    if words[0] == LEADS:
        commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        options = {option for one in commands[words[1]].params for option in (*one.opts, *one.secondary_opts)}
        assert {word for word in words[2:] if word.startswith("--")} <= options
    settings = re.findall(r"LEADS_([A-Z_]+)=", "\n".join(of(unit, "Environment")))
    assert {name for name in settings if name.lower() not in Settings.model_fields} == set()


@pytest.mark.parametrize("name", ["leads", "leads-api"])
def test_the_service_stops_in_order_and_reloads_without_a_restart(name: str) -> None:
    unit = REPOSITORY / "deploy" / "systemd" / f"{name}.service"
    assert of(unit, "ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert of(unit, "KillMode") == ["mixed"]
    assert of(unit, "Restart") == ["always"]
    assert "LEADS_LOG_TO=stderr" in unit.read_text()


def test_a_timer_has_its_service() -> None:
    timers = [unit for unit in UNITS if unit.suffix == ".timer"]
    assert timers
    assert all(unit.with_suffix(".service").is_file() for unit in timers)


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """With a command that exists here in place of the installed one, which systemd looks for."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    copies = []
    for unit in UNITS:
        copy = tmp_path / unit.name.replace("@.", "@spam.")
        copy.write_text(re.sub(r"/opt/leads/bin/\w+", "/bin/true", unit.read_text()))
        copies.append(str(copy))
    # Units of the host, which may be incomplete, aren't looked at.
    done = subprocess.run([analyze, "verify", *copies], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "leads" in line]
    assert ours == []
