from __future__ import annotations

import pytest

from cli.ui.serving import create_key_on_screen, keys_on_screen
from leads.settings import Settings


def test_the_list_of_keys_says_how_often_each_may_ask(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rate in (("usual", None), ("slow", 12.5), ("free", 0.0)):
        create_key_on_screen(settings, name, scopes=["score"], harms=None, rate=rate)
    capsys.readouterr()
    keys_on_screen(settings)
    rows = {
        name: line
        for line in capsys.readouterr().out.splitlines()
        for name in ("usual", "slow", "free")
        if name in line
    }
    assert " 500 " in rows["usual"]
    assert " 12.5 " in rows["slow"]
    assert " no limit " in rows["free"]
