"""Summaries of hours: subjects count once, and versions, roles and slices each have their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.monitoring import summaries
from leads.errors import Unavailable
from leads.events import Subject
from leads.settings import Settings
from monitoring.summaries.hourly import Describe, Described, HourlySummaries, host_id
from monitoring.summaries.summary import Summary, unpack
from tests.support.monitoring.watch_world import NAMES, START
from tests.support.prediction_world import batch, write

NOW = START + clock.HOUR


def at(minutes: float) -> Micros:
    return START + round(minutes * clock.MINUTE)


def writer(settings: Settings, engine: Engine, describe: Describe | None = None, **given: object) -> HourlySummaries:
    names = given.pop("names_of", lambda harm, version: NAMES)
    return HourlySummaries(settings, engine, "h", names_of=names, describe=describe, **given)  # type: ignore[arg-type]


def found(engine: Engine) -> dict[tuple[str, str, str], Summary]:
    """The summaries of the hour by version, role and slice."""
    with reading(engine) as connection:
        rows = summaries.read(connection, "spam", START, NOW, slice_=None)
    return {(one.version, one.role, one.slice): unpack(one.summary) for one in rows}


def test_a_subject_counts_once_with_its_latest_prediction(settings: Settings, any_engine: Engine) -> None:
    first = batch(1, 2, at=at(10), prediction_ids=["p1", "p2"], scores=np.array([0.1, 0.2]))
    again = batch(1, at=at(20), prediction_ids=["p3"], scores=np.array([0.9]), tiers=["auto"])
    write(settings.predictions_dir, again, first)
    writer(settings, any_engine).update("spam", NOW)
    one = found(any_engine)["1", "champion", ""]
    assert (one.rows, one.predictions) == (2, 3)
    assert one.columns["score"].total == pytest.approx(1.1)
    assert one.by_tier == {"auto": (1, pytest.approx(0.9)), "review": (1, pytest.approx(0.2))}
    assert one.categories["tier"] == {"auto": 1, "review": 1}
    assert one.columns["a"].total == 3
    assert one.columns["b"].missing == 2


def test_a_prediction_that_is_stored_twice_counts_once(settings: Settings, engine: Engine) -> None:
    for _ in range(2):
        write(settings.predictions_dir, batch(1, 2, at=at(10)))
    writer(settings, engine).update("spam", NOW)
    assert found(engine)["1", "champion", ""].predictions == 2
    assert writer(settings, engine).update("spam", NOW).hours == []


def test_versions_and_roles_have_their_own(settings: Settings, engine: Engine) -> None:
    write(
        settings.predictions_dir,
        batch(1, at=at(10)),
        batch(2, at=at(10), role="challenger", model_version="2"),
        batch(3, at=at(50), model_version="2"),
    )
    writer(settings, engine).update("spam", NOW)
    assert {key: one.rows for key, one in found(engine).items()} == {
        ("1", "champion", ""): 1, ("2", "challenger", ""): 1, ("2", "champion", ""): 1,
    }  # fmt: skip


def test_slices_by_type_and_by_what_describes_subjects(settings: Settings, engine: Engine) -> None:
    def describe(subjects: Sequence[Subject]) -> Described:
        ids = [subject.id for subject in subjects]
        languages = ["de" if id_ == "c1" else None if id_ == "c2" else "en" for id_ in ids]
        lengths = np.arange(len(ids), dtype=np.float64)
        return Described({"language": languages}, {"length": lengths}, {"word": [["x", "y"] for _ in ids]})

    write(
        settings.predictions_dir,
        batch(1, 2, 3, at=at(10)),
        batch(1, at=at(20), prediction_ids=["again"]),
        batch(9, at=at(30), subjects=[Subject("account", "a9")]),
    )
    writer(settings, engine, describe, slices=("type", "language")).update("spam", NOW)
    rows = {slice_: (one.rows, one.predictions) for (_, _, slice_), one in found(engine).items()}
    assert rows == {
        "": (4, 5), "type=comment": (3, 4), "type=account": (1, 1), "language=de": (1, 2), "language=en": (2, 2),
    }  # fmt: skip
    whole = found(engine)["1", "champion", ""]
    assert whole.categories["language"] == {"de": 1, "en": 2}
    assert whole.categories["word"] == {"x": 4, "y": 4}
    assert whole.categories["type"] == {"comment": 3, "account": 1}
    assert whole.columns["length"].rows == 4


def test_an_unreadable_version_has_scores_and_a_line(settings: Settings, engine: Engine) -> None:
    write(settings.predictions_dir, batch(1, 2, at=at(10)))
    done = writer(settings, engine, names_of=lambda harm, version: None).update("spam", NOW)
    assert [line for line in done.notes if "only its scores are measured" in line]
    assert set(found(engine)["1", "champion", ""].columns) == {"score"}


def test_vectors_of_another_length_have_scores_and_a_line(settings: Settings, engine: Engine) -> None:
    write(settings.predictions_dir, batch(1, 2, at=at(10)))
    done = writer(settings, engine, names_of=lambda harm, version: ("a", "b")).update("spam", NOW)
    assert [line for line in done.notes if "logged vectors don't have its 2 inputs" in line]
    assert set(found(engine)["1", "champion", ""].columns) == {"score"}


def test_without_a_registry_no_hour_is_written_without_its_inputs(settings: Settings, engine: Engine) -> None:
    def down(harm: str, version: str) -> tuple[str, ...]:
        raise Unavailable("MLflow can't be reached.")

    write(settings.predictions_dir, batch(1, at=at(10)))
    with pytest.raises(Unavailable):
        writer(settings, engine, names_of=down).update("spam", NOW)
    assert found(engine) == {}


def test_an_empty_log_has_nothing(settings: Settings, engine: Engine) -> None:
    done = writer(settings, engine).update("spam", NOW)
    assert (done.hours, done.ahead, done.notes) == ([], 0, [])


def test_a_home_keeps_its_id(settings: Settings) -> None:
    assert host_id(settings) == host_id(settings) != ""
