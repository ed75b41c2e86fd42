"""Feast's registry in a home that was moved: nothing is read from, or dropped in, the old place."""

from __future__ import annotations

from pathlib import Path

from feast.infra.registry.registry_store import RegistryStore
from feast.protos.feast.core.Registry_pb2 import Registry

from features.feast.registry_store import HomeRegistryStore, follow_home
from features.feast.store import open_store
from leads.settings import load_settings


def test_a_moved_home_reads_its_own_segments(tmp_path: Path) -> None:
    first = load_settings(home=tmp_path / "first", corpora="none")
    open_store(first, apply=True)
    (tmp_path / "first").rename(tmp_path / "100% second")
    moved = load_settings(home=tmp_path / "100% second", corpora="none")
    store = open_store(moved)
    paths = [source.path for source in store.list_data_sources() if hasattr(source, "path")]
    paths += [view.batch_source.path for view in store.list_feature_views()]
    paths += [
        projection.batch_source.path
        for service in store.list_feature_services()
        for projection in service.feature_view_projections
        if projection.batch_source is not None
    ]
    assert len(paths) > 10
    assert {Path(path).is_relative_to(moved.features_dir / "segments") for path in paths} == {True}
    assert not (tmp_path / "first").exists()


def test_only_what_lies_in_a_home_moves() -> None:
    registry = Registry()
    for name, uri in (
        ("item_segments", "/old/features/segments/item/v2"),
        ("item_3_segments", "/old/features/generation-3/segments/item/v2"),
        ("trust", "/data/features/segments/trust.parquet"),
    ):
        registry.data_sources.add(name=name).file_options.uri = uri
    view = registry.feature_views.add()
    view.spec.batch_source.name = "account_segments"
    view.spec.batch_source.file_options.uri = "/old/features/segments/account/v2"
    used = registry.on_demand_feature_views.add().spec.sources["item"]
    used.feature_view_projection.batch_source.CopyFrom(registry.data_sources[0])
    for path in ("/old/features/online.db", "/data/other.db"):
        registry.infra.infra_objects.add().sqlite_table.path = path

    follow_home(registry, Path("/new/features"))
    assert [source.file_options.uri for source in registry.data_sources] == [
        "/new/features/segments/item/v2",
        "/new/features/generation-3/segments/item/v2",
        "/data/features/segments/trust.parquet",
    ]
    assert view.spec.batch_source.file_options.uri == "/new/features/segments/account/v2"
    assert used.feature_view_projection.batch_source.file_options.uri == "/new/features/segments/item/v2"
    assert [one.sqlite_table.path for one in registry.infra.infra_objects] == [
        "/new/features/online.db",
        "/data/other.db",
    ]


def test_it_is_one_of_feasts_stores() -> None:
    assert issubclass(HomeRegistryStore, RegistryStore)
