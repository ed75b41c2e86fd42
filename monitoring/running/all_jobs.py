"""All jobs of monitoring."""

from __future__ import annotations

from monitoring.watch.jobs import Job


def jobs() -> tuple[Job, ...]:
    """All jobs, in the order in which they run.

    What a job reads of another's values, it reads of windows that are measured already: a job comes after those that it
    reads of.
    """
    return ()
