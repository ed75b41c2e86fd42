"""The point-in-time join over the Parquet source of an own view, against a plain loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.layout import visible_at
from features.views import history
from features.views.history import check_source, read_history
from leads.errors import ConfigurationError, NotFound
from tests.support.features.own_views import COLUMNS, TrustRow, features_with, trust, write_history

KEYS = ["a", "b", "c"]
times = st.integers(1, 12).map(lambda n: n * 86_400_000_000 + n)
row = st.tuples(
    st.sampled_from(KEYS), times, times, st.none() | st.integers(-5, 5), st.none() | st.floats(-5, 5), st.booleans()
)


def best(rows: list[TrustRow], key: str, at: int, until: int) -> TrustRow | None:
    """The row that counts; of equal ones the last in the file."""
    visible = [(one[1], one[2], i) for i, one in enumerate(rows) if one[0] == key and one[1] <= at and one[2] <= until]
    return rows[max(visible)[2]] if visible else None


@hypothesis_settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(row, min_size=1, max_size=30),
    asked=st.lists(st.tuples(st.sampled_from([*KEYS, "x", None]), times, st.none() | times), max_size=12),
    batch=st.integers(1, 9),
)
def test_it_finds_what_a_loop_finds(
    tmp_path: Path, rows: list[TrustRow], asked: list[tuple[str | None, int, int | None]], batch: int
) -> None:
    view = features_with(trust=trust(path=str(write_history(tmp_path, rows)))).views[0]
    at = np.array([one[1] for one in asked], np.int64)
    until = np.array([one[1] if one[2] is None else one[2] for one in asked], np.int64)
    found = np.full((len(asked), view.width), np.nan, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_BATCH", batch)
        read_history(view, [one[0] for one in asked], at, found, available=until)
    expected = [
        None if key is None else best(rows, key, *one)
        for (key, *_), one in zip(asked, zip(at, until, strict=True), strict=True)
    ]
    assert visible_at(found).tolist() == [0 if one is None else one[1] for one in expected]
    values = [[np.nan] * 3 if one is None else [np.nan if x is None else float(x) for x in one[3:]] for one in expected]
    np.testing.assert_array_equal(found[:, -3:], np.array(values, np.float32).reshape(-1, 3))


def test_times_without_a_zone_in_a_folder_of_files_are_utc(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for i, type_ in enumerate((pa.timestamp("ms"), pa.timestamp("ns", tz="Europe/Berlin"))):
        times = pa.array([86_400_000 * (i + 1)], pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
        columns = {"account_id": ["a"], "level": [i], "refunds": [0.5], "is_partner": [True]}
        at = times.cast(type_) if type_.tz else times.cast(pa.timestamp("ms"))
        pq.write_table(pa.table({**columns, "event_timestamp": at}), folder / f"{i}.parquet")
    view = features_with(trust=trust(path=str(folder), available=None)).views[0]
    found = np.full((2, view.width), np.nan, np.float32)
    read_history(view, ["a", "a"], np.array([86_400_000_000, 2 * 86_400_000_000]), found)
    assert found[:, -3].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamp": "when"}, "has no column when"),
        ({"available": "level"}, "has int64 in the column level, not timestamps"),
        ({"columns": {"refunds": COLUMNS["level"]}}, "has double in the column refunds, not int64"),
        ({"columns": {"level": COLUMNS["is_partner"]}}, "has int64 in the column level, not bool"),
    ],
)
def test_a_source_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = write_history(tmp_path, [("a", 1, 1, 1, 1.0, True)])
    with pytest.raises(ConfigurationError, match=message):
        check_source("trust", trust(path=str(path), **change))


def written(folder: Path, **columns: pa.Array | None) -> Path:
    """A Parquet source with one row, in which these columns are others; None leaves one out."""
    table = pq.read_table(write_history(folder, [("a", 86_400_000_000, 86_400_000_000, 1, 1.0, True)]))
    for name, values in columns.items():
        table = table.drop_columns([name])
        if values is not None:
            table = table.append_column(name, values)
    path = folder / "trust.parquet"
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"level": pa.array([2.7])}, "has double in the column level, not int64"),
        ({"level": pa.array([np.nan])}, "has double in the column level, not int64"),
        ({"level": pa.array(["2"])}, "has string in the column level, not int64"),
        ({"level": None}, "has no column level"),
        ({"level": pa.array([2**63], pa.uint64())}, "has 9223372036854775808 in the column level, not int64"),
        ({"refunds": pa.array(["much"])}, "has string in the column refunds, not float64"),
        ({"is_partner": pa.array([1])}, "has int64 in the column is_partner, not bool"),
        ({"event_timestamp": pa.array(["2026-03-01T12:00:00Z"])}, "has string in the column event_timestamp, not time"),
        ({"created": pa.array([1_772_366_400])}, "has int64 in the column created, not timestamps"),
        ({"account_id": pa.array([7.0])}, "has double in the column account_id, not strings"),
        ({"account_id": None}, "has no column account_id"),
    ],
)
def test_what_planning_refuses_is_refused_wherever_the_source_is_read(
    tmp_path: Path, columns: dict[str, pa.Array | None], message: str
) -> None:
    declared = trust(path=str(written(tmp_path, **columns)))
    view = features_with(trust=declared).views[0]
    into = np.full((1, view.width), np.nan, np.float32)
    reading = [
        lambda: [*history.read_rows("trust", declared)],
        lambda: read_history(view, ["a"], np.array([2 * 86_400_000_000]), into),
    ]
    if "9223372036854775808" not in message:
        # What a column's numbers are is known only once they are read.
        reading += [lambda: check_source("trust", declared), lambda: history.count_rows("trust", declared)]
    for read in reading:
        with pytest.raises(ConfigurationError, match=message) as caught:
            read()
        assert str(tmp_path / "trust.parquet") in caught.value.message
        assert caught.value.remedy


def test_missing_numbers_and_keys_of_digits_are_read(tmp_path: Path) -> None:
    columns = {
        "account_id": pa.array([7]),
        "refunds": pa.array([np.nan]),
        # As pandas writes a column without any value.
        "level": pa.array([None], pa.null()),
        "is_partner": pa.array([None], pa.bool_()),
    }
    declared = trust(path=str(written(tmp_path, **columns)))
    check_source("trust", declared)
    view = features_with(trust=declared).views[0]
    found = np.zeros((1, view.width), np.float32)
    read_history(view, ["7"], np.array([2 * 86_400_000_000]), found)
    assert visible_at(found).tolist() == [86_400_000_000]
    assert np.isnan(found[:, -3:]).all()


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gone\.parquet"):
        check_source("trust", trust(path=str(tmp_path / "gone.parquet")))
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    declared = trust(path=str(tmp_path / "bad.parquet"))
    for read in (check_source, history.count_rows, lambda *source: [*history.read_rows(*source)]):
        with pytest.raises(ConfigurationError, match=r"bad\.parquet can't be read"):
            read("trust", declared)
