"""Segments as earlier releases wrote them: all cells of a row as a list of floats, each link in a column of its own.

The worker rewrites them in the background (`Segments.compact`). Until it has, readers understand both forms.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.layout import Layout
from features.rows import pack


def is_dense(layout: Layout, schema: pa.Schema) -> bool:
    """Whether a segment with this schema was written by an earlier release."""
    return isinstance(schema.field(layout.packed_name).type, pa.ListType)


def stored_rows(layout: Layout, table: pa.Table) -> list[bytes]:
    """The rows of a part of such a segment in today's form."""
    packed = table[layout.packed_name].combine_chunks()
    cells = packed.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    links = zip(*(table[name].to_pylist() for name in layout.links), strict=True) if layout.links else [()] * len(table)
    return pack(layout, cells.reshape(len(table), layout.width), list(links))


def as_stored(layout: Layout, table: pa.Table) -> pa.Table:
    """A part of such a segment with rows in today's form."""
    name = layout.packed_name
    rows = pa.array(stored_rows(layout, table), pa.binary())
    table = table.drop_columns(list(layout.links))
    return table.set_column(table.schema.get_field_index(name), name, rows)
