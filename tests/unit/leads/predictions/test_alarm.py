"""The alarm of the prediction log."""

from __future__ import annotations

import logging

import pytest

from leads.predictions.alarm import LossAlarm


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    found = [(record.levelno, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return found


@pytest.fixture(autouse=True)
def _hear_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def test_logs_nothing_without_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    alarm = LossAlarm(every_s=0)
    for waiting in (0, 5, 0):
        alarm.update(0, waiting, failed=False, why="nothing")
    assert logged(caplog) == []


def test_a_loss_is_logged_with_count_and_reason_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    alarm = LossAlarm(every_s=0)
    alarm.update(0, 7, failed=True, why="disk full; free some")
    alarm.update(12, 9, failed=True, why="disk full; free some")
    (first, second) = logged(caplog)
    assert first[0] == second[0] == logging.ERROR
    assert "0 predictions lost since 2" in first[1]
    assert first[1].endswith("7 wait: disk full; free some")
    assert "12 predictions lost" in second[1]
    alarm.update(12, 0, failed=False, why="")
    alarm.update(12, 0, failed=False, why="")
    ((level, text),) = logged(caplog)
    assert level == logging.WARNING
    assert "writing again; 12 predictions were lost" in text
    alarm.update(15, 0, failed=False, why="too many")
    ((level, text),) = logged(caplog)
    assert level == logging.ERROR
    assert "3 predictions lost" in text


def test_within_a_minute_nothing_is_repeated_or_missed(caplog: pytest.LogCaptureFixture) -> None:
    alarm = LossAlarm(every_s=60)
    for dropped in (1, 1, 2, 2, 3, 3):
        alarm.update(dropped, 0, failed=False, why="too many")
    errors = [text for level, text in logged(caplog) if level == logging.ERROR]
    assert len(errors) == 1
    assert "1 predictions lost" in errors[0]
    alarm.update(3, 0, failed=False, why="nothing", last=True)
    ((level, text),) = logged(caplog)
    assert level == logging.ERROR
    assert text.endswith("too many")
    assert "2 predictions lost" in text


def test_a_failure_that_ends_within_a_minute_causes_no_second_alarm(caplog: pytest.LogCaptureFixture) -> None:
    alarm = LossAlarm(every_s=60)
    for failed in (True, False, True, False, True):
        alarm.update(0, 1, failed=failed, why="slow disk")
    levels = [level for level, _ in logged(caplog)]
    assert levels == [logging.ERROR, logging.WARNING]
