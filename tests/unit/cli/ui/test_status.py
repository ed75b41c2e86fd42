"""`leads status` names a running service that has read other policies than the file holds."""

from __future__ import annotations

import pytest

from cli.ui.status import show_status
from leads import clock
from leads.db.engine import migrate
from leads.policies import load_policies
from leads.settings import Settings
from serving.versions.published_state import PublishedState, write_state


def test_a_service_that_read_other_policies_needs_a_restart(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(settings)
    policies = load_policies(settings.policies)
    now = clock.now()
    for state, outdated in (
        (PublishedState(now, {}, policies.digest), False),
        (PublishedState(now, {}, "another"), True),
        # A state of an earlier release, and one of a service that stopped.
        (PublishedState(now, {}), False),
        (PublishedState(now - clock.HOUR, {}, "another"), False),
    ):
        write_state(settings.published_dir, state)
        show_status(settings, policies)
        assert ("changed since the service started; restart leads serve" in capsys.readouterr().out) is outdated
