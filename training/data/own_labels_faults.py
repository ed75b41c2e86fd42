"""Collects what is wrong with a file of labels, so that all of it can be fixed at once."""

from __future__ import annotations

from leads.errors import MAX_FAULTS, InvalidInput
from leads_client.errors import Fault
from training.data.own_labels_values import InvalidRow


class FoundFaults:
    """Counts what is wrong with a file, and keeps the first 20 errors."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[InvalidInput] = []

    def add(self, error: InvalidInput) -> None:
        found = error.errors if isinstance(error, InvalidRow) else (error,)
        self.count += len(found)
        self._first += found[: MAX_FAULTS - len(self._first)]

    def together(self) -> InvalidInput:
        """One error for all. It says what the first says; each of the others has its own fix if it differs."""
        first = self._first[0]
        if self.count == 1:
            return first
        listed = f"; the first {len(self._first)} are listed" if self.count > len(self._first) else ""
        faults = [
            Fault(error.field or "", " ".join((error.message, *_fix_unless_that_of(first, error))))
            for error in self._first
        ]
        return InvalidInput(
            f"{first.message} In all, {self.count:,} faults were found{listed}.",
            field=first.field,
            remedy=f"{first.remedy} Nothing was imported.",
            faults=faults,
        )


def _fix_unless_that_of(first: InvalidInput, error: InvalidInput) -> tuple[str, ...]:
    return () if error.remedy in (None, first.remedy) else (error.remedy,)
