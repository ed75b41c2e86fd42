"""Our point-in-time join and Feast's give the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.declared.builtin import BUILTIN, LAYOUTS
from features.feast.store import known_warnings_ignored, open_store
from features.materialize import Materializer
from features.offline.join import locate, read_links, read_packed
from features.offline.segments import segment_files
from features.rows import unpack
from leads import clock
from leads.db.engine import open_engine
from leads.settings import load_settings
from tests.support.features.history import log_history

pytestmark = pytest.mark.slow


def test_feast_finds_the_same_rows(tmp_path: Path) -> None:
    import pandas as pd

    settings = load_settings(home=tmp_path, corpora="")
    engine = open_engine(settings)
    head = log_history(engine, 3_000)
    materializer = Materializer(settings, engine, read=250)
    while materializer.step().events:
        materializer.flush()
    while materializer.segments.compact():
        pass
    engine.dispose()
    rng = np.random.default_rng(1)
    store = open_store(settings)
    found_any = 0
    for layout in LAYOUTS:
        files = segment_files(settings, layout, BUILTIN)
        stored = pd.concat(pd.read_parquet(file, columns=[layout.join_key]) for file in files)
        known = sorted(set(stored[layout.join_key]))
        keys = [known[i] for i in rng.integers(len(known), size=200)] + ["unknown"]
        at = rng.integers(head - 6 * clock.DAY, head + clock.DAY, size=len(keys))
        places = locate(files, layout, keys, at)
        packed = np.full((len(keys), layout.width), np.nan, np.float32)
        read_packed(layout, places, packed)
        frame = pd.DataFrame(
            {
                layout.join_key: keys,
                "row": np.arange(len(keys)),
                "event_timestamp": pd.to_datetime(at, unit="us", utc=True).as_unit("us"),
            }
        )
        name = layout.packed_name
        wanted = [f"{layout.view}:{name}", *(f"{layout.view}_links:{link}" for link in layout.links)]
        with known_warnings_ignored():
            joined = store.get_historical_features(frame, wanted).to_df()
        joined = joined.sort_values("row")
        for ours, theirs in zip(packed, joined[name], strict=True):
            if isinstance(theirs, bytes):
                np.testing.assert_array_equal(ours, unpack(layout, [theirs])[0])
                found_any += 1
            else:
                assert np.isnan(ours).all()
        for name, column in zip(layout.links, zip(*read_links(layout, places), strict=True), strict=False):
            assert [x or None for x in joined[name]] == list(column)
    assert found_any > 300
