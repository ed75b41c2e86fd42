"""An online store with its writer, all of its readers, and its expected content."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from features.feast.store import open_store
from features.layout import JOIN_KEYS, Layout
from features.online.codec import Values, fields, float_list_value, string_value_of
from features.online.feast import FeastStore
from features.online.stores import open_online_store
from features.online.writer import OnlineRow, OnlineWriter
from leads import clock
from leads.settings import Settings, load_settings

START = clock.from_text("2026-03-01T00:00:00Z")


def row(layout: Layout, key: str, at: int, pattern: list[int], linked: str | None = None) -> OnlineRow:
    packed = np.resize(np.array(pattern, dtype="<u4"), layout.width).tobytes()
    return key, packed, (linked,) * len(layout.links), START + at


def values_of(layout: Layout, written: OnlineRow | None) -> Values:
    if written is None:
        return (None,) * len(fields(layout))
    return (float_list_value(written[1]), *(string_value_of(text) for text in written[2]))


def stored(found: list[Values]) -> list[Values]:
    """Empty values as None: Feast's null is an empty value, and its Redis store returns one for missing entities."""
    return [tuple(value or None for value in values) for values in found]


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
        """Write and note what is expected. Of two equally old rows SQLite keeps the second, Redis the first."""
        self.writer.write_view(layout, rows)
        for new in rows:
            before = self.expected.get((layout.view, new[0]))
            takes_equal = self.settings.online_store == "sqlite"
            if before is None or new[3] > before[3] or (takes_equal and new[3] == before[3]):
                self.expected[layout.view, new[0]] = new

    def check(self, layout: Layout, asked: list[str]) -> None:
        expected = [self.expected.get((layout.view, key)) for key in asked]
        wanted = stored([values_of(layout, row) for row in expected])
        assert stored(self.direct.get([(layout, asked)])[0]) == wanted
        assert stored(self.through_feast.get([(layout, asked)])[0]) == wanted
        self.check_feast(layout, asked, expected)

    def check_feast(self, layout: Layout, asked: list[str], expected: list[OnlineRow | None]) -> None:
        names = fields(layout)
        answer = self.feast.get_online_features(
            features=[f"{layout.view}:{name}" for name in names],
            entity_rows=[{JOIN_KEYS[layout.view]: key} for key in asked],
        ).to_dict(include_event_timestamps=True)
        for i, row in enumerate(expected):
            if row is None:
                assert [answer[name][i] for name in names] == [None] * len(names)
                continue
            same_floats(answer[names[0]][i], row[1])
            assert [answer[name][i] for name in names[1:]] == list(row[2])
            assert answer[f"{names[0]}__ts"][i] == row[3] // clock.SECOND

    def close(self) -> None:
        self.direct.close()
        self.through_feast.close()


def same_floats(found: list[float], packed: bytes) -> None:
    """Compare bit by bit, except NaN, whose payload Python's floats don't keep."""
    values, expected = np.array(found, dtype="<f4"), np.frombuffer(packed, dtype="<f4")
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(values), ~known)
    assert values[known].tobytes() == expected[known].tobytes()


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
