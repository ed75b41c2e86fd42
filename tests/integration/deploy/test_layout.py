"""What the API image contains, run as the image runs it: as user 10001, on a read-only root. It scores."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from leads.db import keys
from leads.db.engine import migrate, open_engine
from leads.settings import Settings, load_settings
from tests.support.layout import build_image, can_confine, confined, environment_of
from tests.support.paths import REPOSITORY
from tests.support.serving.served import free_port
from tests.support.serving.world import SPAM_TEXT, publish

pytestmark = pytest.mark.slow
UID = 10_001
SPAM = {"subjects": [{"id": "c1", "typeId": "comment", "data": {"text": SPAM_TEXT}}], "harms": ["spam"]}


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Not below pytest's folder, which only its owner may enter."""
    folder = Path(tempfile.mkdtemp(prefix="leads-image-"))
    folder.chmod(0o755)
    # A test that ran before may have made this process' files private.
    before = os.umask(0o022)
    build_image(folder, "api.lock")
    os.umask(before)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def mountpoint() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="leads-root-"))
    yield folder
    folder.rmdir()


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="leads-volume-"))
    yield folder
    shutil.rmtree(folder)


def fill(home: Path) -> tuple[Settings, str]:
    """A published version, and a key."""
    settings = load_settings(home=home, corpora=Path(), database_url=None)
    migrate(settings)
    engine = open_engine(settings)
    key = keys.create(engine, "x", ["admin"]).text
    engine.dispose()
    publish(settings, "spam")
    return settings, key


@pytest.mark.skipif(not can_confine(), reason="needs root, and the right to mount")
def test_the_entry_point_serves_as_another_user_on_a_read_only_root(root: Path, home: Path, mountpoint: Path) -> None:
    _, key = fill(home)
    subprocess.run(["chown", "-R", f"{UID}:{UID}", str(home)], check=True)
    port = free_port()
    env = {
        **environment_of(REPOSITORY / "deploy" / "Dockerfile"),
        "PATH": f"{root}/opt/leads/bin:/usr/bin:/bin",
        "LEADS_HOME": str(home),
        "LEADS_HOST": "127.0.0.1",
        "LEADS_PORT": str(port),
    }
    command = [f"{root}/opt/leads/bin/leads", "serve", "--no-worker"]
    errors = home / "stderr"
    with errors.open("wb") as out:
        service = subprocess.Popen(confined(mountpoint, root, home, UID, command), env=env, stdout=out, stderr=out)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": key}, trust_env=False) as client:
            wait_until_ready(client, service, errors)
            (result,) = client.post("/v1/score", json=SPAM).json()["results"]
            assert result["scores"][0]["score"] > 0.9
        assert os.stat(f"/proc/{service.pid}").st_uid == UID
        check = [f"{root}/opt/leads/bin/python", f"{root}/opt/healthcheck.py", "api"]
        assert subprocess.run(check, env=env, check=False).returncode == 0
    finally:
        service.terminate()
        service.wait(60)
    assert service.returncode == 0
    # Everything goes to stderr, for the container engine.
    assert not (home / "logs").exists()
    lines = [json.loads(line) for line in errors.read_text().splitlines() if line.startswith("{")]
    assert any(line["logger"] == "serving.access" for line in lines)
    assert {path.lstat().st_uid for path in home.rglob("*") if path != errors} == {UID}


def wait_until_ready(client: httpx.Client, service: subprocess.Popen[bytes], errors: Path) -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and service.poll() is None:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"The service did not start:\n{errors.read_text()[-3_000:]}")
