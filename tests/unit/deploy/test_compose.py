"""The Compose file: hardened services, which wait for each other, and settings that exist."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from leads.settings import Settings
from tests.support.paths import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OWN = [name for name, one in SERVICES.items() if "build" in one]


def test_the_platform_is_complete() -> None:
    assert set(SERVICES) == {"migrate", "api", "worker", "follower", "monitor", "mlflow", "postgres", "redis"}
    assert set(OWN) == set(SERVICES) - {"postgres", "redis"}


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_no_rights_and_a_read_only_root(name: str) -> None:
    one = SERVICES[name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in one["tmpfs"]
    assert "privileged" not in one
    # The images of others begin as root, unless the file says otherwise.
    assert name in OWN or one["user"] == "999:999"


@pytest.mark.parametrize("name", SERVICES)
def test_services_wait_until_others_are_healthy(name: str) -> None:
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        if other == "migrate":
            assert condition == {"condition": "service_completed_successfully"}
        else:
            assert condition == {"condition": "service_healthy"}
            has_check = SERVICES[other].get("healthcheck") or "target" in SERVICES[other].get("build", {})
            assert has_check


def test_everything_waits_for_the_migration() -> None:
    assert all("migrate" in SERVICES[name]["depends_on"] for name in ("api", "worker", "follower", "monitor"))


def test_only_the_api_is_reachable_and_only_from_this_host() -> None:
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert list(published) == ["api"]
    assert all(port.startswith("127.0.0.1:") for port in published["api"])
    assert FILE["networks"]["backend"] == {"internal": True}


def test_the_worker_its_follower_and_monitoring_share_a_home_that_the_api_does_not() -> None:
    homes = {name: SERVICES[name]["volumes"][0] for name in ("api", "worker", "follower", "monitor", "migrate")}
    assert homes["worker"] == homes["follower"] == homes["monitor"] != homes["api"] == homes["migrate"]
    volumes = {volume.partition(":")[0] for one in SERVICES.values() for volume in one.get("volumes", ())}
    assert {volume for volume in volumes if not volume.startswith(".")} == set(FILE["volumes"])


def test_settings_exist_and_passwords_are_not_in_the_file() -> None:
    given = {name for one in SERVICES.values() for name in one.get("environment", {}) if name.startswith("LEADS_")}
    assert {name for name in given if name.removeprefix("LEADS_").lower() not in Settings.model_fields} == set()
    example = (DEPLOY / ".env.example").read_text()
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert f"\n{name}=\n" in example
        assert f"${{{name}:?" in TEXT
    assert "/deploy/.env" in (REPOSITORY / ".gitignore").read_text()


def test_the_api_has_time_to_stop() -> None:
    drain = float(SERVICES["api"]["environment"]["LEADS_DRAIN_S"])
    assert float(SERVICES["api"]["stop_grace_period"].rstrip("s")) >= drain + 25


def compose() -> list[str] | None:
    """The command of Docker Compose: the plugin, or its first generation, which is a program of its own."""
    docker, first = shutil.which("docker"), shutil.which("docker-compose")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    return [first] if first else None


def test_docker_compose_accepts_the_file(tmp_path: Path) -> None:
    command = compose()
    if command is None:
        pytest.skip("docker compose is not installed")
    copy = tmp_path / "deploy" / "compose.yaml"
    copy.parent.mkdir()
    # The first generation doesn't know the key `name`, and all others are the same.
    copy.write_text(TEXT if len(command) == 2 else TEXT.replace("name: lead-serving\n", ""))
    env = {**os.environ, "POSTGRES_PASSWORD": "a", "REDIS_PASSWORD": "b"}
    command += ["-f", str(copy), "config", "--quiet"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    missing = subprocess.run(command, env={**env, "REDIS_PASSWORD": ""}, capture_output=True, text=True, check=False)
    assert missing.returncode != 0
    assert "write it into .env" in missing.stderr
