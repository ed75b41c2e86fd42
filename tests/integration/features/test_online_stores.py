"""One contract for the online stores: what the writer takes, the direct readers and Feast itself read back alike."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.declared.builtin import BUILTIN, LAYOUTS
from features.feast.store import known_warnings_ignored, online_store_of, open_store
from features.fold.fold import ViewBatch, empty_batch
from features.offline.segments import Segments, view_folder
from features.online.codec import Wanted, entity_key, row_of
from features.online.stores import open_online_store
from features.online.writer import Newest, OnlineWriter, collect
from leads import clock
from leads.settings import Settings, load_settings
from tests.support.features.dense_home import string_value_of
from tests.support.features.online_world import START, World, other_sqlite, row, stored, value_of
from tests.support.paths import REPOSITORY

# Bit patterns: 0, -0, 1, the smallest denormal, ±inf, the quiet NaN, one with a payload, a signalling NaN.
SPECIAL = [0, 0x80000000, 0x3F800000, 1, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345, 0x7F800001]

bits = st.lists(st.sampled_from(SPECIAL) | st.integers(0, 2**32 - 1), min_size=1, max_size=6)
keys = st.sampled_from(["", "a:1", "track:ß✓\u0000", "x" * 3_000]) | st.text(max_size=6)
link = st.none() | keys
# Instants near one another, some equal, some in one second.
instants = st.sampled_from([0, 1, 2, 999_999, 1_000_000, 5_000_000])


def settings_of(store: str, home: Path, request: pytest.FixtureRequest) -> Settings:
    address = request.getfixturevalue("redis_address") if store == "redis" else None
    return load_settings(home=home, corpora="", online_store=store, redis_url=address)


@pytest.fixture(params=["sqlite", "redis"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(settings_of(request.param, tmp_path, request))
    yield made
    made.close()


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_all_readers_agree_on_the_newest_row(world: World, data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(LAYOUTS))
    # Examples share the store: each is newer than the last, so that its rows count.
    world.round += 1
    since = world.round * clock.MINUTE
    some = data.draw(st.lists(keys, min_size=1, max_size=3, unique=True))
    one = st.builds(
        lambda key, at, pattern, linked: row(layout, key, since + at, pattern, linked),
        st.sampled_from(some),
        instants,
        bits,
        link,
    )
    for rows in data.draw(st.lists(st.lists(one, min_size=1, max_size=4), min_size=1, max_size=3)):
        world.write(layout, rows)
    world.check(layout, [*some, *data.draw(st.lists(keys, max_size=3)), some[0]])


def test_views_are_read_together(world: World) -> None:
    for layout in LAYOUTS:
        world.write(layout, [row(layout, f"{layout.view}{i}", 0, [i + 1], None) for i in range(3)])
    wanted = [row_of(layout, [f"{layout.view}{i}" for i in (2, 0, 7)]) for layout in LAYOUTS]
    expected = [[value_of(world.expected.get((one.layout.view, key))) for key in one.keys] for one in wanted]
    for store in (world.direct, world.through_feast):
        assert [stored(found) for found in store.get(wanted)] == expected
    assert world.direct.get([row_of(LAYOUTS[0], [])]) == [[[]]]


def test_more_entities_than_a_statement_takes(world: World) -> None:
    layout = LAYOUTS[-1]
    world.write(layout, [row(layout, str(i), 0, [i]) for i in range(2_345)])
    world.check(layout, [str(i) for i in reversed(range(-5, 2_400))])


def test_threads_get_their_own_answers(world: World) -> None:
    layout = LAYOUTS[0]
    world.write(layout, [row(layout, str(i), 0, [i + 1], str(i)) for i in range(40)])

    def read(i: int) -> bool:
        asked = [str(i), str(39 - i)]
        wanted = [value_of(world.expected[layout.view, key]) for key in asked]
        return all(stored(world.direct.get([row_of(layout, asked)])[0]) == wanted for _ in range(25))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(40)))


def test_the_writer_takes_each_entitys_last_row(world: World) -> None:
    layout = LAYOUTS[0]
    newest: Newest = {one.view: {} for one in LAYOUTS}
    for i in range(3):
        batch = empty_batch(BUILTIN)
        key, packed, at = row(layout, "k", i, [i + 1], str(i))
        batch[layout.view].extend(ViewBatch([key], [i + 1], [at], [packed]))
        collect(batch, newest)
    assert world.writer.write(newest) == 1
    world.expected[layout.view, "k"] = row(layout, "k", 2, [3], "2")
    world.check(layout, ["k"])


def test_what_was_cleared_is_gone_for_open_readers_too(world: World) -> None:
    layout = LAYOUTS[0]
    world.write(layout, [row(layout, "k", 5, [1])])
    world.check(layout, ["k"])
    world.writer.clear()
    world.expected.clear()
    world.writer = OnlineWriter(world.settings)
    assert stored(world.direct.get([row_of(layout, ["k"])])[0]) == [value_of(None)]
    world.write(layout, [row(layout, "k", 0, [2])])
    assert stored(world.direct.get([row_of(layout, ["k"])])[0]) == [value_of(row(layout, "k", 0, [2]))]


def test_feasts_materialization_cant_put_a_row_back(world: World) -> None:
    layout = next(layout for layout in LAYOUTS if not layout.links)
    older, newer, newest = (row(layout, key, at, [n]) for key, at, n in (("k", 10, 1), ("k", 20, 2), ("l", 30, 3)))
    batch = empty_batch(BUILTIN)
    for offset, (key, packed, at) in enumerate((older, newest)):
        batch[layout.view].extend(ViewBatch([key], [offset + 1], [at], [packed]))
    segments = Segments(world.settings.features_dir / "segments")
    segments.prepare()
    segments.write(batch, 2)
    world.write(layout, [newer])
    with known_warnings_ignored():
        store = open_store(world.settings, apply=True)
        store.materialize(
            clock.to_datetime(START) - timedelta(days=1), clock.to_datetime(START) + timedelta(days=1), [layout.view]
        )
    world.expected[layout.view, "l"] = newest
    world.check(layout, ["k", "l"])


def test_the_command_line_reads_the_segments_of_its_home() -> None:
    from feast import FeatureView

    from features.repo import definitions

    views = [one for one in vars(definitions).values() if isinstance(one, FeatureView)]
    found = {view.name: view.batch_source.path for view in views}
    segments = REPOSITORY / "var" / "features" / "segments"
    assert found == {layout.view: str(view_folder(segments, layout.view)) for layout in LAYOUTS}


def test_a_feature_that_the_newer_row_lacks_doesnt_come_from_an_older_one(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, corpora="")
    OnlineWriter(settings)
    store = open_store(settings)
    layout = next(layout for layout in LAYOUTS if layout.links)
    view = store.get_feature_view(layout.view)
    online = online_store_of(store)
    key = entity_key(layout.join_key, "k")
    wanted = Wanted(layout, ["k"], ("one", "two"))
    online.write_rows(store.config, view, [(key, "one", b"new", None, START + 1)])
    online.write_rows(
        store.config, view, [(key, "one", b"old", None, START), (key, "two", string_value_of("x"), "x", START)]
    )
    reader = open_online_store(settings)
    assert reader.get([wanted]) == [[[b"new"], [None]]]
    reader.close()


def test_a_file_of_feasts_plain_store_is_taken_over(tmp_path: Path) -> None:
    """Its rows have no exact instant; the whole second counts."""
    path = tmp_path / "features" / "online.db"
    plain = other_sqlite(tmp_path, path)
    layout = LAYOUTS[-1]
    OnlineWriter(plain).write_view(layout, [row(layout, "k", 2 * clock.SECOND, [1])])
    guarded = World(load_settings(home=tmp_path, corpora=""))
    guarded.expected[layout.view, "k"] = row(layout, "k", 2 * clock.SECOND, [1])
    guarded.write(layout, [row(layout, "k", clock.SECOND, [2])])
    guarded.check(layout, ["k"])
    guarded.write(layout, [row(layout, "k", 3 * clock.SECOND, [3])])
    guarded.check(layout, ["k"])
    guarded.close()


def test_a_write_fails_whole(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, corpora="")
    world = World(settings)
    layout = LAYOUTS[-1]
    broken: Any = ("l", b"row", "no time")
    with pytest.raises(TypeError):
        world.writer.write_view(layout, [row(layout, "k", 0, [1]), broken])
    world.check(layout, ["k", "l"])
    with sqlite3.connect(settings.features_dir / "online.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    world.close()
