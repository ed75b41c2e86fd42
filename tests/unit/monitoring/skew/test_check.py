"""Skew's parts: what is sampled, proved and left out, which texts and instants count, what is printed."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from sqlalchemy.engine import Engine

from cli.ui.skew import render
from features.contract import Column, FeatureContract
from features.evaluate.columns import contract_for, evaluate
from features.fold.fold import ViewBatch, empty_batch
from features.fold.router import Links
from features.layout import ACCOUNT, LAYOUT_OF, ROLES, missing
from features.offline.segments import Segments
from leads import clock
from leads.db import event_log
from leads.errors import ConfigurationError, NotFound
from leads.events import ItemCreated, Played, RecordedEvent, Subject, SubjectRef
from leads.predictions.batch import PredictionBatch, to_table
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from leads.text import text_hash
from monitoring.skew.check import HarmSkew, SkewResult, Unverifiable, check
from monitoring.skew.contracts import Contracts
from monitoring.skew.logged import Logged, by_version, sampled, segments_reach
from monitoring.skew.proof import _evaluated as evaluated
from monitoring.skew.tally import ColumnSkew, Example, Lag, Tally
from monitoring.skew.texts import texts_of
from monitoring.skew.waits import waited

AT = clock.from_text("2026-05-01T12:00:00Z")
COMMENT = SubjectRef("comment", "c1")
CONTRACT = contract_for(text=True)


def prediction(number: int, **given: object) -> PredictionBatch:
    plain = {
        "harm": "spam", "model_version": "1", "contract_hash": "h", "source": "api", "at": AT + number, "scored_at": AT,
        "took_us": 5, "prediction_ids": [f"p{number}"], "subjects": [Subject("comment", "c1")],
        "vectors": np.zeros((1, 3), np.float32), "scores": np.array([0.5]), "tiers": ["none"],
        "row_at": np.zeros((1, len(ROLES)), np.int64), "links": [(None,) * 4], "text_hashes": [0],
    }  # fmt: skip
    return PredictionBatch(**{**plain, **given})  # type: ignore[arg-type]


def table_of(*batches: PredictionBatch) -> pa.Table:
    return to_table(batches)


def logged_of(n: int = 1, **given: object) -> Logged:
    made = Logged(
        subjects=[Subject("comment", "c1")] * n,
        ids=[f"p{i}" for i in range(n)],
        at=np.full(n, AT),
        row_at=np.zeros((n, len(ROLES)), np.int64),
        links=[Links()] * n,
        vector=np.zeros((n, len(CONTRACT.columns) + 1), np.float32),
        text_hash=[0] * n,
    )
    return replace(made, **given)  # type: ignore[arg-type]


def test_a_sample_is_the_same_one_each_time_and_in_any_order() -> None:
    table = table_of(*(prediction(i) for i in range(200)))
    ids = sampled(table, 50)["prediction_id"].to_pylist()
    again = sampled(table.take(pa.array(range(199, -1, -1))), 50)["prediction_id"].to_pylist()
    assert len(ids) == 50
    assert set(again) == set(ids)
    assert ids == sorted(ids, key=lambda name: int(name[1:]))
    # Chosen by chance, not from one end.
    assert 60 < np.mean([int(name[1:]) for name in ids]) < 140
    assert set(sampled(table, 20)["prediction_id"].to_pylist()) < set(ids)
    assert sampled(table, 200) is table


def test_predictions_of_one_version_and_shape_go_together() -> None:
    longer = prediction(3, vectors=np.zeros((1, 4), np.float32))
    groups = by_version(table_of(prediction(0), prediction(1, model_version="2"), prediction(2), longer))
    assert [(version, table["prediction_id"].to_pylist()) for version, table in groups] == [
        ("1", ["p0", "p2"]),
        ("1", ["p3"]),
        ("2", ["p1"]),
    ]


class Shelf:
    """A registry of version folders."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.asked: list[tuple[str, str]] = []

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        self.asked.append((harm, version))
        if self._folder is None:
            raise NotFound(f"There is no version {version} of {harm}.")
        return self._folder


def version_folder(folder: Path, contract: FeatureContract, inputs: int) -> Path:
    import msgspec

    from models.manifest import CONTRACT as CONTRACT_FILE
    from models.manifest import MANIFEST, Manifest

    folder.mkdir(parents=True)
    names = tuple(str(i) for i in range(inputs))
    about = Manifest("spam", contract.hash, True, names, "text", 0.0, AT, {})
    (folder / MANIFEST).write_bytes(msgspec.json.encode(about))
    (folder / CONTRACT_FILE).write_bytes(contract.to_json())
    return folder


def test_a_contract_comes_from_the_published_folder_else_from_the_registry(settings: Settings, tmp_path: Path) -> None:
    width = len(CONTRACT.columns) + 1
    table = table_of(prediction(0, contract_hash=CONTRACT.hash, vectors=np.zeros((1, width), np.float32)))
    shelf = Shelf(version_folder(tmp_path / "fetched", CONTRACT, width))
    contracts = Contracts(settings, shelf)
    assert contracts.of("spam", "1", table) == CONTRACT
    assert contracts.of("spam", "1", table) == CONTRACT
    assert shelf.asked == [("spam", "1")]
    version_folder(settings.published_dir / "spam" / "2", CONTRACT, width)
    assert contracts.of("spam", "2", table) == CONTRACT
    assert shelf.asked == [("spam", "1")]


def encoded_by(encoder: str, *columns: str) -> FeatureContract:
    return FeatureContract("leads_v1", tuple(map(Column, columns)), encoder)


@pytest.mark.parametrize(
    ("contract", "width", "hash", "why"),
    [
        (CONTRACT, 72, "other", "made by contract other"),
        (encoded_by("counts-0", "item.age_h"), 2, None, "encoded by counts-0"),
        (encoded_by(CONTRACT.encoder_version, "item.gone"), 2, None, "no feature item.gone"),
        (CONTRACT, 5, None, "inputs, rows and links"),
    ],
)
def test_a_contract_that_doesn_t_say_how_predictions_came_to_be_is_none(
    settings: Settings, tmp_path: Path, contract: FeatureContract, width: int, hash: str | None, why: str
) -> None:
    folder = version_folder(tmp_path / "version", contract, len(contract.columns) + 1)
    row = prediction(0, contract_hash=hash or contract.hash, vectors=np.zeros((1, width), np.float32))
    found = Contracts(settings, Shelf(folder)).of("spam", "1", table_of(row))
    assert isinstance(found, str)
    assert why in found


def test_a_damaged_version_is_named(settings: Settings, tmp_path: Path) -> None:
    tmp_path.joinpath("empty").mkdir()
    found = Contracts(settings, Shelf(tmp_path / "empty")).of("spam", "1", table_of(prediction(0)))
    assert isinstance(found, str)
    assert "contract.json" in found


def test_predictions_of_a_version_that_is_gone_are_counted_and_named(settings: Settings, engine: Engine) -> None:
    log = PredictionLog(settings.predictions_dir, owner="test")
    for i in range(3):
        log.append(prediction(i))
    log.close()
    told: list[tuple[int, int]] = []
    result = check(settings, registry=Shelf(None), on_progress=lambda done, total: told.append((done, total)))
    (spam,) = result.harms
    assert (spam.predictions, spam.checked, spam.not_verified, spam.differing) == (3, 0, 3, 0)
    assert spam.unverifiable[0].version == "1"
    assert "There is no version 1 of spam" in spam.unverifiable[0].why
    assert told == [(3, 3)]
    assert "Nothing checked" in shown(result)


def append(engine: Engine, *events: tuple[int, ItemCreated | Played]) -> None:
    recorded = [RecordedEvent(f"e{at}", AT + at, AT + at, body) for at, body in events]
    with engine.begin() as connection:
        event_log.append_recorded(connection, recorded)


def test_texts_are_known_by_their_hash_the_newest_first(engine: Engine) -> None:
    texts = ["Free Money", "another", "free  money", "later"]
    append(engine, *((at, ItemCreated(COMMENT, text=text)) for at, text in enumerate(texts, -3)))
    hashes = [text_hash(text) for text in ("FREE MONEY", "another", "later", "unheard of")]
    found = texts_of(engine, logged_of(5, text_hash=[*hashes, 0], at=np.full(5, AT - 1)))
    assert found.candidates == [("free  money", "Free Money"), ("another",), ("later",), (None,), (None,)]
    assert found.unknown.tolist() == [False, False, False, True, False]
    assert found.ahead.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("judged", ["Free Money", "free  money"])
def test_of_texts_that_share_a_hash_any_may_have_been_judged(engine: Engine, judged: str) -> None:
    append(
        engine, *((at, ItemCreated(COMMENT, text=text)) for at, text in enumerate(["Free Money", "free  money"], -3))
    )
    one = logged_of(1, text_hash=[text_hash(judged)])
    served = evaluate(CONTRACT, missing(1), one.at, [judged]).matrix
    texts = texts_of(engine, one)
    assert len(texts.candidates[0]) == 2
    np.testing.assert_array_equal(evaluated(CONTRACT, missing(1), one, texts, served), served)
    other = served + np.float32(1)
    assert not np.array_equal(evaluated(CONTRACT, missing(1), one, texts, other), other, equal_nan=True)


def batch(view: str, *rows: tuple[str, int, tuple[str | None, ...]]) -> ViewBatch:
    made, width = ViewBatch(), LAYOUT_OF[view].width
    for key, at, links in rows:
        made.add(key, 1, AT + at, np.zeros(width, "<f4").tobytes(), links)
    return made


def test_waiting_counts_from_the_first_newer_row_of_the_same_entity(settings: Settings) -> None:
    segments = Segments(settings.features_dir / "segments")
    segments.prepare()
    none = (None,) * 4
    rows = {
        "item": batch("item", ("comment:c1", -900, none), ("comment:c1", -500, none), ("comment:c2", -800, none)),
        "account": batch("account", ("a1", -700, ("d1",)), ("a1", -600, ("d2",)), ("a2", -650, ("d2",))),
        "device": batch("device", ("d1", -300, ()), ("d1", -200, ()), ("d2", -250, ())),
    }
    segments.write({**empty_batch(), **rows}, 9)
    order = list(ROLES)
    row_at = np.zeros((1, len(order)), np.int64)
    row_at[0, order.index("item")] = AT - 900
    row_at[0, order.index("account")] = AT - 700
    row_at[0, order.index("device")] = AT - 300
    one = logged_of(1, row_at=row_at, links=[Links("a1")])
    late = np.array([[role in ("item", "device") for role in order]])
    lags = dict(zip(order, waited(settings, one, late)[0].tolist(), strict=True))
    assert lags == {"item": 500, "account": 0, "parent": 0, "bucket_0": 0, "bucket_1": 0, "device": 200}
    missing_row = logged_of(1, links=[Links("a1")])
    late = np.array([[role == "account" for role in order]])
    assert waited(settings, missing_row, late)[0, order.index("account")] == 700


def test_the_segments_reach_as_far_as_the_slowest_writer(settings: Settings, engine: Engine) -> None:
    append(engine, *((at, Played(SubjectRef("track", "t1"), "a1", 40.0)) for at in range(1, 4)))
    assert segments_reach(settings, engine) == 0
    segments = Segments(settings.features_dir / "segments")
    segments.prepare()
    segments.write({**empty_batch(), "account": batch("account", ("a1", 2, (None,)))}, 2)
    assert segments_reach(settings, engine) == AT + 2
    segments.write({**empty_batch(), "account": batch("account", ("a1", 3, (None,)))}, 3)
    assert segments_reach(settings, engine) > AT + clock.DAY
    with pytest.raises(ConfigurationError, match="rebuild"):
        segments_reach(settings.model_copy(update={"partitions": 2}), engine)


def test_a_tally_joins_chunks_and_keeps_the_largest_difference() -> None:
    tally, nan = Tally(checked=100), float("nan")
    first = logged_of(3)
    tally.differ("value", "item.age_h", first, np.array([2]), np.array([nan]), np.array([1.0]))
    assert math.isnan(tally.columns()[0].largest)
    tally.differ("value", "item.age_h", first, np.array([0, 1]), np.array([1.0, 5.0]), np.array([2.0, 2.0]))
    tally.differ("value", "item.age_h", first, np.array([2]), np.array([nan]), np.array([1.0]))
    tally.differ("stale row", "item row", first, np.array([0]), np.array([nan]), np.array([4.0]))
    age, row = tally.columns()
    assert (age.column, age.predictions, age.largest, age.example.prediction_id) == ("item.age_h", 4, 3.0, "p1")
    assert (age.example.served, age.example.expected) == (5.0, 2.0)
    assert (row.kind, row.column, row.predictions) == ("stale row", "item row", 1)
    assert tally.lag() == Lag(0.0, 0.0, 0.0, 0.0)
    tally.behind(np.array([clock.SECOND]))
    tally.behind(np.array([3 * clock.SECOND]))
    assert tally.lag() == pytest.approx((0.02, 2.0, 2.98, 3.0))


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
    column = ColumnSkew("stale row", "account.strikes", "violations found before", 7, float("nan"), example)
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
