"""`leads features`: what changes, what would be lost, and applying it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import Result
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from cli.app import app
from cli.checks.configuration import configuration_checks
from cli.checks.findings import run_checks
from cli.ui.features import changing
from features.contract import Column, FeatureContract
from features.declared.changes import Changes
from features.declared.generations import live
from leads import clock
from leads.db import event_log
from leads.errors import ConfigurationError, Conflict
from leads.events import Event, Happened, SubjectRef
from leads.files import only_one
from leads.platform.declaration import load_platform
from leads.policies import load_policies
from leads.settings import Settings, load_settings
from serving.versions.published_state import LOCK_FILE, PublishedState, write_state
from tests.support.features.declared.generations import FEATURES, platform, with_declared
from tests.support.features.declared.generations import log as append


def write(path: Path, features: dict[str, dict[str, object]]) -> Path:
    """A platform.yaml with these features."""
    plain = platform().model_dump(mode="json", exclude_unset=True, by_alias=True)
    path.write_text(yaml.safe_dump({**plain, "features": features}, sort_keys=False))
    return path


@pytest.fixture
def declared(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A platform.yaml that commands read."""
    path = write(tmp_path / "platform.yaml", FEATURES)
    policies = tmp_path / "policies.yaml"
    policies.write_text(
        "version: 1\nharms:\n  spam:\n    title: Spam\n    subject_types: [comment]\n    severity: 3\n"
        "    dsa_category: STATEMENT_CATEGORY_SCAMS_AND_FRAUD\n    review: {precision: 0.6, at_least: 0.3}\n"
    )
    monkeypatch.setenv("LEADS_HOME", str(settings.root))
    monkeypatch.setenv("LEADS_PLATFORM", str(path))
    monkeypatch.setenv("LEADS_POLICIES", str(policies))
    return path


def leads(*words: str) -> Result:
    return CliRunner().invoke(app, ["features", *words])


@pytest.mark.slow
def test_features_are_planned_applied_and_listed(settings: Settings, engine: Engine, declared: Path) -> None:
    append(engine, with_declared(400))
    planned = leads("plan")
    assert "account.follows_7d" in planned.output
    assert "leads features apply" in planned.output
    assert live(engine).number == 2

    assert "live" in leads("apply").output
    assert {*FEATURES} <= {*live(engine).by_name}
    listed = leads("list").output
    assert "follows in 7 days" in listed
    assert "seconds" in listed
    assert "Nothing to do" in leads("apply").output
    assert "Nothing to do" in leads("plan").output


@pytest.mark.slow
def test_new_words_need_no_rows(settings: Settings, engine: Engine, declared: Path) -> None:
    append(engine, with_declared(100))
    leads("apply")
    number = live(engine).number
    first = next(iter(FEATURES))
    write(declared, {**FEATURES, first: {**FEATURES[first], "meaning": "new follows", "default": False}})
    assert "No rows had to be built" in leads("apply").output
    assert live(engine).number == number
    assert live(engine).by_name[first].meaning == "new follows"
    assert not live(engine).by_name[first].default


@pytest.mark.slow
def test_what_a_serving_version_needs_is_kept(
    settings: Settings, engine: Engine, declared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(engine, with_declared(100))
    leads("apply")
    first, second, *_ = FEATURES
    before = live(engine)
    contract = FeatureContract(
        "leads_v1", (Column(first, definition=before.by_name[first].definition), Column("item.plays_1h")), "counts-3"
    )

    def dependents(_: Settings, policies: object, found: Changes) -> list[changing.Dependent]:
        missing = found.missing_in(contract)
        return [changing.Dependent("spam", "4", ("champion",), tuple(missing))] if missing else []

    monkeypatch.setattr(changing, "_dependents", dependents)
    write(declared, {name: one for name, one in FEATURES.items() if name not in (first, "account.follow_rate")})
    planned = leads("plan")
    assert "champion" in planned.output
    assert "leads features apply" not in planned.output
    settings = load_settings()
    with pytest.raises(Conflict, match="need features that would be changed or removed"):
        changing.apply_features(settings, load_policies(settings.policies), quiet=True)
    assert live(engine) is before

    # What nobody needs can go.
    write(declared, {name: one for name, one in FEATURES.items() if name != second})
    assert "live" in leads("apply").output
    assert second not in live(engine).by_name


@pytest.mark.slow
def test_a_field_that_changes_its_kind_is_refused_everywhere(
    settings: Settings, engine: Engine, declared: Path, tmp_path: Path
) -> None:
    append(engine, with_declared(50))
    leads("apply")
    live_before = live(engine)
    changed = yaml.safe_load(declared.read_text())
    changed["events"]["login"]["fields"]["ip"]["kind"] = "text"
    changed["events"]["login"]["fields"]["seconds"]["kind"] = "flag"
    del changed["events"]["login"]["fields"]["seconds"]["unit"]
    text = yaml.safe_dump(changed, sort_keys=False)
    declared.write_text(text)
    # The line below the field's name.
    first = text[: text.index(" ip:")].count("\n") + 2
    events = tmp_path / "events.jsonl"
    events.write_text('{"kind": "follow", "accountId": "a1", "eventId": "e1", "occurredAt": "2026-03-01T12:00:00Z"}\n')
    for words in (("features", "plan"), ("features", "apply"), ("ingest", str(events))):
        error = CliRunner().invoke(app, list(words)).exception
        assert isinstance(error, ConfigurationError)
        assert error.field == f"{declared}:{first}"
        assert error.message.startswith("events.login.fields.ip: the field's kind was category and is now text.")
        assert "new name" in (error.remedy or "")
        assert "events.login.fields.seconds: the field's kind was number and is now flag." in error.faults[1].message
    assert live(engine) is live_before
    found = {one.detail for one in run_checks(configuration_checks(load_settings())) if one.check == "platform"}
    assert any("ip: the field's kind was category" in detail for detail in found)
    assert any("seconds: the field's kind was number" in detail for detail in found)

    # A field that is gone stays recorded; one with a new name is another field.
    fields = {"address": {"kind": "text"}, "seconds": {"kind": "number", "unit": "seconds"}}
    changed["events"]["login"]["fields"] = fields
    del changed["keys"]
    changed["features"] = {name: one for name, one in FEATURES.items() if name.startswith("account.follow")}
    declared.write_text(yaml.safe_dump(changed, sort_keys=False))
    assert leads("apply").exit_code == 0
    changed["events"]["login"]["fields"]["ip"] = {"kind": "text"}
    declared.write_text(yaml.safe_dump(changed, sort_keys=False))
    assert "kind was category" in str(leads("plan").exception)


def test_features_without_a_value_so_far_are_warned_about(settings: Settings, engine: Engine, declared: Path) -> None:
    changed = yaml.safe_load(declared.read_text())
    changed["events"]["payout"] = {"title": "Payout", "about": ["account"], "by": "optional"}
    changed["features"] = {
        "account.payers_7d": {"distinct": "payout.who", "by": "about", "window": "7d", "meaning": "payers"},
        "item.payouts_7d": {"count": "payout", "window": "7d", "meaning": "payouts"},
        "account.payouts_7d": {"count": "payout", "by": "about", "window": "7d", "meaning": "payouts"},
    }
    declared.write_text(yaml.safe_dump(changed, sort_keys=False))
    of_no_harm = "item.payouts_7d: payout is only about account, and no harm of policies.yaml applies to that"
    of_nobody = "account.payers_7d: none of the newest payout events in the log says which account did it"
    said = leads("plan").output
    assert of_no_harm in said
    assert said.count("warning:") == 1
    about = SubjectRef("account", "a1")
    for account, warned in ((None, True), ("a2", False)):
        with engine.begin() as connection:
            paid = Event(f"p{account}", clock.now(), Happened(about, "payout", account))
            event_log.append(connection, "test", [paid])
        said = leads("plan").output
        assert of_no_harm in said
        assert (of_nobody in said) is warned


@pytest.mark.slow
def test_a_running_service_that_read_another_platform_has_to_be_restarted(
    settings: Settings, engine: Engine, declared: Path
) -> None:
    append(engine, with_declared(50))
    read = load_platform(declared).digest
    with only_one(settings.published_dir / LOCK_FILE, what="following the registry"):
        for digest, told in ((read, False), ("another", True)):
            write_state(settings.published_dir, PublishedState(clock.now(), {}, "", digest))
            for command in ("plan", "apply"):
                assert ("leads restart" in leads(command).output) is told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": "folow", "window": "7d", "meaning": "x"}, "folow isn't a kind of event"),
        ({"count": "follow", "meaning": "x"}, "needs window"),
        ({"formula": "account.follow_rate + 1", "meaning": "x"}, "needs itself"),
    ],
)
def test_a_bad_declaration_changes_nothing(
    settings: Settings, engine: Engine, declared: Path, change: dict[str, object], said: str
) -> None:
    append(engine, with_declared(50))
    rate = {"formula": "account.bad * 2", "meaning": "x"}
    write(declared, {**FEATURES, "account.follow_rate": rate, "account.bad": change})
    result = leads("apply")
    assert result.exit_code == 1
    assert said in str(result.exception)
    assert str(declared) in str(result.exception)
    assert live(engine).number == 2
    with pytest.raises(Exception, match=r"platform\.yaml:\d+"):
        load_platform(declared)
