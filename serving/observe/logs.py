"""What serving's processes log: one JSON object a line (or text), each with the request it belongs to.

No message of an error that is ours to format gets in, only its kind and places: it may quote what was sent.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

from leads import clock
from leads.settings import Settings
from serving.observe.request_notes import current

ACCESS = "serving.access"
_OWN = ("leads", "features", "models", "training", "serving", "monitoring", "__main__")
# Those that BentoML or a library set up with handlers of their own.
_FOREIGN = ("bentoml", "uvicorn", "uvicorn.error", "uvicorn.access", "circus", "alembic")
_encode = msgspec.json.Encoder(enc_hook=str).encode


def set_up(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send all that this process logs to `stream` (default: stdout), as the settings say; the way before is undone.

    The level is that of our own packages. Of others' only warnings and errors are of interest; what libraries say below
    that may quote addresses or queries.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(max(logging.WARNING, level))
    for name in _OWN:
        logging.getLogger(name).setLevel(level)
    for name in _FOREIGN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


class JsonLines(logging.Formatter):
    """time, level, logger, message; request_id inside a request; what else the record's `fields` hold."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        notes = current()
        if notes is not None:
            line["request_id"] = notes.request_id
        line |= fields_of(record)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = trace_of(record.exc_info[1])
        try:
            return _encode(line).decode()
        except UnicodeEncodeError:
            # Half a surrogate pair, from a name that someone chose: no reason to lose the line.
            return _encode({name: _whole(value) for name, value in line.items()}).decode()


class TextLines(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        notes = current()
        more = {} if notes is None else {"request_id": notes.request_id}
        more |= fields_of(record)
        if record.exc_info and record.exc_info[1] is not None:
            more["error"] = trace_of(record.exc_info[1])
        told = "".join(f" {name}={value}" for name, value in more.items() if value is not None)
        return f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}{told}"


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """What was given as `extra={"fields": …}`."""
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields


def access(fields: Mapping[str, Any], *, level: int = logging.INFO) -> None:
    """Log one answered request."""
    logger = logging.getLogger(ACCESS)
    if logger.isEnabledFor(level):
        # Built here: finding out where it was called from costs more than all the rest.
        record = logging.LogRecord(ACCESS, level, "", 0, "request", None, None)
        record.fields = fields
        logger.handle(record)


def trace_of(error: BaseException) -> str:
    """Kind and places of an error, without its message."""
    places = [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__name__} in {' > '.join(places[-8:])}"


def _whole(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _time(record: logging.LogRecord) -> str:
    return clock.to_text(int(record.created * 1_000_000))
