"""Why a process failed, in one line, according to its log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from serving.observe.logs import OWN

# How much of a log is searched.
_TAIL_BYTES = 1_000_000
_NOTHING = "It wrote nothing."
_ERRORS = ("error", "critical")
# A line of our log as text, and what a command prints.
_TEXT = re.compile(r"^\d{4}-\d\d-\d\dT\S+ (?P<level>[A-Z]+) (?P<logger>[\w.]+): (?P<message>.*)")
_COMMAND = re.compile(r"^error: (?P<message>.*)")
# How Python names the type of one of our errors, at the end of a traceback.
_OUR_TYPE = re.compile(r"^(leads|leads_client)\.errors\.\w+: ")


class _Line(msgspec.Struct):
    """A line of a log. Those without a level are of a traceback, or a library's."""

    message: str
    level: str = ""
    logger: str = ""

    @property
    def ours(self) -> bool:
        return self.logger.partition(".")[0] in OWN


def reason_in(log: Path, began: int = 0) -> str:
    """What went wrong, as one line: our own last error, else the end of a traceback, else any library's last error.

    Args:
        began: the size that the log had when the process was started. Other processes may write to it too.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(began, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return _NOTHING
    return _reason([_parse(line) for line in text.splitlines() if line.strip()])


def _reason(lines: Sequence[_Line]) -> str:
    ours = [one for one in lines if one.level in _ERRORS and one.ours]
    # The last line of a traceback isn't indented; those of the code are.
    bare = [one for one in lines if not one.level and not one.message.startswith((" ", "\t"))]
    found = ours or bare or [one for one in lines if one.level in _ERRORS]
    if not found:
        return _NOTHING
    # A library may log a whole traceback as a message.
    last = found[-1].message.strip().splitlines()[-1]
    return _OUR_TYPE.sub("", last)


def _parse(line: str) -> _Line:
    try:
        return msgspec.json.decode(line, type=_Line)
    except msgspec.MsgspecError:
        pass
    text = _TEXT.match(line)
    if text:
        return _Line(text["message"], text["level"].lower(), text["logger"])
    printed = _COMMAND.match(line)
    return _Line(printed["message"], "error", OWN[0]) if printed else _Line(line)
