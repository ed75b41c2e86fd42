"""`deploy/nginx.conf` in front of a real service: TLS, forwarded headers, and limits that fit the API's."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import Engine

from leads.db import keys
from leads.processes import start, stop
from leads.settings import Settings
from serving.instance.api import KEEP_ALIVE_S
from tests.support.paths import REPOSITORY
from tests.support.serving.served import free_port, served
from tests.support.serving.world import SPAM_TEXT, publish

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nginx") is None or shutil.which("openssl") is None, reason="nginx or openssl is not installed"
    ),
]
SPAM = {"subjects": [{"id": "c1", "typeId": "comment", "data": {"text": SPAM_TEXT}}], "harms": ["spam"]}


class Proxy:
    """nginx on two free ports."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.http, self.https = free_port(), free_port()
        self.certificate = folder / "cert.pem"
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        names = ["-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", str(folder / "key.pem"), "-out", str(self.certificate)]
        subprocess.run([*request, *names, *files], check=True, capture_output=True)
        self.access_log = folder / "access.log"
        self.config = folder / "nginx.conf"
        self.config.write_text(self._config(folder, upstream))

    def _config(self, folder: Path, upstream: int) -> str:
        text = (REPOSITORY / "deploy" / "nginx.conf").read_text()
        temporary = "".join(
            f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        for old, new in (
            ("server 127.0.0.1:3000;", f"server 127.0.0.1:{upstream};"),
            ("listen 80;", f"listen 127.0.0.1:{self.http};"),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.https} ssl;"),
            ("leads.example.com", "localhost"),
            ("/etc/leads/tls/fullchain.pem", str(self.certificate)),
            ("/etc/leads/tls/privkey.pem", str(folder / "key.pem")),
            ("/run/nginx.pid", str(folder / "nginx.pid")),
            ("/var/log/nginx/leads.log", str(self.access_log)),
            ("/var/log/nginx/error.log", str(folder / "error.log")),
            ("http {\n", f"http {{\n{temporary}"),
        ):
            assert old in text
            text = text.replace(old, new)
        # Started by root, its workers would be another user, who can't enter the folder of the tests.
        return f"user root;\n{text}" if os.geteuid() == 0 else text


@contextmanager
def proxied(folder: Path, upstream: int) -> Iterator[tuple[Proxy, httpx.Client]]:
    """A client that reaches the upstream through nginx, by TLS."""
    proxy = Proxy(folder, upstream)
    child = start(["nginx", "-c", str(proxy.config), "-g", "daemon off;"], env={}, log=folder / "nginx.out")
    trusted = ssl.create_default_context(cafile=str(proxy.certificate))
    try:
        with httpx.Client(base_url=f"https://localhost:{proxy.https}", verify=trusted, trust_env=False) as client:
            deadline = time.monotonic() + 30
            while True:
                try:
                    client.get("/livez")
                    break
                except httpx.TransportError:
                    assert time.monotonic() < deadline, (folder / "nginx.out").read_text()
                    time.sleep(0.05)
            yield proxy, client
    finally:
        stop(child)


def test_requests_reach_the_api_by_tls(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    key = keys.create(engine, "x", ["admin"]).text
    publish(settings, "spam")
    headers = {"x-api-key": key}
    with (
        served(settings, key, ["serving.service:LeadServing"]) as direct,
        proxied(tmp_path, int(direct.base_url.port or 0)) as (proxy, client),
    ):
        scored = client.post("/v1/score", json=SPAM, headers={**headers, "x-request-id": "mine"})
        (result,) = scored.json()["results"]
        assert result["scores"][0]["score"] > 0.9
        assert scored.headers["x-request-id"] == "mine"
        assert "max-age" in scored.headers["strict-transport-security"]
        assert "nginx/" not in scored.headers["server"]
        # Without TLS there is only the way to TLS, to a fixed host.
        plain = httpx.get(f"http://127.0.0.1:{proxy.http}/v1/leads", headers={"host": "evil.example"}, trust_env=False)
        assert (plain.status_code, plain.headers["location"]) == (301, "https://localhost/v1/leads")
        # The API's own limits answer, as problem documents; nginx' own are far beyond.
        for answer, status in (
            (client.post("/v1/score", content=b"x" * 2_100_000, headers=headers), 413),
            (client.get("/v1/leads", headers={**headers, "x-long": "x" * 20_000}), 431),
            (client.get("/v1/leads?cursor=" + "x" * 10_000, headers=headers), 414),
            (client.get("/v1/leads"), 401),
            (client.get("/v1/leads/"), 401),
        ):
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert client.post("/v1/score", content=b"x" * 4_000_000, headers=headers).status_code == 413
        # What clients claim to have been forwarded changes nothing, through nginx or not.
        claimed = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "gopher", "x-forwarded-for": "6.6.6.6"}
        for one in (client, direct):
            redirected = one.get("/", headers={**headers, **claimed})
            assert redirected.headers["location"] == "v1/docs"
        assert client.get("/metrics", headers=headers).status_code == 200
    logged = proxy.access_log.read_text()
    assert "POST 200" in logged
    assert "mine" in logged
    assert "/v1/" not in logged


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that it received."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def test_clients_can_not_forge_forwarded_headers(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        with proxied(tmp_path, upstream.server_port) as (_, client):
            forged = {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "gopher", "forwarded": "for=6.6.6.6"}
            for path in ("/v1/leads", "/metrics"):
                seen = client.get(path, headers={**forged, "x-forwarded-host": "evil.example", "x-api-key": "k"}).json()
                assert seen["x-forwarded-for"] == "127.0.0.1"
                assert seen["x-forwarded-proto"] == "https"
                assert seen["x-forwarded-host"] == "localhost"
                assert "forwarded" not in seen
                assert seen["x-api-key"] == "k"
        upstream.shutdown()


def test_nginx_closes_idle_connections_before_the_api_does() -> None:
    (ours,) = re.findall(r"^\s+keepalive_timeout (\d+)s;", (REPOSITORY / "deploy" / "nginx.conf").read_text(), re.M)
    assert int(ours) < KEEP_ALIVE_S
