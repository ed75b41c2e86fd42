"""The alarm of the prediction log."""

from __future__ import annotations

import logging

import pytest

from leads.predictions.alarm import LossAlarm


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    found = [(record.levelno, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return found


@pytest.fixture(autouse=True)
def _hear_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def test_all_well_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    alarm = LossAlarm(every_s=0)
    for waiting in (0, 5, 0):
        alarm.look(0, waiting, failed=False, why="nothing")
    assert said(caplog) == []


def test_a_loss_is_said_with_its_number_and_reason_then_that_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    alarm = LossAlarm(every_s=0)
    alarm.look(0, 7, failed=True, why="disk full; free some")
    alarm.look(12, 9, failed=True, why="disk full; free some")
    (first, second) = said(caplog)
    assert first[0] == second[0] == logging.ERROR
    assert "0 predictions lost since 2" in first[1]
    assert first[1].endswith("7 wait: disk full; free some")
    assert "12 predictions lost" in second[1]
    alarm.look(12, 0, failed=False, why="")
    alarm.look(12, 0, failed=False, why="")
    ((level, text),) = said(caplog)
    assert level == logging.WARNING
    assert "written again; 12 predictions were lost" in text
    alarm.look(15, 0, failed=False, why="too many")
    ((level, text),) = said(caplog)
    assert level == logging.ERROR
    assert "3 predictions lost" in text


def test_within_a_minute_nothing_is_repeated_and_nothing_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    alarm = LossAlarm(every_s=60)
    for dropped in (1, 1, 2, 2, 3, 3):
        alarm.look(dropped, 0, failed=False, why="too many")
    errors = [text for level, text in said(caplog) if level == logging.ERROR]
    assert len(errors) == 1
    assert "1 predictions lost" in errors[0]
    alarm.look(3, 0, failed=False, why="all is well again", last=True)
    ((level, text),) = said(caplog)
    assert level == logging.ERROR
    assert text.endswith("too many")
    assert "2 predictions lost" in text


def test_a_failure_that_passes_within_the_minute_is_no_second_alarm(caplog: pytest.LogCaptureFixture) -> None:
    alarm = LossAlarm(every_s=60)
    for failed in (True, False, True, False, True):
        alarm.look(0, 1, failed=failed, why="slow disk")
    levels = [level for level, _ in said(caplog)]
    assert levels == [logging.ERROR, logging.WARNING]
