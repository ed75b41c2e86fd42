"""Where the logs of an instance's processes go."""

from __future__ import annotations

import sys

import pytest

from leads.processes import start
from leads.settings import Settings
from serving.instance.processes import log_of

_SHOW = (sys.executable, "-c", "import os, sys; print(os.environ.get('LEADS_LOG_FILE'), file=sys.stderr)")


def test_a_childs_log_goes_to_a_file_of_its_own_or_to_stderr(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    log = log_of(settings, "api")
    assert log == settings.root / "logs" / "api.log"
    start(_SHOW, env={}, log=log).wait(60)
    assert log.read_text() == f"{log}\n"
    to_stderr = settings.model_copy(update={"log_to": "stderr"})
    assert log_of(to_stderr, "api") is None
    start(_SHOW, env={}, log=None).wait(60)
    assert capfd.readouterr().err == "None\n"
