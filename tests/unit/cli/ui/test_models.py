"""What `leads models` and `leads encoder` say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.ui.models import encoders
from cli.ui.models.rows import about, listed
from cli.ui.models.versions import _LISTED
from cli.ui.terminal import console, table
from features.declared.builtin import BUILTIN
from features.evaluate.columns import contract_for
from leads.db.canary_retreats import Retreat
from leads.db.model_changes import ModelChange
from models.registry.versions import Registered
from tests.support.training.live_features import OURS, declared
from tests.support.training.scripted import scripted


def test_declared_features_are_named_with_their_meaning_and_whether_they_changed() -> None:
    live = declared()
    version = scripted(np.zeros(1), contract=contract_for(text=True, features=live))
    found = Registered("2", "run", 0, {}, {})
    shown = dict(about(found, version, {}, [], None, live, {}))
    assert shown["declared features"] == f"{OURS}: reports it made in a day (count)"
    assert "can't serve" not in shown
    changed = dict(about(found, version, {}, [], None, declared(window="7d"), {}))
    assert "its declaration changed" in changed["can't serve"]
    gone = dict(about(found, version, {}, [], None, BUILTIN, {}))
    assert gone["declared features"] == f"{OURS}: no longer declared"
    plain = about(found, scripted(np.zeros(1), contract=contract_for(text=True)), {}, [], None, live, {})
    assert not {"declared features", "can't serve"} & dict(plain).keys()


def test_a_list_of_versions_breaks_no_word(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 120)
    measured = {f"{name}{end}": 0.912 for name in ("ap", "brier", "ece") for end in ("", "_low", "_high")}
    retreat = Retreat(0, "stream_manipulation", "12", "why", "h1")
    promoted = ModelChange(0, "stream_manipulation", "12", "promoted", "ann.smith", "why", state="done")
    version = Registered("12", "run", 0, {}, {**measured, "test_distinct": 12_345})
    rows = [
        listed("stream_manipulation", version, aliases, [promoted], retreat)
        for aliases in ({"champion": "12"}, {"canary": "12", "challenger": "12"}, {})
    ]
    console.print(table("Registered versions", _LISTED, rows, right=_LISTED[3:7]))
    words = capsys.readouterr().out.split()
    expected = {"stream_manipulation", "v12", "champion", "(retreated),", "challenger", "12,345", "ann.smith"}
    assert expected | {"0.912–0.912"} <= set(words)


def test_fine_tuning_that_is_interrupted_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("LEADS_HOME", str(tmp_path))
    monkeypatch.setattr(encoders, "train_encoder", interrupted)
    shown = CliRunner().invoke(app, ["encoder", "train"])
    assert shown.exit_code == 130
    assert "Run the command again to go on" in shown.output
