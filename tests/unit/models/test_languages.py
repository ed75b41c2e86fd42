"""What a version records about the languages of its training rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads.errors import ModelRefused
from models import languages, manifest
from models.version import load
from models.write import write_version
from tests.support.serving.world import make_parts


def test_a_version_saw_the_languages_of_at_least_20_rows(tmp_path: Path) -> None:
    counts = {"de": 20, "en": 500, "fr": 19, "und": 60}
    written = write_version(tmp_path / "v", make_parts(languages=counts))
    assert manifest.LANGUAGES in manifest.read_manifest(tmp_path / "v").files
    assert list(languages.read(tmp_path / "v") or ()) == ["en", "und", "de", "fr"]
    assert written.languages == load(tmp_path / "v").languages == {"de", "en"}
    assert [written.saw(one) for one in ("en", "de", "fr", "ja", "und")] == [True, True, False, False, True]
    assert languages.summary(counts) == "en 500, de 20; in other languages 19; undetermined 60"


def test_a_version_of_an_earlier_release_may_have_seen_any(tmp_path: Path) -> None:
    written = write_version(tmp_path / "v", make_parts())
    assert written.languages is None
    assert languages.read(tmp_path / "v") is None
    assert written.saw("ja")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"en": "many"}', b"\xff"])
def test_damage_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / manifest.LANGUAGES).write_bytes(content)
    with pytest.raises(ModelRefused, match=r"languages\.json can't be read"):
        languages.read(tmp_path)
