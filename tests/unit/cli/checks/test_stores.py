"""Each store is really asked, in every state that it can be in; no finding shows a password."""

from __future__ import annotations

import http.server
import socket
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import redis

from cli.checks.configuration import check_artifacts
from cli.checks.findings import Finding, run_checks
from cli.checks.stores import check_mlflow, store_checks
from features.redis.address import redis_options
from leads.db.engine import migrate, newest_revision
from leads.settings import Settings, load_settings

SECRET = "hunter2"


def checked(settings: Settings) -> dict[str, Finding]:
    found = {one.check: one for one in run_checks(store_checks(settings))}
    assert SECRET not in str(found)
    for one in found.values():
        assert one.state == "ok" or one.remedy, one
    return found


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_new_home_lacks_only_a_database(settings: Settings) -> None:
    found = checked(settings)
    assert {name: one.state for name, one in found.items()} == {
        "database": "warning", "mlflow": "ok", "online_store": "ok", "state_store": "ok",
    }  # fmt: skip
    assert found["database"].remedy == "Run: leads migrate"
    assert not settings.root.exists()
    migrate(settings)
    found = checked(settings)
    assert found["database"].detail == f"SQLite, schema revision {newest_revision()}"
    assert {one.state for one in found.values()} == {"ok"}


def test_an_old_schema_and_damaged_files_fail(settings: Settings) -> None:
    migrate(settings)
    with sqlite3.connect(settings.root / "leads.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    settings.features_dir.mkdir()
    for path in ("mlflow.db", "features/online.db", "features/state-0of1.db"):
        (settings.root / path).write_bytes(b"nothing that SQLite writes" * 100)
    found = checked(settings)
    assert {one.state for one in found.values()} == {"failed"}
    assert "revision 0001, this version needs" in found["database"].detail
    assert "online.db" in found["online_store"].detail


def test_servers_that_are_down_fail(tmp_path: Path) -> None:
    port = unused_port()
    settings = load_settings(
        home=tmp_path,
        database_url=f"postgresql+psycopg://u:{SECRET}@127.0.0.1:{port}/leads",
        mlflow_uri=f"http://u:{SECRET}@[::1]:{port}",
        online_store="redis",
        state_store="redis",
        redis_url=f"redis://:{SECRET}@127.0.0.1:{port}/1",
    )
    found = checked(settings)
    assert {one.state for one in found.values()} == {"failed"}
    assert f"127.0.0.1:{port}, database 1" in found["online_store"].detail
    assert f"http://[::1]:{port}" in found["mlflow"].detail


def test_redis_is_asked_and_its_settings_are_judged(redis_address: str, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, online_store="redis", state_store="redis", redis_url=redis_address)
    with redis.Redis(**redis_options(redis_address)) as server:
        assert "no append-only file" in checked(settings)["online_store"].detail
        server.config_set("appendonly", "yes")
        found = checked(settings)
        assert found["online_store"].state == found["state_store"].state == "ok"
        assert "version 6.2" in found["online_store"].detail
        server.config_set("maxmemory", "100mb")
        server.config_set("maxmemory-policy", "allkeys-lru")
        assert checked(settings)["state_store"].state == "warning"
        server.config_set("maxmemory", "0")
        server.execute_command("REPLICAOF", "127.0.0.1", str(unused_port()))
        assert checked(settings)["online_store"].state == "failed"
        server.execute_command("REPLICAOF", "NO", "ONE")
        server.config_set("requirepass", SECRET)
        assert "refused the user name or password" in checked(settings)["online_store"].detail
        server.config_set("requirepass", "")
        server.config_set("appendonly", "no")


def test_wrong_settings_of_stores_are_findings(tmp_path: Path) -> None:
    settings = load_settings(
        home=tmp_path, database_url=f"mysql://u:{SECRET}@h/leads", online_store="redis", state_store="postgresql"
    )
    found = checked(settings)
    assert "LEADS_DATABASE_URL" in found["database"].detail
    assert "LEADS_REDIS_URL is not set" in found["online_store"].detail
    assert found["state_store"].state == "failed"


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, tuple[int, str]]]]:
    """A server, and the answers that it gives by path."""
    answers: dict[str, tuple[int, str]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers.get(self.path, (404, ""))
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}", answers
        made.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answers", "state"),
    [({"/health": (200, "OK")}, "ok"), ({"/health": (401, "")}, "failed"), ({}, "failed")],
)
def test_an_mlflow_server_is_asked(
    answers: Mapping[str, tuple[int, str]], state: str, server: tuple[str, dict[str, tuple[int, str]]], tmp_path: Path
) -> None:
    server[1].update(answers)
    assert check_mlflow(load_settings(home=tmp_path, mlflow_uri=server[0])).state == state


def test_an_mlflow_server_must_serve_artifacts(server: tuple[str, dict[str, tuple[int, str]]], tmp_path: Path) -> None:
    settings, (_, answers) = load_settings(home=tmp_path, mlflow_uri=server[0]), server
    answers["/version"] = (200, "3.5.1")
    answers["/api/2.0/mlflow-artifacts/artifacts"] = (200, "{}")
    assert check_artifacts(settings).detail.endswith("its version is 3.5.1")
    answers["/version"] = (200, "2.9.2")
    assert check_artifacts(settings).state == "warning"
    answers["/api/2.0/mlflow-artifacts/artifacts"] = (503, "run `mlflow server` with `--serve-artifacts`")
    assert check_artifacts(settings).state == "failed"
