"""The client's wheel as users install it: in an environment that has nothing else but httpx and msgspec."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement

from leads_client.version import VERSION
from tests.support.paths import REPOSITORY
from tests.support.wheels import build_client_wheel, install_alone

pytestmark = pytest.mark.slow

SCRIPT = """
import asyncio, json, sys, time
began = time.perf_counter()
import leads_client
from leads_client import AsyncClient, Client, subject
from leads_client.errors import NotFound
seconds = time.perf_counter() - began

url = sys.argv[1]
with Client(url, key="ls_x") as client:
    (result,) = client.score([subject("comment", "c1", text="free coins")]).results
    (lead,) = client.claim("ann").leads
    decided = client.decide(lead.id, "violating", "ann", review_id=lead.review_id)
    try:
        client.lead("l_unknown")
    except NotFound as error:
        missing = error.message

async def score() -> float:
    async with AsyncClient(url, key="ls_x") as client:
        return (await client.score([("comment", "c1")])).results[0].scores[0].score

print(json.dumps({
    "version": leads_client.__version__, "score": result.scores[0].score, "state": decided.state, "missing": missing,
    "again": asyncio.run(score()), "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "from": leads_client.__file__, "seconds": seconds,
}))
"""
SUBJECT = {"id": "c1", "typeId": "comment"}
SCORE = {
    "harm": "spam", "score": 0.9, "tier": "review", "model": "leads-spam", "modelVersion": "1", "role": "champion",
    "contractHash": "x", "predictionId": "p", "oldestFeatureAgeS": None, "degraded": [], "explanation": None,
}  # fmt: skip
LEAD = {
    "id": "l1", "reviewId": "r1", "contentVersion": "1-x", "subject": {**SUBJECT, "data": {"text": "free coins"}},
    "harm": "spam", "harmTitle": "Spam", "model": "m", "modelVersion": "1", "reasons": [], "leaseUntil": "t",
}  # fmt: skip
ANSWERS = {
    "/v1/score": {"at": "t", "results": [{"subject": SUBJECT, "scores": [SCORE], "errors": []}]},
    "/v1/leads/claim": {"leads": [LEAD]},
    "/v1/leads/l1/decision": {
        "subject": SUBJECT, "harm": "spam", "verdict": "violating", "by": "human", "reviewer": "ann", "leadId": "l1",
        "reviewId": "r1", "contentVersion": "1-x", "state": "decided", "repeated": False,
    },
}  # fmt: skip


class Service(BaseHTTPRequestHandler):
    """Answers as the API's documentation shows."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._send(200, ANSWERS[self.path])

    def do_GET(self) -> None:
        self._send(404, {"type": "t", "title": "Not found", "status": 404, "detail": "Lead not found.", "errors": []})

    def _send(self, status: int, body: object) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.send_header("x-api-version", VERSION)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def needed(*names: str) -> set[str]:
    """These distributions, and those that they need here."""
    found, left = set[str](), list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            requirements = [Requirement(text) for text in distribution(name).requires or ()]
            left += [x.name for x in requirements if x.marker is None or x.marker.evaluate({"extra": ""})]
    return found


def test_the_wheel_works_with_httpx_and_msgspec_alone(tmp_path: Path, url: str) -> None:
    wheel = build_client_wheel(tmp_path / "build")
    assert wheel.name == f"lead_serving_client-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"lead_serving_client-{VERSION}.dist-info/METADATA").decode()
    assert {name.partition("/")[0] for name in names} == {"leads_client", f"lead_serving_client-{VERSION}.dist-info"}
    assert "leads_client/py.typed" in names
    assert re.findall(r"^Requires-Dist: (\w+)", metadata, re.MULTILINE) == ["httpx", "msgspec"]

    python = install_alone(wheel, tmp_path / "environment", needed("httpx", "msgspec"))
    script = tmp_path / "use.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [str(python), "-I", str(script), url], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["version"], found["state"], found["missing"]) == (VERSION, "decided", "Lead not found.")
    assert found["score"] == found["again"] == 0.9
    assert Path(found["from"]).is_relative_to(tmp_path / "environment")
    assert not {"numpy", "pydantic", "sqlalchemy", "bentoml", "leads", "pandas"} & set(found["modules"])


def test_a_type_checker_finds_the_clients_types(tmp_path: Path) -> None:
    if shutil.which("mypy") is None and not (Path(sys.executable).parent / "mypy").exists():
        pytest.skip("mypy is not installed")
    code = tmp_path / "typed.py"
    code.write_text(
        "from leads_client import Client\n"
        "state: str = Client('http://x', 'k').with_options(deadline_s=2).release('l1').state\n"
        "wrong: int = Client('http://x', 'k').release('l1').state\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), str(code)],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
        # An editable installation is found by an import hook, which mypy doesn't run.
        env={**os.environ, "MYPYPATH": str(REPOSITORY / "clients" / "python")},
    )  # fmt: skip
    assert re.findall(r"typed\.py:(\d+): error", done.stdout) == ["3"], done.stdout + done.stderr
