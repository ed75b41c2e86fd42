from __future__ import annotations

import json
import re

import pytest
import sqlalchemy as sa
from click.testing import Result
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from cli.ui.keys import create_key, show_keys
from leads import clock
from leads.db import keys
from leads.db.access.rotation import rotate
from leads.db.access.uses import AdminUse, note_used, record_admin
from leads.db.tables import api_keys
from leads.errors import Conflict, InvalidInput, LeadsError, NotFound
from leads.policies import load_policies
from leads.settings import Settings
from tests.support.paths import REPOSITORY


def test_the_list_of_keys_says_how_often_each_may_ask(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rate in (("usual", None), ("slow", 12.5), ("free", 0.0)):
        create_key(settings, load_policies(settings.policies), name, scopes=["score"], harms=None, rate=rate)
    capsys.readouterr()
    show_keys(settings)
    rows = {
        name: line
        for line in capsys.readouterr().out.splitlines()
        for name in ("usual", "slow", "free")
        if name in line
    }
    assert " 500 " in rows["usual"]
    assert " 12.5 " in rows["slow"]
    assert " no limit " in rows["free"]


@pytest.fixture
def home(settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The database that commands use."""
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    monkeypatch.setenv("LEADS_CORPORA", "none")
    return engine


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words])


def printed(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.exception
    return result.output


def refused(*words: str) -> LeadsError:
    error = run(*words).exception
    assert isinstance(error, LeadsError)
    return error


def shown_key(output: str) -> str:
    """The key that a command printed, which must work."""
    (text,) = re.findall(r"^  (ls_\S+)$", output, re.MULTILINE)
    return str(text)


def test_a_key_with_an_end_is_created(home: Engine) -> None:
    before = clock.now()
    output = printed("create", "prometheus", "--scope", "metrics", "--expires-in", "90d")
    (key,) = keys.listing(home)
    assert key.scopes == {"metrics"}
    assert 90 * clock.DAY <= (key.expires_at or 0) - before <= 90 * clock.DAY + clock.HOUR
    assert "It ends at " in output
    assert "/metrics" in output
    assert shown_key(output).startswith(f"ls_{key.id}_")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--expires-in", "soon"), "--expires-in: 'soon' is not a duration. Use a whole number and a unit"),
        (("--expires-in=-1d",), "--expires-in: '-1d' is not a duration."),
        (("--expires-in", "90"), "'90' is not a duration."),
        (("--expires-in", "0"), "By this host's clock it is"),
        (("--expires-in", "99999d"), "Give at most 3650d"),
        (("--expires-at", "2026-01-01T00:00:00Z"), "--expires-at: The key would end at 2026-01-01T00:00:00Z."),
        (("--expires-at", "tomorrow"), "'tomorrow' is not a timestamp."),
        (("--expires-in", "1d", "--expires-at", "2099-01-01T00:00:00Z"), "A key has one end."),
        (("--scope", "metric"), "Unknown scope 'metric'."),
    ],
)
def test_invalid_options_create_no_key(home: Engine, words: tuple[str, ...], text: str) -> None:
    error = refused("create", "x", *words)
    assert isinstance(error, InvalidInput)
    assert text in str(error)
    assert keys.listing(home) == []


def test_a_name_belongs_to_one_key(home: Engine) -> None:
    printed("create", "me")
    (key,) = keys.listing(home)
    error = refused("create", "me")
    assert isinstance(error, Conflict)
    assert f"leads keys rotate {key.id}" in str(error)
    keys.revoke(home, key.id)
    printed("create", "me")


def test_a_key_is_rotated(home: Engine) -> None:
    printed("create", "me", "--sender", "partner")
    output = printed("rotate", "me")
    old, new = keys.listing(home)
    assert f"Created key {new.id}, which replaces key {old.id} (me)" in output
    assert re.search(r"The old key works until \S+ \S+ \(UTC\), in 2[34] h\.", output)
    assert shown_key(output).startswith(f"ls_{new.id}_")
    assert new.sender == old.sender == "partner"
    assert f"leads keys rotate {new.id}" in str(refused("rotate", old.id))
    assert isinstance(refused("rotate", "you"), NotFound)
    for overlap in ("-1h", "many", "100d"):
        assert "--overlap" in str(refused("rotate", new.id, f"--overlap={overlap}"))
    assert "The old key ended at" in printed("rotate", new.id, "--overlap", "0")


def test_revoking_one_key_of_a_rotation_names_the_other(home: Engine) -> None:
    printed("create", "me")
    printed("rotate", "me")
    old, new = keys.listing(home)
    error = refused("revoke", "me")
    assert isinstance(error, NotFound)
    assert old.id in str(error)
    assert new.id in str(error)
    assert f"leads keys revoke {new.id}" in printed("revoke", old.id)
    assert "still works" not in printed("revoke", new.id)
    assert "API key not found" in str(refused("revoke", "unknown"))


def test_the_list_points_out_keys_that_end_soon_and_old_keys_in_use(
    settings: Settings, home: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    now = clock.now()
    made = {
        name: keys.create(home, name, ["metrics"], expires_at=None if end is None else now + end * clock.DAY).key
        for name, end in {"soon": 9.5, "later": 15, "never": None, "gone": 1, "busy": None, "quiet": None}.items()
    }
    with home.begin() as connection:
        note_used(connection, {made["later"].id: now - 3 * clock.HOUR})
        connection.execute(sa.update(api_keys).where(api_keys.c.name == "gone").values(expires_at=now - clock.DAY))
    for name in ("busy", "quiet"):
        rotate(home, name, overlap=clock.DAY)
    with home.begin() as connection:
        note_used(connection, {made["busy"].id: clock.now() + clock.SECOND})
    show_keys(settings)
    output = " ".join(capsys.readouterr().out.split())
    assert (
        f"Key {made['soon'].id} (soon) ends in 9 d. To replace it, run: leads keys rotate {made['soon'].id}" in output
    )
    assert re.search(rf"Key {made['busy'].id} \(busy\) was used 0 min ago, after \w+ replaced it\.", output)
    assert output.count("To replace it") == 1
    assert output.count("replaced it.") == 1
    for text in ("ends soon", "expired", "valid", "3 h ago", "0 min", made["busy"].sender):
        assert text in output


def test_uses_of_admin_are_listed(home: Engine) -> None:
    assert "No request has needed the scope admin yet." in printed("audit")
    with home.begin() as connection:
        record_admin(
            connection,
            [
                AdminUse(n, f"k{n}", "[red]me", "POST", "/v1/leads/claim", ("leads:decide", "act_as"), 200, f"r{n}")
                for n in (1, 2)
            ],
        )
    output = printed("audit")
    assert output.index("k2") < output.index("k1")
    for text in ("[red]me", "POST /v1/leads/claim", "leads:decide", "1970-01-01 00:00", "r1"):
        assert text in output
    assert "k1" not in printed("audit", "--key", "k2")
    assert "k1" not in printed("audit", "--limit", "1")
    printed("create", "unused")
    assert "No request with this key needed admin." in printed("audit", "--key", "unused")
    assert isinstance(run("audit", "--key", "k3").exception, NotFound)


def test_uses_of_admin_are_found_by_the_name_of_the_key(home: Engine) -> None:
    created = keys.create(home, "ops", ["admin"])
    with home.begin() as connection:
        record_admin(connection, [AdminUse(1, created.key.id, "ops", "GET", "/v1/models", ("leads:read",), 200, "r7")])
    assert "r7" in printed("audit", "--key", "ops")
    assert "r7" in printed("audit", "--key", created.key.id)


def test_an_end_beyond_the_calendar_is_refused(home: Engine) -> None:
    for given in ("999999999d", "3000000d"):
        error = run("create", "a", "--expires-in", given).exception
        assert isinstance(error, InvalidInput)
        assert "more than ten years" in str(error)


def test_the_commands_on_the_page_about_keys_run(home: Engine) -> None:
    text = (REPOSITORY / "docs" / "keys.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    commands = [line.split()[2:] for block in blocks for line in block.splitlines()]
    for words in commands:
        printed(*words)
    assert {words[0] for words in commands} == {"create", "rotate", "audit"}


def test_programs_get_a_key_as_json(home: Engine) -> None:
    made = json.loads(printed("create", "tool", "--scope", "score", "--harm", "spam", "--expires-in", "90d", "--json"))
    (key,) = keys.listing(home)
    assert made == {
        "id": key.id, "key": made["key"], "name": "tool", "scopes": ["score"], "harms": ["spam"], "reviewer": None,
        "sender": key.id, "expires_at": clock.to_text(key.expires_at or 0),
    }  # fmt: skip
    assert re.fullmatch(r"ls_\S+", made["key"])
    new = json.loads(printed("rotate", "tool", "--overlap", "1h", "--json"))
    assert (new["sender"], new["replaces"]["id"]) == (key.id, key.id)
    assert new["replaces"]["expires_at"] < made["expires_at"]


@pytest.mark.parametrize("name", [" ", " ann", "ann ", "a\nn", "a\u200bnn"])
def test_a_reviewer_that_no_request_could_name_is_refused(home: Engine, name: str) -> None:
    assert refused("create", "tool", "--reviewer", name).field == "--reviewer"
