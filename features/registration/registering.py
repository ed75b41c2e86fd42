"""Registers the user's own views in Feast, in the same project and registry as ours."""

from __future__ import annotations

from collections.abc import Iterable

from features.declared.generations import live_features
from features.feast.store import known_warnings_ignored, open_store
from features.registration.loading import SETTING, OwnViews
from leads.errors import ConfigurationError
from leads.files import in_turn, private_folder
from leads.settings import Settings


def register(settings: Settings, views: OwnViews) -> None:
    """Register the views, with their entities and sources. Online stores that have tables get one for each.

    Raises:
        ConfigurationError: Feast refuses the definitions.
    """
    private_folder(settings.features_dir)
    with in_turn(settings.features_dir / "registry.lock"):
        store = open_store(settings, apply=True)
        from feast import Entity

        ours = {layout.view for layout in live_features(settings).layouts}
        objects = [one for one in views.objects if not (isinstance(one, Entity) and one.name in ours)]
        try:
            with known_warnings_ignored():
                store.apply(objects)
        # Feast raises many types of exceptions.
        except Exception as error:
            raise ConfigurationError(
                f"Feast can't register the feature views ({type(error).__name__}: {error}).",
                field=SETTING,
                remedy="Correct their definitions.",
            ) from error


def unregister(settings: Settings, names: Iterable[str]) -> None:
    """Remove views, and their values in the online store."""
    private_folder(settings.features_dir)
    with in_turn(settings.features_dir / "registry.lock"):
        store = open_store(settings)
        gone = [view for view in store.list_feature_views() if view.name in set(names)]
        with known_warnings_ignored():
            store.apply([], objects_to_delete=gone, partial=False)
