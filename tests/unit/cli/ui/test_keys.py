from __future__ import annotations

import pytest

from cli.ui.keys import create_key, show_keys
from leads.policies import load_policies
from leads.settings import Settings


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
