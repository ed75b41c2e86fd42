"""Why a harm that should be served isn't."""

from __future__ import annotations

import pytest

from serving.lineup import Absent
from serving.versions.published_state import HarmState
from serving.versions.serving_status import ServingStatus

CHAMPION = HarmState("2", aliases={"champion": "2"})
UNFETCHED = HarmState("2", aliases={"champion": "2"}, damaged={"2": "MLflow doesn't answer."})
REFUSED = HarmState(None, {"2": "Its golden rows don't reproduce."}, {"champion": "2"})


@pytest.mark.parametrize(
    ("published", "serving", "refused", "damaged", "absent"),
    [
        (CHAMPION, "2", (), (), None),
        (CHAMPION, "1", ("2",), (), None),
        (HarmState(), None, (), (), None),
        (CHAMPION, None, (), (), Absent("2", "loading")),
        (CHAMPION, None, ("2",), (), Absent("2", "refused")),
        (CHAMPION, None, ("2",), ("2",), Absent("2", "damaged")),
        # Another version's damage isn't the reason.
        (CHAMPION, None, ("1", "2"), ("1",), Absent("2", "refused")),
        (UNFETCHED, None, ("2",), ("2",), Absent("2", "lost")),
        # What this process has in memory is whole.
        (UNFETCHED, "2", (), (), None),
        (REFUSED, None, (), (), Absent("2", "refused")),
        (HarmState(None, {}, {"champion": "2"}), None, (), (), None),
    ],
)
def test_why_no_version_serves(
    published: HarmState, serving: str | None, refused: tuple[str, ...], damaged: tuple[str, ...], absent: Absent | None
) -> None:
    status = ServingStatus(
        harm="spam",
        serving=serving,
        published=published,
        loaded=frozenset([serving] if serving else []),
        share=None,
        retreat=None,
        refused_here=dict.fromkeys(refused, "why"),
        damaged_here=frozenset(damaged),
    )
    assert status.absent == absent
    assert status.damaged is bool(damaged or published.damaged)
