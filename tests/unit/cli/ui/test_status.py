"""`leads status` names a service that has read other policies than the file holds, and files that are damaged."""

from __future__ import annotations

import msgspec
import pytest

from cli.ui.status import show_status
from features.fold.fold import empty_batch
from features.offline.segments import Segments
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


@pytest.mark.parametrize("left", [0, 20])
def test_damaged_files_are_named_next_to_everything_else(
    left: int, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(settings)
    manifest = Segments(settings.features_dir / "segments").write(empty_batch(), 1)
    path = settings.features_dir / "segments" / "manifest-0of1.json"
    path.write_bytes(msgspec.json.encode(manifest)[:left])
    write_state(settings.published_dir, PublishedState())
    (settings.published_dir / "state.json").write_bytes(b'{"policies": "\xff"}'[:left])
    show_status(settings, load_policies(settings.policies))
    shown = " ".join(capsys.readouterr().out.split())
    assert "manifest-0of1.json: The file is damaged" in shown.replace("manifest- 0of1", "manifest-0of1")
    assert "leads worker --rebuild --once derive the feature rows again" in shown
    assert "state.json is damaged" in shown
    assert "API keys 0 valid" in shown
