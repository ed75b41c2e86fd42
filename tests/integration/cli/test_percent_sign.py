"""A checkout, its home and its virtual environment work in a folder whose name contains a percent sign."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from leads.processes import QUIET, python
from leads.settings import load_settings
from tests.support.paths import REPOSITORY

PACKAGES = ("leads", "features", "models", "training", "serving", "monitoring", "simulation", "cli", "clients")
PREPARE = """
import mlflow, leads
from leads.settings import load_settings
from models.registry.mlflow_registry import MlflowRegistry
assert "%" in mlflow.__file__ and "%" in leads.__file__
registry = MlflowRegistry(load_settings())
registry.prepare()
assert registry.aliases("spam") == {}
"""


@pytest.mark.slow
def test_a_checkout_with_a_percent_sign(tmp_path: Path) -> None:
    checkout = tmp_path / "50%20off, 100% new %(here)s"
    for name in PACKAGES:
        # With what is compiled, but not what is just being written.
        shutil.copytree(REPOSITORY / name, checkout / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    shutil.copy(REPOSITORY / "pyproject.toml", checkout)
    (checkout / "site").mkdir()
    (checkout / "site" / "mlflow").symlink_to(Path(mlflow.__file__).parent)
    paths = (checkout, checkout / "clients" / "python", checkout / "site")
    env = {**os.environ, **QUIET, "PYTHONPATH": ":".join(map(str, paths)), "LEADS_CORPORA": "none"}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "Created the database" in run(*python("cli", "migrate"))
    run(sys.executable, "-P", "-c", PREPARE)
    assert "50%20off" in run(*python("cli", "status"))
    run(*python("cli", "backup", "backup.tar"))
    assert sorted(path.name for path in (checkout / "var").iterdir()) == ["leads.db", "mlflow.db", "prune.lock"]
    assert [path.name for path in tmp_path.iterdir()] == [checkout.name]


@pytest.mark.parametrize("name", ["100% off", "50%20", "a?b=c", "a#b", "ü 🎧"])
def test_urls_of_files_name_the_file(tmp_path: Path, name: str) -> None:
    import sqlalchemy as sa

    settings = load_settings(home=tmp_path / name, database_url=None, mlflow_uri=None)
    for url, file in ((settings.database, "leads.db"), (settings.mlflow, "mlflow.db")):
        assert sa.make_url(url).database == str(tmp_path / name / file)
        assert not sa.make_url(url).query
    assert settings.mlflow_file == tmp_path / name / "mlflow.db"
