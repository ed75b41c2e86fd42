"""Tells the caller of a long run which step it is at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

# Called with (step, number of steps done, number of steps).
OnProgress = Callable[[str, int, int], None]


def reporter(steps: Sequence[str], on_progress: OnProgress | None) -> Callable[[str], None]:
    """A function to call with the name of each step as it begins.

    A name that isn't among `steps` is a detail of the step that runs, and is reported under its number.
    """
    done = 0

    def report(step: str) -> None:
        nonlocal done
        done = steps.index(step) if step in steps else done
        if on_progress:
            on_progress(step, done, len(steps))

    return report
