"""Other users of the host can't read what commands and services write, on a host that lets everybody read new files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from features.materialize import Materializer
from leads import processes
from leads.db import keys
from leads.files import readable_by_others
from leads.settings import Settings
from tests.support.paths import REPOSITORY
from tests.support.serving.served import served
from tests.support.serving.world import SPAM_TEXT, publish

pytestmark = [pytest.mark.slow]


def shared(path: Path) -> list[str]:
    """What other users may read, if nothing above keeps them out."""
    return [str(one) for one in sorted(path.rglob("*")) if one.lstat().st_mode & 0o077 and not one.is_symlink()]


def test_commands_keep_what_they_write_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    events = tmp_path / "events.jsonl"
    item = {"type": "item_created", "subject": {"type_id": "comment", "id": "c1"}, "text": "x"}
    events.write_text(json.dumps({"id": "e1", "occurred_at": 1_772_366_400_000_000, "body": item}) + "\n")
    env = {**os.environ, "LEADS_HOME": str(home), "LEADS_CORPORA": "none"}
    commands = ("migrate", "keys create x --scope score", f"ingest {events}", "worker --once")
    for words in commands:
        command = [sys.executable, "-P", "-m", "cli", *words.split()]
        done = subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert {"leads.db", "features"} <= {path.name for path in home.iterdir()}
    assert shared(home) == []


def test_a_service_keeps_what_it_writes_private(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, "spam")
    key = keys.create(engine, "x", ["admin"]).text
    Materializer(settings, engine).run_to_head()
    settings.root.chmod(0o755)
    for path in settings.root.iterdir():
        subprocess.run(["chmod", "-R", "go=", str(path)], check=True)
    # As when somebody starts BentoML, not `leads serve`.
    monkeypatch.setattr(processes, "PRIVATE_UMASK", 0o022)
    score = {"subjects": [{"id": "c1", "typeId": "comment", "data": {"text": SPAM_TEXT}}]}
    with served(settings, key, ["serving.service:LeadServing"]) as client:
        assert client.post("/v1/score", json=score).status_code == 200
        assert client.post("/v1/items", json={"items": score["subjects"]}).status_code == 202
    shutil.rmtree(settings.root / "published")
    log = settings.root / "serve.log"
    assert shared(settings.predictions_dir)[:1] == []
    assert list(settings.predictions_dir.rglob("*.parquet"))
    log.unlink()
    assert readable_by_others(settings.root) is None
