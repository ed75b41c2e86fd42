"""The registered version as others run it: `mlflow models serve`, and a process that has only what it asks for."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import httpx
import numpy as np
import pytest
import xgboost

from features.evaluate.columns import contract_for
from models.calibrator import Calibrator
from models.registry import artifact, portable
from models.thresholds import Thresholds
from models.version import ModelVersion
from models.write import Parts, write_version
from tests.support.paths import REPOSITORY
from training.fit.counts import count_texts
from training.fit.text import fit_text

TEXTS = [
    "subscribe to my free channel",
    "a lovely song",
    "free cash winner",
    "the drums at night",
    "click here",
    "sing again",
]
# What the portable form neither brings nor asks for.
FOREIGN = "alembic bentoml fastapi feast httpx mmh3 pydantic_settings redis rich sklearn sqlalchemy typer yaml"


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """Real trees on top of a real text stage."""
    contract = contract_for(text=True)
    texts, labels = TEXTS * 20, np.array([True, False] * 60)
    fitted = fit_text(count_texts(texts), np.arange(120), labels, np.arange(120) % 5, seed=1)
    assert fitted.stage is not None
    random = np.random.default_rng(0)
    rows = random.exponential(size=(120, len(contract.columns) + 1)).astype(np.float32)
    rows[:, -1] = fitted.out_of_fold
    matrix = xgboost.DMatrix(rows, label=labels, base_margin=rows[:, -1])
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 2}, matrix, 5)
    parts = Parts(
        harm="spam",
        contract=contract,
        booster=booster,
        text_stage=fitted.stage,
        prior_log_odds=0.0,
        calibrator=Calibrator((-1.0, 1.0), (-2.0, 1.5)),
        thresholds=Thresholds(0.3, 0.95, {}),
        reference=rows,
        reference_labels=labels.tolist(),
        metrics=b"{}",
        card="# A version\n",
    )
    return write_version(tmp_path_factory.mktemp("version") / "spam", parts)


@pytest.fixture(scope="module")
def saved(version: ModelVersion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portable") / "model"
    with warnings.catch_warnings():
        # As where it is registered: MLflow warns about itself.
        warnings.simplefilter("ignore")
        portable.save(version, path)
    # Before a test runs this code, which compiles it.
    assert not list(path.rglob("__pycache__"))
    return path


def rows_of(version: ModelVersion) -> tuple[np.ndarray, list[str | None]]:
    features = np.random.default_rng(5).exponential(size=(7, len(version.contract.columns))).astype(np.float32)
    features[::2, ::3] = np.nan
    return features, [*TEXTS, None]


def test_nothing_in_it_is_a_pickle(saved: Path) -> None:
    names = [path.name for path in saved.rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
    assert "booster.ubj" in names


def package_in(saved: Path) -> Path:
    (package,) = (saved / "code").iterdir()
    return package


def test_it_brings_only_the_source_files_that_scoring_needs(saved: Path) -> None:
    code = package_in(saved)
    files = {path.relative_to(code).as_posix() for path in code.rglob("*.py")}
    assert {"models/version.py", "models/registry/artifact.py", "leads/text.py", "leads_client/errors.py"} <= files
    assert len(files) <= 36
    assert not files & {"models/write.py", "models/registry/portable.py", "leads/settings.py"}


def test_it_runs_with_what_it_asks_for(saved: Path, version: ModelVersion) -> None:
    """The code that it brings imports nothing else, whatever else is installed here."""
    features, texts = rows_of(version)
    program = f"""
        import sys, json
        from importlib.abc import MetaPathFinder

        class Absent(MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name.partition(".")[0] in {FOREIGN.split()!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}")

        sys.meta_path.insert(0, Absent())
        sys.path[:] = [{str(saved / "code")!r}] + [p for p in sys.path if p not in ("", {str(REPOSITORY)!r})]
        import numpy as np
        from pathlib import Path
        from {package_in(saved).name}.models import version as own
        assert own.__file__.startswith({str(saved)!r}), own.__file__
        version = own.load(Path({str(saved / "artifacts" / "version")!r}))
        rows = np.array(json.loads(sys.argv[1]), dtype=np.float32)
        print(json.dumps(version.score(rows, json.loads(sys.argv[2])).score.tolist()))
    """
    given = json.dumps([[None if math.isnan(x) else x for x in row] for row in features.tolist()])
    ran = subprocess.run(
        [sys.executable, "-S", "-c", "import site; site.main()\n" + textwrap.dedent(program), given, json.dumps(texts)],
        capture_output=True, text=True, check=False, cwd=saved,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert np.allclose(json.loads(ran.stdout), version.score(features, texts).score, atol=1e-6)


@pytest.mark.slow
def test_loading_it_hides_nothing_that_is_installed(saved: Path) -> None:
    """A notebook that has loaded a version can still import the platform."""
    program = f"""
        import sys, warnings
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        mlflow.pyfunc.load_model({str(saved)!r})
        assert "models" not in sys.modules
        from leads.language import stated
        from models import write
        assert stated.__file__.startswith({str(REPOSITORY)!r}), stated.__file__
    """
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'clients' / 'python'}"}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=saved, env=environment)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
def test_saving_leaves_nothing_behind_in_the_process(version: ModelVersion, tmp_path: Path) -> None:
    before = set(sys.modules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        portable.save(version, tmp_path / "model")
    assert not [name for name in set(sys.modules) - before if name.startswith("lead_serving")]


@pytest.mark.slow
def test_mlflow_serves_servings_numbers(saved: Path, version: ModelVersion, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(saved), "-p", str(port)]
    command += ["--env-manager", "local"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=tmp_path
        )
        try:
            answer = _ask(port, version, server)
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)
    expected = version.score(*rows_of(version))
    assert np.allclose([row["score"] for row in answer], expected.score, atol=1e-6)
    assert [row["tier"] for row in answer] == version.tiers(expected)


def _ask(port: int, version: ModelVersion, server: subprocess.Popen[bytes]) -> list[dict[str, float]]:
    features, texts = rows_of(version)
    data = [
        [*(None if math.isnan(x) else x for x in row), text] for row, text in zip(features.tolist(), texts, strict=True)
    ]
    body = {"dataframe_split": {"columns": [*version.contract.names, artifact.TEXT], "data": data}}
    until = time.monotonic() + 120
    while True:
        try:
            got = httpx.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=60)
            break
        except httpx.TransportError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server doesn't answer"
            time.sleep(0.5)
    assert got.status_code == 200, got.text
    predictions: list[dict[str, float]] = got.json()["predictions"]
    return predictions
