"""`leads alerts`: what it lists and explains, and what it changes."""

from __future__ import annotations

import json

import pytest
from sqlalchemy.engine import Engine

from cli.ui.monitoring.alerts import acknowledge_alert, add_silence, end_silence, show_alert, show_alerts
from leads import clock
from leads.alerting.alert import Affected, Alert, Detail, Happened, OtherSlice, Retraining
from leads.alerting.rules import Severity
from leads.db.engine import reading
from leads.db.monitoring import alerts, silences
from leads.errors import Conflict, InvalidInput, NotFound
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings

NOW = clock.now()
POLICIES = load_policies(POLICIES_FILE)


def put(engine: Engine, *, severity: Severity = "page", slice_: str = "column=a", state: str = "firing") -> int:
    detail = Detail(
        title="An input of spam is missing more often than in training: a",
        moved="inputs.missing is 0.9 (at least 0.8); the limit is 0.2.",
        metric="inputs.missing", method="wilson", n=1_200, window_since=NOW - clock.HOUR, window_until=NOW,
        todo="Check the feed behind this feature.", page="inputs-missing",
        slices=(OtherSlice("column=b", 0.8, 0.6),), also=(Happened(NOW, "Version 3 became champion (ann)."),),
        affected=Affected(41, 12, "/v1/leads?harm=spam&state=open"), retraining=Retraining("done", NOW, "Version 4."),
    )  # fmt: skip
    one = Alert(
        0, "inputs_missing", "spam", slice_, "3", severity, state, NOW - clock.HOUR, NOW, NOW,  # type: ignore[arg-type]
        NOW if state == "resolved" else None, None, None, 0.9, 0.8, None, 0.2, 0.6, detail, None, None, None,
    )  # fmt: skip
    with engine.begin() as connection:
        return alerts.add(connection, one)


def listed(settings: Settings, *, resolved: bool = False, json: bool = False) -> None:
    show_alerts(settings, POLICIES, None, rule=None, resolved=resolved, json=json)


def test_nothing_is_open(settings: Settings, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    listed(settings)
    out = capsys.readouterr().out
    assert "No alerts are open." in out
    assert "leads monitor run" in out


def test_what_nobody_looks_after_comes_before_pages_that_somebody_does(
    settings: Settings, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    known = put(engine, state="acknowledged")
    new = put(engine, severity="digest", slice_="column=b")
    listed(settings)
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if line[:1].isdigit()] == [str(new), str(known)]


def test_an_alert_of_a_harm_lists_what_moved(
    settings: Settings, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    seq = put(engine, slice_="")
    with engine.begin() as connection:
        alerts.change(connection, seq, rule="input_drift")
    show_alert(settings, seq, json=False)
    out = capsys.readouterr().out
    assert "What moved, the most important first" in out
    assert "column=b" in out


def test_pages_come_first(settings: Settings, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    page, digest = put(engine), put(engine, severity="digest", slice_="column=b")
    old = put(engine, slice_="column=c", state="resolved")
    listed(settings)
    out = capsys.readouterr().out
    rows = [line.split()[:2] for line in out.splitlines() if line[:1].isdigit()]
    assert rows == [[str(page), "page"], [str(digest), "digest"]]
    assert f"leads alerts show {page}" in out
    listed(settings, resolved=True, json=True)
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == [str(page), str(digest), str(old)]


def test_an_alert_is_explained(settings: Settings, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    show_alert(settings, put(engine), json=False)
    out = " ".join(capsys.readouterr().out.split())
    for text in (
        "inputs.missing is 0.9 (at least 0.8); the limit is 0.2.",
        "41 open leads since then, and 12 decisions",
        "/v1/leads?harm=spam&state=open",
        "Check the feed behind this feature.",
        "docs/runbook/inputs-missing.md",
        "Version 3 became champion (ann).",
        "column=b",
        "done: Version 4.",
        "leads alerts ack",
    ):
        assert text in out
    show_alert(settings, 1, json=True)
    assert json.loads(capsys.readouterr().out)["affected"]["openLeads"] == 41
    with pytest.raises(NotFound, match="leads alerts"):
        show_alert(settings, 99, json=False)


def test_acknowledging(settings: Settings, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    seq = put(engine)
    acknowledge_alert(settings, seq, why="on it")
    assert f"looks after alert {seq}" in capsys.readouterr().out
    listed(settings)
    assert "acknowledged" in capsys.readouterr().out
    with pytest.raises(Conflict):
        acknowledge_alert(settings, put(engine, state="resolved", slice_="x=y"), why=None)


def test_silences(settings: Settings, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    put(engine)
    add_silence(settings, POLICIES, "inputs_missing", harm="spam", length=clock.HOUR, why="a test")
    add_silence(settings, POLICIES, "all", harm=None, length=clock.HOUR, why="load test")
    assert "leads alerts unsilence 2" in capsys.readouterr().out
    listed(settings)
    out = capsys.readouterr().out
    assert "a test" in out
    assert "load test" in out
    assert "silenced" in out
    end_silence(settings, 1)
    end_silence(settings, 1)
    assert "had ended already" in capsys.readouterr().out
    with reading(engine) as connection:
        assert [one.rule for one in silences.active(connection, clock.now())] == ["*"]
    with pytest.raises(NotFound, match="Silences that hold: 2"):
        end_silence(settings, 99)
    with pytest.raises(InvalidInput, match="RULE"):
        add_silence(settings, POLICIES, "nothing", harm=None, length=clock.HOUR, why="x")
    with pytest.raises(InvalidInput, match="--for"):
        add_silence(settings, POLICIES, "skew", harm=None, length=0, why="x")
    with pytest.raises(NotFound, match="--harm"):
        add_silence(settings, POLICIES, "skew", harm="spma", length=clock.HOUR, why="x")


def test_titles_act_on_no_terminal(settings: Settings, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    seq = put(engine, slice_="column=\x1b[31m[red]x")
    show_alert(settings, seq, json=False)
    assert "\x1b" not in capsys.readouterr().out
