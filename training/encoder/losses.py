"""The losses of a fine-tuning by step, kept on disk, so that a run that was killed and goes on has the whole curve."""

from __future__ import annotations

from pathlib import Path

import msgspec

from leads.files import write_json
from models.registry.versions import Curve


class Losses:
    """The mean loss of the steps up to each of several steps.

    Args:
        file: keeps them. One that can't be read counts as empty: nothing but a plot depends on it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._by_step: dict[int, float] = {}
        try:
            self._by_step = dict(msgspec.json.decode(file.read_bytes(), type=list[tuple[int, float]]))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return

    def add(self, step: int, loss: float) -> None:
        """Add one. A step that is done again after a kill replaces what it was before."""
        self._by_step[step] = loss
        write_json(self._file, self.curve)

    @property
    def curve(self) -> Curve:
        """(step, loss) pairs by step."""
        return sorted(self._by_step.items())
