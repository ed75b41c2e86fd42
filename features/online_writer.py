"""The online writer: each entity's newest packed row, through Feast's own online store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from features.fold import Batch, Links, layout_of
from features.rows import ITEM, LAYOUTS
from features.segments import JOIN_KEYS, packed_name
from features.store import open_store
from leads.clock import to_datetime
from leads.settings import Settings

if TYPE_CHECKING:
    from feast.protos.feast.types.Value_pb2 import Value

_CHUNK = 1_000


class OnlineWriter:
    """Writes the newest row of each entity, in batches, through Feast's online store."""

    def __init__(self, settings: Settings) -> None:
        self._store = open_store(settings, apply=True)
        from feast.infra.online_stores.helpers import get_online_store_from_config

        self._online = get_online_store_from_config(self._store.config.online_store)
        self._views = {layout.view: self._store.get_feature_view(layout.view) for layout in LAYOUTS}

    def write(self, batches: Sequence[Batch]) -> int:
        """Write what the batches end with, entity by entity; returns the number of rows written.

        Items go last: who reads an item's row and follows its links finds the account's and parent's rows there.
        """
        written = 0
        for layout in reversed(LAYOUTS):
            rows = _newest(batches, layout.view)
            for start in range(0, len(rows), _CHUNK):
                self._online.online_write_batch(
                    self._store.config, self._views[layout.view], rows[start : start + _CHUNK], None
                )
            written += len(rows)
        return written

    def clear(self) -> None:
        """Remove every row from the online store."""
        entities = [self._store.get_entity(layout.view) for layout in LAYOUTS]
        self._online.teardown(self._store.config, list(self._views.values()), entities)
        self._store.registry.teardown()


def _newest(batches: Sequence[Batch], view: str) -> list[Any]:
    """(entity key, values, event time, created) as Feast's stores take them, one per entity."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    size = layout_of(view).width * 4
    newest: dict[str, tuple[bytes, int, Links]] = {}
    for batch in batches:
        rows = batch[view]
        raw = memoryview(rows.raw)
        for i, key in enumerate(rows.keys):
            links = rows.links[i] if view == ITEM.view else Links()
            newest[key] = (bytes(raw[i * size : (i + 1) * size]), rows.visible_at[i], links)
    out = []
    for key, (packed, visible_at, links) in newest.items():
        values = {packed_name(view): _float_list(packed)}
        if view == ITEM.view:
            values["item_account"] = Value(string_val=links.account_id) if links.account_id else Value()
            values["item_parent"] = Value(string_val=links.parent_key) if links.parent_key else Value()
        entity = EntityKey(join_keys=[JOIN_KEYS[view]], entity_values=[Value(string_val=key)])
        out.append((entity, values, to_datetime(visible_at), None))
    return out


def _float_list(packed: bytes) -> Value:
    """A float list's wire form is its packed floats, so that no float passes through Python."""
    from feast.protos.feast.types.Value_pb2 import FloatList, Value

    return Value(float_list_val=FloatList.FromString(b"\x0a" + _varint(len(packed)) + packed))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
