"""Periodic work in a background thread."""

from __future__ import annotations

import logging
import threading

import pytest

from leads.background import repeating
from leads.errors import Unavailable


def test_work_repeats_until_the_context_ends() -> None:
    done, often = 0, threading.Event()

    def work() -> int:
        nonlocal done
        done += 1
        if done == 5:
            often.set()
        return 0

    with repeating(work, every_s=0.001, name="counting"):
        assert often.wait(30)
    after = done
    assert not any(thread.name == "counting" for thread in threading.enumerate())
    assert done == after


@pytest.mark.parametrize("error", [OSError("disk"), Unavailable("The store is down.")])
def test_failed_work_is_logged_and_retried(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    tries, again = 0, threading.Event()

    def work() -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise error
        again.set()
        return 0

    with repeating(work, every_s=0.001, name="failing"):
        assert again.wait(30)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("failing failed and will be retried: ")


def test_endless_work_stops_between_two_calls() -> None:
    begun = threading.Event()

    def work() -> int:
        begun.set()
        return 1

    with repeating(work, every_s=0.001, name="endless"):
        assert begun.wait(30)
