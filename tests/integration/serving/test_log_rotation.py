"""Two API processes write one log file, which they rotate: every request has its line, once."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
from sqlalchemy.engine import Engine

from leads.db import keys
from leads.settings import Settings
from tests.support.serving.served import served
from tests.support.serving.world import publish

pytestmark = pytest.mark.slow


def test_no_line_is_lost_while_two_processes_rotate_their_log(settings: Settings, engine: Engine) -> None:
    publish(settings, "spam")
    key = keys.create(engine, "x", ["admin"]).text
    env = {
        "LEADS_LOG_MAX_MB": "0.02",
        "LEADS_LOG_KEEP": "1000",
        "LEADS_ACCESS_LOG_RATE": "1000000",
        "LEADS_RATE_LIMIT": "0",
    }
    sent: list[str] = []
    with served(settings, key, ["serving.service:LeadServing"], workers=2, env=env) as client:
        deadline = time.monotonic() + 120
        while len(list(settings.root.glob("serve.log.*"))) < 4 and time.monotonic() < deadline:
            # A connection stays with one process: each request opens its own.
            for _ in range(20):
                sent.append(f"request-{len(sent)}")
                headers = {"x-request-id": sent[-1], "connection": "close"}
                assert client.get("/v1/models", headers=headers).status_code == 200
    files = sorted(settings.root.glob("serve.log*"))
    assert len(files) >= 5
    lines = [json.loads(line) for path in files for line in path.read_text().splitlines() if line.startswith("{")]
    logged = Counter(line["request_id"] for line in lines if line["logger"] == "serving.access")
    assert Counter(sent) == Counter({name: n for name, n in logged.items() if name.startswith("request-")})
