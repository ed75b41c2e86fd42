"""What the online reader itself makes of stored garbage: nothing or Unavailable, never a feature, no other error.

The guard around it would turn any other error into Unavailable as well, but for the whole call: one damaged row must
not cost the features of a thousand subjects.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from features.declared.builtin import ITEM
from features.feast.online_config import PROJECT
from features.feast.values import varint
from features.online.codec import bytes_value, entity_key
from features.online.dense import float_list_value
from features.online.reader import Fetched, OnlineReader, open_reader
from features.rows import pack
from leads.errors import Unavailable
from leads.events import Subject
from leads.settings import Settings, load_settings
from tests.support.features.dense_home import string_value_of
from tests.support.features.fake_redis import GARBAGE, WRONG_TYPES, FakeRedis, Mode, cells_of, fake_redis, value_of

C1, C2 = Subject("comment", "c1"), Subject("comment", "c2")
CELLS = cells_of(ITEM, c0=1.0)
GOOD = pack(ITEM, CELLS[None], [("a1", None, None, None)])[0]


def tagged(tag: bytes, packed: bytes) -> bytes:
    """A `Value` that holds another list than one of floats, as long as a row."""
    inner = b"\x0a" + varint(len(packed)) + packed
    return tag + varint(len(inner)) + inner


# Each in a row's place. All are as long as a row, or nearly.
NO_ROWS = {
    "double_list": tagged(b"\x7a", GOOD),
    "int32_list": tagged(b"\x6a", GOOD),
    "a string": string_value_of("x" * len(GOOD)),
    "a float list of another width": float_list_value(CELLS[:-1].tobytes()),
    "a float list with more behind": float_list_value(CELLS.tobytes()) + b"\x00",
    "a cut float list": float_list_value(CELLS.tobytes())[:-1],
    "a row with more behind": bytes_value(GOOD) + b"\x00",
    "a row with a cell too many": bytes_value(GOOD + bytes(4)),
    "a row without its last cell": bytes_value(GOOD[:-4]),
    "a cut row": bytes_value(GOOD)[:-1],
    "a cut head": bytes_value(GOOD)[1:],
    "a row of other layouts": bytes_value(b"\xff" + GOOD[1:]),
    "a row with longer links": bytes_value(GOOD[:1] + b"\xff\xff" + GOOD[3:]),
    "bytes": bytes_value(b"x"),
    "no bytes": bytes_value(b""),
    "an endless length": b"\x0a\xff",
    "noise": bytes(range(256)) * (len(GOOD) // 256 + 1),
    "noise as long as a row": (bytes(range(1, 256)) * (len(GOOD) // 255 + 1))[: len(bytes_value(GOOD))],
    "nothing": b"",
    "a bool": b"\x38\x01",
    "one float": b"\x35" + struct.pack("<f", 1.0),
}
# Each in the place of a row's links.
NO_LINKS = {
    "not UTF-8": b"\x94\xa2\xff\xfe\xc0\xc0\xc0",
    "longer than it is": b"\x94\xa9x\xc0\xc0\xc0",
    "more behind": b"\x94\xc0\xc0\xc0\xc0\xc0",
    "too few": b"\x93\xa2a1\xc0\xc0",
    "too many": b"\x95\xa2a1\xc0\xc0\xc0\xc0",
    "nothing": b"",
    "a number": b"\x94\x05\xc0\xc0\xc0",
    "no list": b"\xa2a1",
}


@pytest.fixture
def server() -> Iterator[FakeRedis]:
    with fake_redis() as made:
        made.store(ITEM, C2.key, CELLS, ["a2"])
        yield made


@pytest.fixture(params=["redis", "sqlite"])
def kept(request: pytest.FixtureRequest, server: FakeRedis, tmp_path: Path) -> Iterator[Kept]:
    """A store of each kind."""
    made = Kept(tmp_path, server if request.param == "redis" else None)
    yield made
    made.reader.close()


class Kept:
    """A store that holds a good row of c2, and of c1 whatever it is told."""

    def __init__(self, home: Path, server: FakeRedis | None) -> None:
        self._server = server
        more = {"online_store": "redis", "redis_url": server.address} if server else {}
        self.settings: Settings = load_settings(home=home, corpora="", **more)
        self.reader: OnlineReader = open_reader(self.settings)
        if server is None:
            self._put(C2, value_of(ITEM, CELLS, ["a2"]))

    def hold(self, value: bytes) -> None:
        if self._server:
            self._server.store_value(ITEM, C1.key, value)
        else:
            self._put(C1, value)

    def _put(self, subject: Subject, value: bytes) -> None:
        self.settings.features_dir.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(self.settings.features_dir / "online.db") as connection:
            for view in {ITEM.view, "account", "parent", "bucket", "device"}:
                connection.execute(
                    f'CREATE TABLE IF NOT EXISTS "{PROJECT}_{view}" (entity_key BLOB, feature_name TEXT, value BLOB, '
                    "event_ts timestamp, created_ts timestamp, PRIMARY KEY (entity_key, feature_name))"
                )
            connection.execute(
                f'INSERT INTO "{PROJECT}_{ITEM.view}" (entity_key, feature_name, value) VALUES (?, ?, ?)',
                (entity_key(ITEM.join_key, subject.key), ITEM.packed_name, value),
            )
        connection.close()


def fetched_of(reader: OnlineReader) -> Fetched:
    """The other subject's row and link are whole whatever is wrong with the first's."""
    fetched = reader.fetch([C1, C2])
    assert fetched.packed["item"][1, 0] == 1.0
    assert fetched.links[1].account_id == "a2"
    return fetched


@pytest.mark.parametrize("what", NO_ROWS)
def test_what_is_no_row_is_nothing(kept: Kept, what: str) -> None:
    kept.hold(NO_ROWS[what])
    fetched = fetched_of(kept.reader)
    assert np.isnan(fetched.packed["item"][0]).all()
    assert fetched.row_at[0].tolist() == [0] * fetched.row_at.shape[1]


@pytest.mark.parametrize("cell", [np.inf, -np.inf, 3e38, -3e38, 2.0**24 + 2])
@pytest.mark.parametrize("place", [0, -1])
def test_a_row_that_no_fold_can_have_counted_is_nothing(kept: Kept, cell: float, place: int) -> None:
    cells = CELLS.copy()
    cells[place] = cell
    kept.hold(bytes_value(pack(ITEM, cells[None], [("a1", None, None, None)])[0]))
    fetched = fetched_of(kept.reader)
    assert np.isnan(fetched.packed["item"][0]).all()
    assert fetched.row_at[0].tolist() == [0] * fetched.row_at.shape[1]
    assert fetched.links[0].account_id is None


@pytest.mark.parametrize("cell", [2.0**24, -(2.0**24), np.nan])
def test_the_largest_counts_are_read(kept: Kept, cell: float) -> None:
    cells = CELLS.copy()
    cells[-1] = cell
    kept.hold(bytes_value(pack(ITEM, cells[None], [("a1", None, None, None)])[0]))
    fetched = fetched_of(kept.reader)
    np.testing.assert_array_equal(fetched.packed["item"][0], cells)
    assert fetched.links[0].account_id == "a1"


@pytest.mark.parametrize("what", NO_LINKS)
def test_what_is_no_link_is_nothing(kept: Kept, what: str) -> None:
    links = NO_LINKS[what]
    cells = GOOD[3 + int.from_bytes(GOOD[1:3], "little") :]
    kept.hold(bytes_value(GOOD[:1] + len(links).to_bytes(2, "little") + links + cells))
    fetched = fetched_of(kept.reader)
    assert fetched.packed["item"][0, 0] == 1.0
    assert fetched.links[0].account_id is None


@pytest.mark.parametrize(
    ("mode", "reply"), [*(("garbage", reply) for reply in GARBAGE), *(("wrong_type", reply) for reply in WRONG_TYPES)]
)
def test_what_is_no_answer_is_unavailable(server: FakeRedis, tmp_path: Path, mode: Mode, reply: bytes) -> None:
    reader = Kept(tmp_path, server).reader
    server.mode, server.reply = mode, reply
    with pytest.raises(Unavailable):
        reader.fetch([C1])
    # A connection that said such things isn't asked again.
    server.mode = "ok"
    fetched_of(reader)
    reader.close()
