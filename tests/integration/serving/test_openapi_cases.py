"""Schemathesis against the running service: no request causes a 5xx, and every response is documented in OpenAPI."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from leads.db import keys
from leads.settings import Settings
from tests.support.serving.served import served
from tests.support.serving.world import SPAM_TEXT, publish

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)


def run(settings: Settings, engine: Engine, folder: Path, examples: int) -> int:
    """Runs so many examples per route; returns how many cases were generated, all of which passed."""
    publish(settings, "spam")
    publish(settings, "stream_manipulation")
    key = keys.create(engine, "cases", ["admin"], rate=0).text
    with served(settings, key, ["serving.service:LeadServing"]) as client:
        item = {"id": "c1", "typeId": "comment", "data": {"text": SPAM_TEXT, "accountId": "a1"}}
        assert client.post("/v1/items", json={"items": [item]}).status_code == 202
        address = str(client.base_url).rstrip("/")
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(folder / "schemathesis.toml"),
            "run", f"{address}/v1/openapi.json", "--url", f"{address}/v1", "-H", f"x-api-key: {key}",
            "--checks", CHECKS, "--mode", "all", "--phases", "examples,coverage,fuzzing", "-n", str(examples),
            "--generation-database", "none", "--seed", "1", "--no-color",
        ]  # fmt: skip
        (folder / "schemathesis.toml").write_text("")
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1_500, check=False)
    found = re.search(r"([\d,]+) generated, ([\d,]+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert found is not None, done.stdout[-3_000:]
    generated, passed = (int(number.replace(",", "")) for number in found.groups())
    assert generated == passed
    return generated


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_generated_requests_get_documented_responses(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    assert run(settings, engine, tmp_path, 5) > 500


@pytest.mark.soak
@pytest.mark.timeout(1_600)
def test_five_thousand_generated_requests_get_documented_responses(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    assert run(settings, engine, tmp_path, 450) >= 5_000
