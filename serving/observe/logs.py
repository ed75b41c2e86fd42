"""Logging of the serving processes: one JSON object (or text) per line, with the id of the request.

Exceptions are logged by type and location, without their message, which may quote input.
"""

from __future__ import annotations

import logging
import math
import sys
import traceback
import warnings
from collections.abc import Mapping
from typing import Any, TextIO, cast

import msgspec

from leads import clock
from leads.settings import Settings
from serving.observe.log_files import LogFile
from serving.observe.request_notes import current
from serving.observe.sampling import Sampler

ACCESS = "serving.access"
OWN = ("leads", "features", "models", "training", "serving", "monitoring", "__main__")
# Loggers that BentoML or a library set up with their own handlers.
_FOREIGN = ("bentoml", "uvicorn", "uvicorn.error", "uvicorn.access", "circus", "alembic")
# SQLAlchemy logs as our class of pools.
_POOL = "leads.db.guard.Pool"
# Slower requests are always logged.
_SLOW_MS = 1_000.0
_sampler = Sampler(math.inf)
_encode = msgspec.json.Encoder(enc_hook=str).encode


def set_up(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send this process's log and its Python warnings to `stream`, replacing earlier handlers.

    By default, that is LEADS_LOG_FILE, which this process then rotates, or else stdout.

    The configured level applies to our packages. Libraries log only warnings and errors, because lower levels may quote
    addresses or queries.
    """
    global _sampler
    _sampler = Sampler(settings.access_log_rate)
    handler = logging.StreamHandler(stream or _stream_of(settings))
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(max(logging.WARNING, level))
    for name in OWN:
        logging.getLogger(name).setLevel(level)
    logging.getLogger(_POOL).setLevel(max(logging.WARNING, level))
    for name in _FOREIGN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    warnings.showwarning = _log_warning


def _stream_of(settings: Settings) -> TextIO:
    if settings.log_file is None:
        return sys.stdout
    file = LogFile(settings.log_file, max_bytes=int(settings.log_max_mb * 1_000_000), keep=settings.log_keep)
    # It has all that a handler uses.
    return cast("TextIO", file)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a warning in one line. `logging.captureWarnings` would add the line of code."""
    logging.getLogger("py.warnings").warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)


class JsonLines(logging.Formatter):
    """Formats time, level, logger, message, the record's `fields`, and inside a request `request_id`."""

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
            # A name sent by a caller may contain half a surrogate pair; log the line anyway.
            return _encode({name: _whole(value) for name, value in line.items()}).decode()


class TextLines(logging.Formatter):
    """Formats the same as text for people."""

    def format(self, record: logging.LogRecord) -> str:
        notes = current()
        more = {} if notes is None else {"request_id": notes.request_id}
        more |= fields_of(record)
        if record.exc_info and record.exc_info[1] is not None:
            more["error"] = trace_of(record.exc_info[1])
        suffix = "".join(f" {name}={value}" for name, value in more.items() if value is not None)
        return f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}{suffix}"


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """The fields passed as `extra={"fields": …}`."""
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields


def access(fields: Mapping[str, Any], *, level: int = logging.INFO) -> None:
    """Log one finished request: always if it failed or was slow, else at most LEADS_ACCESS_LOG_RATE a second.

    A line says how many requests before it were left out.

    Args:
        fields: with `status` and `duration_ms`.
    """
    logger = logging.getLogger(ACCESS)
    if logger.isEnabledFor(level):
        if fields["status"] < 400 and fields["duration_ms"] < _SLOW_MS:
            skipped = _sampler.take()
            if skipped is None:
                return
            if skipped:
                fields = {**fields, "skipped": skipped}
        # Create the record directly: `Logger.log` looks up the caller, which takes longer than everything else.
        record = logging.LogRecord(ACCESS, level, "", 0, "request", None, None)
        record.fields = fields
        logger.handle(record)


def trace_of(error: BaseException) -> str:
    """Type and location of an exception, without its message."""
    places = [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__name__} in {' > '.join(places[-8:])}"


def _whole(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _time(record: logging.LogRecord) -> str:
    return clock.to_text(int(record.created * 1_000_000))
