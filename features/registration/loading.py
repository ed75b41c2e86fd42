"""Loads the Feast definitions of the user's own feature views, and checks them. Only `leads features` calls it."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, get_args

from features.declared.feature_set import FeatureSet
from features.declared.generations import DeclaredFeatures, compiled, declared_features
from features.declared.own_views import roles_by_join_key
from features.feast.store import import_feast
from features.layout import FIRST_NUMBER
from features.views.declaration import MAX_COLUMNS, MAX_VIEWS, ColumnDeclaration, Dtype, ViewDeclaration
from features.views.history import check_source
from leads.errors import ConfigurationError
from leads.messages.wording import counted
from leads.platform.declaration import load_platform
from leads.settings import Settings

SETTING = "LEADS_FEATURE_VIEWS"
# The package that the files are imported as, so that they can't hide one of ours.
_PACKAGE = "leads_feature_views"
_VIEW_NAME, _COLUMN_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}"), re.compile(r"[a-z0-9_]{1,63}")


class OwnViews(NamedTuple):
    """The user's own views.

    Args:
        declared: what is recorded of each, by name.
        objects: their Feast objects: entities, sources and views.
        left_out: columns that aren't numbers, as `view:column`.
    """

    declared: dict[str, ViewDeclaration]
    objects: tuple[Any, ...] = ()
    left_out: tuple[str, ...] = ()


def declared_with_views(settings: Settings) -> tuple[DeclaredFeatures, OwnViews]:
    """What platform.yaml and the folder of own views declare of features.

    Raises:
        ConfigurationError: either isn't valid.
        NotFound: the Parquet source of a view is missing.
    """
    declared = declared_features(load_platform(settings.platform))
    views = load_views(settings, compiled(declared, FIRST_NUMBER + 1))
    return declared.model_copy(update={"views": views.declared}), views


def load_views(settings: Settings, features: FeatureSet) -> OwnViews:
    """The views in the folder that the settings name; none if they name none.

    Args:
        features: what platform.yaml declares; views may be about their entities.

    Raises:
        ConfigurationError: the folder is missing, a file can't be imported, or a view isn't one that can be served.
        NotFound: the Parquet source of a view is missing.
    """
    if settings.feature_views is None:
        return OwnViews({})
    folder = settings.feature_views.expanduser().resolve()
    if not folder.is_dir():
        raise _error(f"{folder} is not a folder.", "Set it to the folder with your Feast definitions, or unset it.")
    import_feast()
    found = [*_objects(folder)]
    views = _views(found)
    entities = {one.name: one for one in _of_type("Entity", found)}
    declared, left_out = {}, list[str]()
    for name, view in sorted(views.items()):
        _check_name(name, features)
        _make_absolute(view, folder)
        declared[name], others = _declared(view, entities, features)
        left_out += others
    _check_limits(declared)
    sources = [source for view in views.values() for source in (view.stream_source, view.batch_source) if source]
    used = {name for view in views.values() for name in view.entities}
    objects = (*(entities[name] for name in sorted(used)), *sources, *views.values())
    return OwnViews(declared, objects, tuple(left_out))


def check_types(before: Mapping[str, ViewDeclaration], after: Mapping[str, ViewDeclaration]) -> None:
    """Check that no column changes its type: the online store would hold values of both.

    Raises:
        ConfigurationError: one does.
    """
    for name in before.keys() & after.keys():
        was, now = before[name].columns, after[name].columns
        for column in was.keys() & now.keys():
            if was[column].dtype != now[column].dtype:
                raise _error(
                    f"The column {name}:{column} was {was[column].dtype} and is now {now[column].dtype}.",
                    "Give the column a new name, and leave the old one out.",
                )


def _objects(folder: Path) -> Iterator[Any]:
    """The objects that the folder's modules define, each once."""
    package = ModuleType(_PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[_PACKAGE] = package
    importlib.invalidate_caches()
    seen: set[int] = set()
    try:
        for path in sorted(folder.glob("*.py")):
            for one in vars(_imported(path)).values():
                if id(one) not in seen:
                    seen.add(id(one))
                    yield one
    finally:
        for name in [name for name in sys.modules if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")]:
            del sys.modules[name]


def _imported(path: Path) -> ModuleType:
    try:
        return importlib.import_module(f"{_PACKAGE}.{path.stem}")
    # It is the user's code.
    except Exception as error:
        raise _error(
            f"{path} can't be imported ({type(error).__name__}: {error}).",
            "Correct the file. Files of the folder import each other with a dot: from .entities import listener",
        ) from error


def _views(found: Iterable[Any]) -> dict[str, Any]:
    from feast import FeatureView
    from feast.base_feature_view import BaseFeatureView

    views: dict[str, Any] = {}
    for one in found:
        if not isinstance(one, BaseFeatureView):
            continue
        if type(one) is not FeatureView:
            raise _error(f"{one.name} is a {type(one).__name__}.", "Use a FeatureView with a push source.")
        if one.name in views:
            raise _error(f"Two views are named {one.name}.", "Give each view a name of its own.")
        views[one.name] = one
    return views


def _of_type(name: str, found: Iterable[Any]) -> list[Any]:
    import feast

    return [one for one in found if isinstance(one, getattr(feast, name))]


def _check_name(name: str, features: FeatureSet) -> None:
    if not _VIEW_NAME.fullmatch(name):
        raise _error(f"{name!r} is not a valid name of a view.", "Use a-z, 0-9 and _, and begin with a letter.")
    ours = {layout.view for layout in features.layouts}
    if name == "named" or re.sub(r"(_[0-9]+)?(_links)?$", "", name) in ours:
        raise _error(f"{name} can't be the name of a view: Lead Serving uses it.", "Give the view another name.")


def _make_absolute(view: Any, folder: Path) -> None:
    """Let the view's Parquet path be relative to the folder."""
    from feast import FileSource
    from feast.data_format import ParquetFormat

    source = view.batch_source
    if not isinstance(source, FileSource) or not isinstance(source.file_format or ParquetFormat(), ParquetFormat):
        raise _error(
            f"The view {view.name} has no Parquet source.",
            "Give it a FileSource, or a PushSource with a FileSource as its batch_source.",
        )
    path = source.path.removeprefix("file://")
    if "://" in path:
        raise _error(
            f"The Parquet source of the view {view.name} is {source.path}, which is not on this machine.",
            "Mount it as a folder, or copy it.",
        )
    if source.field_mapping:
        raise _error(
            f"The Parquet source of the view {view.name} renames columns, which isn't supported.",
            "Use the names of the file in the view's schema.",
        )
    source.file_options.uri = str(folder / Path(path).expanduser())


def _declared(view: Any, entities: Mapping[str, Any], features: FeatureSet) -> tuple[ViewDeclaration, list[str]]:
    """What is recorded of a view, and its columns that aren't numbers."""
    from feast import PushSource

    source = view.batch_source
    columns, left_out = _columns(view)
    declaration = ViewDeclaration(
        join_key=_join_key(view, entities, features),
        columns=columns,
        path=source.path,
        source=source.name,
        timestamp=source.timestamp_field or "event_timestamp",
        available=source.created_timestamp_column or None,
        max_age_s=view.ttl.total_seconds() if view.ttl and view.ttl > timedelta(0) else None,
        push_source=view.stream_source.name if isinstance(view.stream_source, PushSource) else None,
    )
    if not columns:
        raise _error(
            f"The view {view.name} has no columns of numbers.",
            f"Name them in its schema, with one of the types {', '.join(get_args(Dtype))}.",
        )
    check_source(view.name, declaration)
    return declaration, left_out


def _columns(view: Any) -> tuple[dict[str, ColumnDeclaration], list[str]]:
    columns: dict[str, ColumnDeclaration] = {}
    left_out: list[str] = []
    for field in view.features:
        dtype = str(field.dtype).rpartition(".")[2].lower()
        if dtype not in get_args(Dtype):
            left_out.append(f"{view.name}:{field.name}")
            continue
        if not _COLUMN_NAME.fullmatch(field.name):
            raise _error(
                f"{field.name!r} is not a valid name of a column, in the view {view.name}.", "Use a-z, 0-9 and _."
            )
        columns[field.name] = ColumnDeclaration(
            dtype=dtype,
            meaning=field.description or f"{view.name} {field.name}".replace("_", " "),
            unit=(field.tags or {}).get("unit", ""),
            default=(field.tags or {}).get("default", "true") != "false",
        )
    return columns, left_out


def _join_key(view: Any, entities: Mapping[str, Any], features: FeatureSet) -> str:
    from feast import ValueType

    roles = roles_by_join_key(features)
    offered = f"Join keys are {', '.join(sorted(roles))}."
    if len(view.entities) != 1 or view.entities[0] not in entities:
        raise _error(
            f"The view {view.name} must be about one entity, which the folder defines.",
            f"Give it entities=[…] with one Entity. {offered}",
        )
    entity = entities[view.entities[0]]
    if entity.join_key not in roles:
        raise _error(f"The view {view.name} has the unknown join key {entity.join_key}.", f"Use another one. {offered}")
    if entity.value_type != ValueType.STRING:
        raise _error(f"The entity {entity.name} doesn't have strings as keys.", "Give it value_type=ValueType.STRING.")
    ours = {layout.view: layout.join_key for layout in features.layouts}
    if ours.get(entity.name, entity.join_key) != entity.join_key:
        raise _error(
            f"The entity {entity.name} has the join key {entity.join_key}, but Lead Serving's entity of that name has "
            f"{ours[entity.name]}.",
            "Give the entity another name.",
        )
    return str(entity.join_key)


def _check_limits(declared: Mapping[str, ViewDeclaration]) -> None:
    columns = sum(len(one.columns) for one in declared.values())
    limits = (
        (counted(len(declared), "view"), len(declared), MAX_VIEWS),
        (counted(columns, "column of views", "columns of views"), columns, MAX_COLUMNS),
    )
    for found, count, limit in limits:
        if count > limit:
            raise _error(f"Found {found}; at most {limit} can be served.", "Leave out some of them.")


def _error(message: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(message, field=SETTING, remedy=remedy)
