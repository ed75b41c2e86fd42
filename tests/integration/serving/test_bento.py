"""The real service, run by BentoML from the repository and from a built bento's folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import Engine

from leads.db import keys
from leads.db.access.uses import read_admin
from leads.predictions.log import read_predictions
from leads.settings import Settings
from tests.support.paths import REPOSITORY
from tests.support.serving.served import api_workers, served
from tests.support.serving.world import SPAM_TEXT, publish

pytestmark = [pytest.mark.slow]


def wait_for(client: httpx.Client, sample: str) -> str:
    """The metrics, once they hold this; states are a second old."""
    deadline = time.monotonic() + 20
    while sample not in (text := client.get("/metrics").text) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert sample in text
    return text


@pytest.fixture
def key(engine: Engine) -> str:
    return keys.create(engine, "x", ["admin"]).text


# A number that JSON's grammar allows, and that no float can hold.
UNREADABLE = b'{"subjects": [{"id": "c9", "typeId": "comment", "data": {"text": "a", "durationS": 1e999}}]}'
SPAM = {"subjects": [{"id": "c1", "typeId": "comment", "data": {"text": SPAM_TEXT}}], "harms": ["spam"]}


def score_of(answer: httpx.Response) -> dict[str, Any]:
    """The one score of the one subject."""
    (result,) = answer.json()["results"]
    (score,) = result["scores"]
    return dict(score)


def test_native_and_rest_routes_return_the_same(settings: Settings, engine: Engine, key: str) -> None:
    publish(settings, "spam")
    with served(settings, key, ["serving.service:LeadServing"]) as client:
        rest, native = (
            client.post(path, json=SPAM).json()["results"][0]["scores"][0] for path in ("/v1/score", "/score")
        )
        assert rest["score"] == native["score"] > 0.9
        assert native["modelVersion"] == "1"
        for path, body, status in (
            ("/score", b"{", 422),
            ("/score", b'{"subjects": [{"id": NaN, "typeId": "x"}]}', 422),
            ("/score", b'{"subjects": 5, "secret": "buy my secret thing"}', 422),
            ("/score", b'{"subjects": [{"id": "c9", "typeId": "comment"}]}', 404),
            *((path, UNREADABLE, 422) for path in ("/score", "/v1/score")),
            ("/v1/score", b"x" * 3_000_000, 413),
            ("/nope", b"{}", 404),
            ("/v1/nope", b"{}", 404),
            ("/v1/leads", b"{}", 405),
        ):
            answer = client.post(path, content=body, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
        for path in (
            "/",
            "/docs.json",
            "/metrics",
            "/v1/models",
            "/score",
            "/schema.json",
            "/static_content/index.css",
        ):
            assert client.get(path, headers={"x-api-key": "ls_a_b"}).status_code == 401
        for path in ("/livez", "/readyz", "/healthz"):
            assert client.get(path, headers={"x-api-key": ""}).status_code == 200
        ready = client.get("/readyz").json()
        # No features were ever written here, so look-ups fail; whether often enough depends on how fast they were.
        assert ready.pop("online_store") in ("ok", "open")
        assert ready == {"status": "ready"}
        page = client.get("/", follow_redirects=True)
        assert (page.url.path, "Lead Serving" in page.text) == ("/v1/docs", True)
        parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(parts) == 3
        assert {client.get(page.url.join(part)).status_code for part in parts} == {200}
        assert {"/v1/score", "/score"} <= set(client.get("/docs.json").json()["paths"])
        for path in ("/v1/leads/", "/docs.json/", "/score/", "/livez/", "/v1/docs/"):
            redirected = client.get(path, headers={"host": "evil.example"})
            assert (redirected.status_code, "location" in redirected.headers) == (404, False), path
        metrics = wait_for(client, 'leads_model_version{harm="spam",role="champion",version="1"} 1.0')
        assert 'leads_http_requests_total{method="POST",route="/v1/score",status="200"} 1.0' in metrics
        assert 'leads_scores_total{harm="spam",role="champion",tier="auto"} 2.0' in metrics
    assert {("/score", 200), ("/v1/score", 200)} <= {(use.route, use.status) for use in read_admin(engine)}
    log = (settings.root / "serve.log").read_text()
    assert "buy my secret thing" not in log
    assert SPAM_TEXT not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    access = [line for line in lines if line["logger"] == "serving.access"]
    assert {"/v1/score", "/score", "/v1/docs", "other"} <= {line["route"] for line in access}
    assert not {"/livez", "/healthz"} & {line["route"] for line in access}
    # Nothing is told twice, by BentoML or uvicorn in their own way.
    assert log.count('"serving.access"') == log.count('"bytes_out"') == len({line["request_id"] for line in access})
    assert not re.search(r"HTTP/1\.1|Traceback", log)


def test_on_sigterm_the_service_fails_readiness_finishes_requests_and_writes_all_predictions(
    settings: Settings, key: str, engine: Engine
) -> None:
    from features.materialize import Materializer

    publish(settings, "spam")
    Materializer(settings, engine).run_to_head()
    with served(settings, key, ["serving.service:LeadServing"], env={"LEADS_DRAIN_S": "5"}) as client:
        ids = [score_of(client.post("/v1/score", json=SPAM))["predictionId"] for _ in range(3)]
        (worker,) = api_workers(client)
        service = worker.parent()
        assert service is not None
        service.terminate()
        while (ready := client.get("/readyz")).status_code == 200:
            time.sleep(0.01)
        assert (ready.status_code, ready.json()["status"]) == (503, "stopping")
        last = client.post("/v1/score", json=SPAM, headers={"connection": "close"})
        assert last.status_code == 200
        ids.append(score_of(last)["predictionId"])
        service.wait(60)
    log = (settings.root / "serve.log").read_text()
    assert "Traceback" not in log
    assert sorted(read_predictions(settings.predictions_dir, "spam")["prediction_id"].to_pylist()) == sorted(ids)


def test_every_process_loads_a_new_version_without_a_failed_request(settings: Settings, key: str) -> None:
    publish(settings, "spam", "1")
    with served(settings, key, ["serving.service:LeadServing"], workers=2) as client:
        assert len(api_workers(client)) == 2
        publish(settings, "spam", "2", seed=1)
        moved, deadline, versions = time.monotonic(), time.monotonic() + 10, []
        while time.monotonic() < deadline and versions[-40:] != ["2"] * 40:
            # A connection stays with one worker: each request opens its own.
            answer = client.post("/v1/score", json=SPAM, headers={"connection": "close"})
            assert answer.status_code == 200
            versions.append(score_of(answer)["modelVersion"])
        assert versions[-40:] == ["2"] * 40, f"after {time.monotonic() - moved:.1f} s: {versions[-40:]}"


def test_a_built_bento_runs_from_its_own_folder(settings: Settings, key: str, tmp_path: Path) -> None:
    env = {**os.environ, "BENTOML_HOME": str(tmp_path / "bentos"), "BENTOML_DO_NOT_TRACK": "True"}
    (tmp_path / "bentos").mkdir()
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist"]
    subprocess.run([*pip, "clients/python"], cwd=REPOSITORY, check=True, timeout=800)
    build = [sys.executable, "-m", "bentoml", "build", "--output", "tag"]
    done = subprocess.run(build, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    (bento,) = (x.parent for x in (tmp_path / "bentos" / "bentos" / "lead_serving").glob("*/bento.yaml"))
    assert {x.name for x in (bento / "src").iterdir()} == {
        "leads", "features", "models", "serving", "pyproject.toml", "bentofile.yaml",
    }  # fmt: skip
    # A change only the bento has shows that its own code answers, not the repository's.
    mark = bento / "src" / "serving" / "http" / "pages.py"
    mark.write_text(mark.read_text().replace("<title>Lead Serving</title>", "<title>From the bento</title>"))
    publish(settings, "spam")
    with served(settings, key, ["."], folder=bento) as client:
        score = score_of(client.post("/v1/score", json=SPAM))
        assert score["score"] > 0.9
        assert score["modelVersion"] == "1"
        assert "From the bento" in client.get("/v1/docs").text


def test_the_request_path_stays_light() -> None:
    """The service imports neither MLflow, Feast, pandas nor scikit-learn by itself; XGBoost takes those it finds."""
    code = (
        "import json, sys\n"
        "for name in ('pandas', 'sklearn'): sys.modules[name] = None\n"
        "import serving.service\n"
        "heavy = ('mlflow', 'feast', 'evidently', 'matplotlib', 'duckdb', 'ray')\n"
        "print(json.dumps([name for name in heavy if name in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []
