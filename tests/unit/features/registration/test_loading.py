"""Definitions of own views that can't be used, and what is said about them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from features.declared.builtin import BUILTIN
from features.registration import loading
from features.registration.loading import check_types, load_views
from features.views.declaration import ColumnDeclaration
from leads.errors import ConfigurationError, LeadsError
from leads.settings import Settings
from tests.support.features.own_views import COLUMNS, DEFINITIONS, trust, write_definitions, write_history
from tests.support.paths import REPOSITORY

# Importing Feast takes seconds.
pytestmark = pytest.mark.slow


@pytest.fixture
def views(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a folder that has a Parquet file."""
    folder = tmp_path / "views"
    folder.mkdir()
    write_history(folder, [("a", 1, 1, 1, 1.0, True)])
    return settings.model_copy(update={"feature_views": folder})


def test_views_are_recorded_with_their_columns_of_numbers(views: Settings, tmp_path: Path) -> None:
    folder = write_definitions(tmp_path / "views")
    # Definitions can be split; a file can have the name of a package of ours.
    head, tail = DEFINITIONS.split("trust = ")
    (folder / "features.py").write_text(head)
    (folder / "trust.py").write_text(f"from .features import *\n\ntrust = {tail}")
    found = load_views(views, BUILTIN)
    assert found.left_out == ("trust:tier",)
    assert [type(one).__name__ for one in found.objects] == ["Entity", "PushSource", "FileSource", "FeatureView"]
    assert found.declared == {"trust": trust(path=str(folder / "trust.parquet"), max_age_s=30 * 86_400.0)}


def test_without_the_setting_there_are_none(settings: Settings) -> None:
    assert load_views(settings, BUILTIN).declared == {}


FILE = 'FileSource(\n    name="trust_file",\n    path="trust.parquet",'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('join_keys=["account_id"]', 'join_keys=["user"]', "unknown join key user.*account_id, .*subject_key"),
        ('join_keys=["account_id"]', 'join_keys=["bucket_key"]', "unknown join key bucket_key"),
        ("ValueType.STRING", "ValueType.INT64", "has type|strings as keys"),
        ("entities=[listener],", "", "about one entity"),
        ('name="trust",', 'name="account",', "account can't be the name"),
        ('name="trust",', 'name="account_3",', "account_3 can't be the name"),
        ('name="trust",', 'name="Trust",', "'Trust' is not a valid name"),
        ('name="refunds"', 'name="Refunds"', "'Refunds' is not a valid name"),
        ('path="trust.parquet"', 'path="s3://bucket/trust.parquet"', "not on this machine"),
        ('path="trust.parquet"', 'path="other.parquet"', r"isn't there: .*other\.parquet"),
        ('timestamp_field="event_timestamp"', 'timestamp_field="at"', "has no column at"),
        ("from feast import", "from feats import", "can't be imported"),
        ('name="listener"', 'name="device"', "entity device has the join key account_id"),
        (FILE, f'{FILE}\n    field_mapping={{"lvl": "level"}},', "renames columns"),
    ],
)
def test_what_cannot_be_served_is_refused(views: Settings, tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in DEFINITIONS
    write_definitions(tmp_path / "views", DEFINITIONS.replace(old, new))
    with pytest.raises(LeadsError, match=message) as error:
        load_views(views, BUILTIN)
    assert error.value.field == "LEADS_FEATURE_VIEWS"
    assert error.value.remedy


def test_a_missing_folder_is_named(views: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere is not a folder"):
        load_views(views.model_copy(update={"feature_views": tmp_path / "nowhere"}), BUILTIN)


def test_a_source_that_is_not_parquet_is_refused(views: Settings, tmp_path: Path) -> None:
    text = DEFINITIONS.replace("from feast import", "from feast import RequestSource,")
    other = 'RequestSource(name="r", schema=[Field(name="x", dtype=Int64)])'
    text = text.replace('PushSource(name="trust_push", batch_source=trust_file)', other)
    write_definitions(tmp_path / "views", text)
    with pytest.raises(ConfigurationError, match="no Parquet source"):
        load_views(views, BUILTIN)


def test_two_views_of_one_name_are_refused(views: Settings, tmp_path: Path) -> None:
    folder = write_definitions(tmp_path / "views")
    (folder / "twice.py").write_text(DEFINITIONS)
    with pytest.raises(ConfigurationError, match="Two views are named trust"):
        load_views(views, BUILTIN)


def test_there_are_limits(views: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_definitions(tmp_path / "views")
    monkeypatch.setattr(loading, "MAX_COLUMNS", 2)
    with pytest.raises(ConfigurationError, match="3 columns of views; at most 2"):
        load_views(views, BUILTIN)
    monkeypatch.setattr(loading, "MAX_VIEWS", 0)
    with pytest.raises(ConfigurationError, match="1 view; at most 0"):
        load_views(views, BUILTIN)


def test_a_column_keeps_its_type() -> None:
    other = trust(columns={**COLUMNS, "level": ColumnDeclaration(dtype="float64", meaning="trust level")})
    check_types({"trust": trust()}, {"trust": trust(path="/moved.parquet")})
    with pytest.raises(ConfigurationError, match="trust:level was int64 and is now float64"):
        check_types({"trust": trust()}, {"trust": other})


def test_the_example_of_the_page_loads(views: Settings, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "feature-views.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    folder = write_definitions(tmp_path / "views", example)
    found = load_views(views, BUILTIN)
    assert found.declared == {"trust": trust(path=str(folder / "trust.parquet"), max_age_s=30 * 86_400.0)}
