"""The skew check: predictions that can't be re-derived, and how the command shows a result."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console
from sqlalchemy.engine import Engine

from cli.ui.skew import render
from features.layout import ACCOUNT
from leads import clock
from leads.predictions.log import PredictionLog
from leads.settings import Settings
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


def shown(result: SkewResult) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(render(result))
    return out.getvalue()


def harm_skew(**given: object) -> HarmSkew:
    plain = HarmSkew(
        harm="spam", since=AT - clock.DAY, until=AT, predictions=50, sampled=40, checked=30, columns=71, differing=0,
        differences=(), lag=Lag(0.1, 0.2, 0.5, 0.7), unverifiable=(), too_new=0, texts_unverifiable=0, texts_ahead=0,
        rows_ahead=0, links_differ=0, unreadable=0,
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
