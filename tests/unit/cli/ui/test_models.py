"""What `leads models show` says about a version."""

from __future__ import annotations

import numpy as np

from cli.ui.models.rows import about
from features.declared.builtin import BUILTIN
from features.evaluate.columns import contract_for
from models.registry.versions import Registered
from tests.support.training.live_features import OURS, declared
from tests.support.training.scripted import scripted


def test_declared_features_are_named_with_their_meaning_and_whether_they_changed() -> None:
    live = declared()
    version = scripted(np.zeros(1), contract=contract_for(text=True, features=live))
    found = Registered("2", "run", 0, {}, {})
    shown = dict(about(found, version, {}, [], None, live))
    assert shown["declared features"] == f"{OURS}: reports it made in a day (count)"
    assert "can't serve" not in shown
    changed = dict(about(found, version, {}, [], None, declared(window="7d")))
    assert "its declaration changed" in changed["can't serve"]
    gone = dict(about(found, version, {}, [], None, BUILTIN))
    assert gone["declared features"] == f"{OURS}: no longer declared"
    plain = about(found, scripted(np.zeros(1), contract=contract_for(text=True)), {}, [], None, live)
    assert not {"declared features", "can't serve"} & dict(plain).keys()
