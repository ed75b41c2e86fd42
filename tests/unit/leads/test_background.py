"""Work that is repeated in the background."""

from __future__ import annotations

import logging
import threading

import pytest

from leads.background import repeating
from leads.errors import Unavailable


def test_work_is_repeated_while_it_is_open_and_ends_with_it() -> None:
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


@pytest.mark.parametrize("error", [OSError("disk"), Unavailable("The store doesn't answer.")])
def test_work_that_fails_is_named_and_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
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
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("failing failed and is tried again: ")


def test_work_that_never_ends_is_interrupted_between_two_pieces() -> None:
    begun = threading.Event()

    def work() -> int:
        begun.set()
        return 1

    with repeating(work, every_s=0.001, name="endless"):
        assert begun.wait(30)
