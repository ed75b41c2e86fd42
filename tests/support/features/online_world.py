"""An online store with its writer, all of its readers, and its expected content."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from features.feast.store import open_store
from features.layout import Layout
from features.online.codec import Column, bytes_value, row_of
from features.online.feast import FeastStore
from features.online.stores import open_online_store
from features.online.writer import OnlineRow, OnlineWriter
from features.rows import pack
from leads import clock
from leads.settings import Settings, load_settings

START = clock.from_text("2026-03-01T00:00:00Z")


def row(layout: Layout, key: str, at: int, pattern: list[int], linked: str | None = None) -> OnlineRow:
    cells = np.resize(np.array(pattern, dtype="<u4"), (1, layout.width)).view("<f4")
    return key, pack(layout, cells, [(linked,) * len(layout.links)])[0], START + at


def value_of(written: OnlineRow | None) -> bytes | None:
    return None if written is None else bytes_value(written[1])


def stored(columns: list[Column]) -> list[bytes | None]:
    """The only column, empty values as None: Feast's null is empty, and its Redis store returns it where nothing is."""
    (column,) = columns
    return [value or None for value in column]


class World:
    """One store with its writer, its readers, and its expected content."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.writer = OnlineWriter(settings)
        self.direct = open_online_store(settings)
        self.through_feast = FeastStore(settings)
        self.feast = open_store(settings)
        self.expected: dict[tuple[str, str], OnlineRow] = {}
        self.round = 0

    def write(self, layout: Layout, rows: list[OnlineRow]) -> None:
        """Write and note what is expected. Of two equally old rows the second counts."""
        self.writer.write_view(layout, rows)
        for new in rows:
            before = self.expected.get((layout.view, new[0]))
            if before is None or new[2] >= before[2]:
                self.expected[layout.view, new[0]] = new

    def check(self, layout: Layout, asked: list[str]) -> None:
        expected = [self.expected.get((layout.view, key)) for key in asked]
        wanted = [value_of(row) for row in expected]
        assert stored(self.direct.get([row_of(layout, asked)])[0]) == wanted
        assert stored(self.through_feast.get([row_of(layout, asked)])[0]) == wanted
        self.check_feast(layout, asked, expected)

    def check_feast(self, layout: Layout, asked: list[str], expected: list[OnlineRow | None]) -> None:
        name = layout.packed_name
        answer = self.feast.get_online_features(
            features=[f"{layout.view}:{name}"],
            entity_rows=[{layout.join_key: key} for key in asked],
        ).to_dict(include_event_timestamps=True)
        for i, row in enumerate(expected):
            assert answer[name][i] == (None if row is None else row[1])
            if row is not None:
                assert answer[f"{name}__ts"][i] == row[2] // clock.SECOND

    def close(self) -> None:
        self.direct.close()
        self.through_feast.close()


def other_sqlite(home: Path, path: Path) -> Settings:
    """Settings for Feast's own SQLite store, as an example of a store that is only read through Feast."""
    return load_settings(
        home=home,
        corpora="",
        online_store="feast.infra.online_stores.sqlite.SqliteOnlineStore",
        online_store_options=f'{{"path": "{path}"}}',
    )


def redis_by_options(home: Path, address: str, more: str = "") -> Settings:
    options = f'{{"connection_string": "{address}"{more}}}'
    return load_settings(home=home, corpora="", online_store="redis", online_store_options=options)
