"""The skew check: predictions that can't be re-derived, and how the command shows a result."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from sqlalchemy.engine import Engine

from cli.ui.skew import render
from features.declared.builtin import ACCOUNT
from leads import clock
from leads.errors import NotFound
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from monitoring.logged_window import Ahead, Outside
from monitoring.skew.check import check
from monitoring.skew.results import ColumnSkew, Example, HarmSkew, Lag, SkewResult, Unverifiable
from tests.support.skew_parts import AT, FolderRegistry, prediction


def test_predictions_of_a_version_that_is_gone_are_counted_and_named(settings: Settings, engine: Engine) -> None:
    log = PredictionLog(settings.predictions_dir, owner="test")
    for i in range(3):
        log.append(prediction(i))
    log.close()
    reported: list[tuple[int, int]] = []
    result = check(
        settings, registry=FolderRegistry(None), on_progress=lambda done, total: reported.append((done, total))
    )
    (spam,) = result.harms
    assert (spam.predictions, spam.checked, spam.not_verified, spam.differing) == (3, 0, 3, 0)
    assert spam.unverifiable[0].version == "1"
    assert "There is no version 1 of spam" in spam.unverifiable[0].why
    assert reported == [(3, 3)]
    assert "Nothing checked" in shown(result)


def test_one_prediction_of_the_future_does_not_move_the_window(settings: Settings, engine: Engine) -> None:
    log = PredictionLog(settings.predictions_dir, owner="test")
    far = clock.now() + 40 * clock.DAY
    for one in (*(prediction(i) for i in range(216)), prediction(900, at=far)):
        log.append(one)
    log.close()
    result = check(settings, registry=FolderRegistry(None))
    (spam,) = result.harms
    assert (spam.predictions, spam.sampled, spam.ahead) == (216, 216, Ahead(1, far))
    assert spam.until == AT + 216
    assert "left out 1 prediction dated in the future" in shown(result)
    (named,) = check(settings, ["spam"], until=far + 1, length=300 * clock.DAY, registry=FolderRegistry(None)).harms
    assert named.predictions == 216


def test_the_result_says_which_window_was_checked_and_how_to_check_the_rest(settings: Settings, engine: Engine) -> None:
    log = PredictionLog(settings.predictions_dir, owner="test")
    for one in (*(prediction(i) for i in range(5)), *(prediction(90 + i, at=AT - 3 * clock.DAY) for i in range(2))):
        log.append(one)
    log.append(prediction(99, at=AT - 5 * clock.HOUR // 2))
    log.close()
    result = check(settings, registry=FolderRegistry(None))
    text = shown(result)
    assert "spam: predictions from 2026-04-30 12:00 to 2026-05-01 12:00 UTC, without 2 older ones" in text
    assert "To check the older ones too: leads skew --days 4 " in text
    everything = check(settings, length=4 * clock.DAY, registry=FolderRegistry(None))
    assert everything.harms[0].predictions == 8
    assert "To check" not in shown(everything)
    earlier = check(settings, until=AT - clock.DAY, length=3 * clock.DAY, registry=FolderRegistry(None))
    text = shown(earlier)
    assert "without 6 newer ones" in text
    assert "To check the newer ones: leave out --until" in text


def test_a_harm_with_predictions_of_the_future_alone_is_reported(settings: Settings, engine: Engine) -> None:
    log = PredictionLog(settings.predictions_dir, owner="test")
    far = clock.now() + 40 * clock.DAY
    log.append(prediction(1))
    log.append(prediction(2, harm="scam", at=far))
    log.close()
    result = check(settings, registry=FolderRegistry(None))
    assert [(one.harm, one.predictions, one.ahead.predictions) for one in result.harms] == [
        ("scam", 0, 1),
        ("spam", 1, 0),
    ]
    with pytest.raises(NotFound, match="Correct that clock"):
        check(settings, ["scam"], registry=FolderRegistry(None))


def shown(result: SkewResult) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(render(result))
    return out.getvalue()


def harm_skew(**given: object) -> HarmSkew:
    plain = HarmSkew(
        harm="spam", since=AT - clock.DAY, until=AT, predictions=50, sampled=40, checked=30, columns=71, differing=0,
        differences=(), lag=Lag(0.1, 0.2, 0.5, 0.7), unverifiable=(), too_new=0, texts_unverifiable=0, texts_ahead=0,
        columns_unverifiable=(), rows_ahead=0, links_differ=0, unreadable=0, ahead=Ahead(), outside=Outside(),
    )  # fmt: skip
    return replace(plain, **given)  # type: ignore[arg-type]


def test_the_result_names_what_differs_and_what_was_not_checked() -> None:
    example = Example("p1", "comment:[bold]c1", AT, 5.0, float("nan"))
    column = ColumnSkew("stale row", "account.strikes", "violations found so far", 7, float("nan"), example)
    gone = Unverifiable("4", 6, "the version can't be found")
    harm = harm_skew(differing=7, differences=(column,), unverifiable=(gone,), too_new=4, texts_unverifiable=3)
    text = shown(SkewResult((harm,), 10.0))
    assert "SKEW" in text
    assert "7 of 30" in text
    for part in ("account.strikes", "stale row", "comment:[bold]c1", "served 5, expected –", "2026-05-01T12:00:00Z"):
        assert part in text
    for part in (
        "6 predictions of v4",
        "4 predictions are newer",
        "10 predictions are outside",
        "3 predictions are of a text",
    ):
        assert part in text


def test_the_result_without_differences_is_short() -> None:
    text = shown(SkewResult((harm_skew(sampled=50),), 10.0))
    assert "No skew" in text
    assert "0.50 s" in text
    assert "Columns that differ" not in text
    assert ACCOUNT.view not in text
