from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leads.errors import InvalidInput
from leads.settings import load_settings
from serving.observe import logs, request_notes
from serving.observe.request_notes import Notes

NAMES = ("", "serving", "leads", "features", "models", "training", "monitoring", "__main__", *logs._FOREIGN)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging is the process's: other tests must find it as it was."""
    before = {name: logging.getLogger(name) for name in NAMES}
    kept = {name: (x.handlers[:], x.level, x.propagate) for name, x in before.items()}
    show = warnings.showwarning
    yield
    warnings.showwarning = show
    for name, logger in before.items():
        logger.handlers[:], logger.level, logger.propagate = kept[name]
        logger.setLevel(logger.level)


def set_up(tmp_path: Path, **given: Any) -> io.StringIO:
    stream = io.StringIO()
    logs.set_up(load_settings(home=tmp_path, **given), stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_message_is_one_json_line(tmp_path: Path) -> None:
    stream = set_up(tmp_path)
    logging.getLogger("serving.x").info('two\nlines, %d%% „quoted"', 5)
    logging.getLogger("leads.x").warning("odd \ud800")
    first, second = lines(stream)
    assert set(first) == {"time", "level", "logger", "message"}
    assert (first["level"], first["logger"], first["message"]) == ("info", "serving.x", 'two\nlines, 5% „quoted"')
    assert first["time"].endswith("Z")
    assert (second["level"], second["message"]) == ("warning", "odd ?")


def test_an_exception_is_logged_without_its_message(tmp_path: Path) -> None:
    for format_ in ("json", "text"):
        stream = set_up(tmp_path, log_format=format_)
        try:
            raise InvalidInput("secret text")
        except InvalidInput:
            logging.getLogger("bentoml.serve").exception("Exception on %s", "/score")
        assert "InvalidInput in test_an_exception_is_logged_without_its_message" in stream.getvalue()
        assert "secret text" not in stream.getvalue()


def test_libraries_log_only_warnings(tmp_path: Path) -> None:
    for level, expected in (("info", ["a", "c"]), ("debug", ["d", "a", "c"]), ("warning", ["c"]), ("error", [])):
        stream = set_up(tmp_path, log_level=level)
        logging.getLogger("serving.x").debug("d")
        logging.getLogger("serving.x").info("a")
        logging.getLogger("httpx").info("b")
        logging.getLogger("bentoml.serve").info("b")
        logging.getLogger("uvicorn.error").warning("c")
        assert [line["message"] for line in lines(stream)] == expected


def test_earlier_handlers_do_not_log_twice(tmp_path: Path) -> None:
    before = io.StringIO()
    for name in ("", "bentoml", "uvicorn.error", "circus"):
        logging.getLogger(name).addHandler(logging.StreamHandler(before))
        logging.getLogger(name).propagate = False
    stream = set_up(tmp_path)
    for name in ("bentoml.serve", "uvicorn.error", "circus", "other"):
        logging.getLogger(name).error("once")
    assert [line["message"] for line in lines(stream)] == ["once"] * 4
    assert before.getvalue() == ""


def test_access_lines_carry_their_fields(tmp_path: Path) -> None:
    notes = Notes("r-1")
    token = request_notes.set_current(notes)
    try:
        stream = set_up(tmp_path)
        logs.access({"route": "/v1/score", "status": 200, "duration_ms": 3.1})
        text = set_up(tmp_path, log_format="text")
        logs.access({"route": "/v1/score", "status": 500}, level=logging.ERROR)
    finally:
        request_notes.reset_current(token)
    (line,) = lines(stream)
    assert (line["logger"], line["request_id"], line["route"], line["status"]) == (
        "serving.access", "r-1", "/v1/score", 200,
    )  # fmt: skip
    assert text.getvalue().endswith(" ERROR serving.access: request request_id=r-1 route=/v1/score status=500\n")


def test_no_access_lines_above_level_info(tmp_path: Path) -> None:
    stream = set_up(tmp_path, log_level="warning")
    logs.access({"status": 200})
    logs.access({"status": 500}, level=logging.ERROR)
    assert [line["status"] for line in lines(stream)] == [500]


def test_python_warnings_are_lines_of_the_log(tmp_path: Path) -> None:
    for format_ in ("json", "text"):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            stream = set_up(tmp_path, log_format=format_)
            np.array([3e38], np.float32) * np.float32(10)
        (line,) = stream.getvalue().splitlines()
        assert "RuntimeWarning: overflow encountered in multiply (" in line
        assert "test_access_log.py:" in line
        if format_ == "json":
            assert (json.loads(line)["level"], json.loads(line)["logger"]) == ("warning", "py.warnings")
