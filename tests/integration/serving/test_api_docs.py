"""docs/api.md against the real service: every example runs, and the responses have the shapes on the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import keys
from leads.db.keys import SCOPES
from leads.errors import InvalidInput
from leads.events import Subject
from leads.policies import QueuePolicy
from leads.settings import Settings
from leads_client._answers import KINDS
from serving.queue.offers import Offer, offer
from serving.scoring.reasons.explanation import Reason
from tests.support.examples import alike
from tests.support.paths import REPOSITORY
from tests.support.serving.served import served
from tests.support.serving.world import publish

DOCUMENT = REPOSITORY / "docs" / "api.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
# What the reader's shell provides: the command line, and curl (here silent and without a proxy).
PRELUDE = """set -euo pipefail
curl() { command curl --silent --show-error --noproxy '*' "$@"; echo; }
leads() { "$PYTHON" -P -m cli "$@"; }
"""
# Runs the Python blocks as one script in a separate process, because BentoML changes the process that imports it.
PYTHON = """
import json, sys
names = {"__name__": "examples"}
for line in sys.stdin:
    name, n, code = json.loads(line)
    exec(compile(chr(10) * (n - 1) + code, name, "exec"), names)
    print("ran", n, flush=True)
"""


class Block(NamedTuple):
    """A fenced block; `shown` is the JSON in the block right after it."""

    kind: str
    line: int
    code: str
    shown: Any


def blocks() -> list[Block]:
    found: list[Block] = []
    end = -1
    for match in re.finditer(r"^```(\w+)\n(.*?)^```\n", TEXT, re.MULTILINE | re.DOTALL):
        line = TEXT[: match.start()].count("\n") + 2
        if match[1] == "json":
            assert found, line
            assert not TEXT[end : match.start()].strip(), f"line {line}: JSON must follow its example"
            found[-1] = found[-1]._replace(shown=json.loads(match[2]))
        else:
            found.append(Block(match[1], line, match[2], None))
        end = match.end()
    return found


def fits(value: Any, shown: Any, where: str = "") -> None:
    """Check that both have the same structure; the lengths of lists and most values may differ."""
    if isinstance(shown, dict):
        assert isinstance(value, dict), where
        assert set(value) == set(shown), where
        for name in shown:
            fits(value[name], shown[name], f"{where}/{name}")
    elif isinstance(shown, list):
        assert isinstance(value, list), where
        assert bool(value) == bool(shown), where
        for i, one in enumerate(value[: len(shown)]):
            fits(one, shown[i], f"{where}/{i}")
    elif isinstance(shown, str) and isinstance(value, str) and "…" not in shown and not alike(value, shown):
        raise AssertionError(f"{where}: {value!r} does not look like {shown!r}")
    elif isinstance(shown, str) and where.rpartition("/")[2] in ("harm", "verdict", "code", "pointer", "type", "title"):
        assert value == shown, where


def put_leads(engine: Engine) -> None:
    now, reasons = clock.now(), (Reason("TEXT_LINKS", "2 links in the text", 1.5),)
    offers = [
        Offer(Subject("comment", f"q{i}"), "spam", 0.9 - i / 100, "review", "1", "p", reasons, 3.0, 1.0, now)
        for i in range(5)
    ]
    with engine.begin() as connection:
        offer(connection, offers, now, QueuePolicy())


@pytest.fixture
def service(settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A service with a queue, and the environment variables that the page sets."""
    publish(settings, "spam")
    put_leads(engine)
    scopes = [scope for scope in SCOPES if scope not in ("metrics", "admin")]
    key = keys.create(engine, "x", scopes).text
    items = [{"id": f"q{i}", "typeId": "comment", "data": {"text": "free coins"}} for i in range(5)]
    with served(settings, key, ["serving.service:LeadServing"]) as client:
        assert client.post("/v1/items", json={"items": items}).status_code == 202
        monkeypatch.setenv("LEADS_HOME", str(settings.root))
        monkeypatch.setenv("LEADS_URL", str(client.base_url).rstrip("/"))
        monkeypatch.setenv("LEADS_API_KEY", key)
        monkeypatch.setenv("PYTHON", sys.executable)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "clients" / "python"))))
        yield client


def run_console(block: Block) -> None:
    done = subprocess.run(
        ["bash", "-c", PRELUDE + block.code], capture_output=True, text=True, timeout=60, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, f"line {block.line}: {done.stderr}"
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if block.shown is not None:
        (answer,) = answers
        fits(answer, block.shown)
        return
    assert [answer for answer in answers if "request_id" in answer] == [], f"line {block.line}"
    assert len(answers) >= block.code.count("/v1/"), f"line {block.line}"


class Script:
    """The document's blocks of Python, run one by one."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._child = subprocess.Popen(
                [sys.executable, "-c", PYTHON], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def run(self, block: Block) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([DOCUMENT.name, block.line, block.code]) + "\n")
        self._child.stdin.flush()
        for line in self._child.stdout:
            if line == f"ran {block.line}\n":
                return
        pytest.fail(self._log.read_text())

    def end(self) -> None:
        self._child.kill()
        self._child.communicate()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_example_runs(service: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_curl = shutil.which("curl") is None
    script = Script(tmp_path / "errors.txt")
    try:
        for block in blocks():
            if block.kind == "python":
                script.run(block)
            elif not (without_curl and "curl" in block.code):
                if "$LEAD/" in block.code:
                    held = service.get("/v1/reviews", params={"reviewer": "rev-12"}).json()["leads"]
                    for name, lead in zip(("LEAD", "OTHER"), held, strict=True):
                        monkeypatch.setenv(name, lead["id"])
                run_console(block)
    finally:
        script.end()
    found = {x["subject"]["id"]: x["state"] for x in service.get("/v1/leads", params={"state": "any"}).json()["leads"]}
    assert set(found) == {f"q{i}" for i in range(5)}
    if without_curl:
        pytest.skip("curl is not installed: only the examples in Python ran")
    assert sorted(found.values()) == ["decided"] * 5


def test_the_page_contains_only_examples_that_run() -> None:
    assert {block.kind for block in blocks()} == {"console", "python"}
    assert len(blocks()) == TEXT.count("```") // 2 - sum(block.shown is not None for block in blocks())


def test_every_flag_is_documented() -> None:
    code = "".join((REPOSITORY / "serving" / "scoring" / name).read_text() for name in ("inputs.py", "assemble.py"))
    flags = set(re.findall(r'"((?:subject|items|text|fields|features|account|language|not)_[a-z]+)"', code))
    table = TEXT[TEXT.index("| flag |") :].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z_]+)`", table, re.MULTILINE)) == flags


def test_every_scope_and_error_is_documented() -> None:
    table = TEXT[TEXT.index("| scope |") :].partition("\n\n")[0]
    assert tuple(sorted(re.findall(r"^\| `([a-z:_]+)`", table, re.MULTILINE))) == tuple(sorted(SCOPES))
    table = TEXT[TEXT.index("| status | raised") :].partition("\n\n")[0]
    rows = re.findall(r"^\| ([\d, ]+) \| `(\w+)`", table, re.MULTILINE)
    told = {int(status): name for statuses, name in rows for status in statuses.split(",")}
    others = {status: name for status, name in told.items() if status not in KINDS}
    assert {status: name for status, name in told.items() if status in KINDS} == {
        status: kind.__name__ for status, kind in KINDS.items()
    }
    assert set(others.values()) == {InvalidInput.__name__}
