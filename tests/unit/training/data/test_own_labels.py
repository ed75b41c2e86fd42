from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cli.ui.own_labels import import_file
from leads.clock import from_text
from leads.errors import InvalidInput, LeadsError, NotFound
from leads.policies import Policies, load_policies
from leads.settings import POLICIES_FILE, Settings
from leads.text import text_hash
from training.data.labelled_rows import deduplicated
from training.data.own_labels import Columns, Imported, declaration, import_labels, imported, safe_name

POLICIES = load_policies(POLICIES_FILE)
TWO = Columns("text", "label")


def keep(settings: Settings, path: Path, content: str | bytes, columns: Columns = TWO, **given: str) -> Imported:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return import_labels(settings, POLICIES, "spam", path, columns, **given)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "Mine (2).csv"


def test_what_is_kept_comes_back_as_rows(settings: Settings, path: Path) -> None:
    columns = Columns("said", "verdict", "nr", "when", "who", "w", "about")
    lines = (
        "nr,said,verdict,when,who,w,about",
        '1,"two\nlines, and ""quotes""",violating,2026-01-03T10:00:00Z,ann,2.5,women',
        "2,lovely song,NO,2026-01-01,bob,,",
        "3,other song,0,1767312000,ann,1,",
    )
    made = keep(settings, path, "\r\n".join(lines) + "\r\n", columns)
    assert made.path == settings.root / "labels" / "spam" / "mine_2.parquet"
    assert (made.name, made.replaced, made.rows, made.violating, made.duplicates) == ("mine_2", False, 3, 1, 0)
    assert (made.first, made.last) == (from_text("2026-01-01T00:00:00Z"), from_text("2026-01-03T10:00:00Z"))
    one, two, three = imported(settings, "spam")
    assert (one.text, one.violating, one.weight, one.target) == ('two\nlines, and "quotes"', True, 2.5, "women")
    assert (two.text, two.violating, two.weight, two.target) == ("lovely song", False, 1.0, None)
    assert [row.order for row in (one, two, three)] == [2, 0, 1]
    assert one.maker == three.maker != two.maker
    assert {row.source for row in (one, two, three)} == {"file:mine_2"}
    assert one.group == text_hash(one.text or "")
    assert imported(settings, "sexism") == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found_even_where_others_stand_in_names(
    settings: Settings, path: Path, delimiter: str
) -> None:
    others = "".join({",", ";", "\t"} - {delimiter})
    rows = (f'"a{others}b"', "text", "label"), ("x", "some words", "1")
    keep(settings, path, "\ufeff" + "\n".join(delimiter.join(row) for row in rows))
    assert [row.text for row in imported(settings, "spam")] == ["some words"]


@pytest.mark.parametrize(
    ("word", "violating"),
    [
        *((word, True) for word in ("1", "1.0", "TRUE", " yes ", "Violating")),
        *((word, False) for word in ("0", "0.0", "False", "No", "NOT_VIOLATING")),
    ],
)
def test_verdicts_are_read_as_people_write_them(settings: Settings, path: Path, word: str, violating: bool) -> None:
    keep(settings, path, f"text,label\nsome words,{word}\n")
    assert [row.violating for row in imported(settings, "spam")] == [violating]


def test_rows_without_text_or_label_are_skipped_and_counted(settings: Settings, path: Path) -> None:
    made = keep(settings, path, "text,label\nwords,1\n \u200b\u2067\u2800,1\n,\nmore words,\n\nWORDS,0\nwords,1\n")
    assert (made.rows, made.without_text, made.without_label, made.duplicates) == (3, 2, 1, 2)
    distinct = deduplicated(imported(settings, "spam"))
    assert [(row.text, row.violating) for row in distinct.rows] == [("words", True)]
    assert distinct.removed == 2


def test_equal_times_have_equal_ranks_and_missing_ones_none(settings: Settings, path: Path) -> None:
    times = ("2026-01-02 00:00:00", "", "2026-01-02", "2026-01-02T01:00:00+01:00", "2026-01-01", "20260103")
    lines = [f"words {i},1,{time}" for i, time in enumerate(times)]
    made = keep(settings, path, "\n".join(("text,label,at", *lines)), Columns("text", "label", time="at"))
    assert [row.order for row in imported(settings, "spam")] == [1, None, 1, 1, 0, 2]
    assert made.without_time == 1


def test_equal_names_replace_and_others_add(settings: Settings, path: Path) -> None:
    assert not keep(settings, path, "text,label\nfirst,1\n").replaced
    assert keep(settings, path, "text,label\nsecond,0\n").replaced
    keep(settings, path, "text,label\nthird,0\n", name="Another")
    assert [(row.text, row.source) for row in imported(settings, "spam")] == [
        ("third", "file:another"),
        ("second", "file:mine_2"),
    ]


SECRET = "nobody may read this"
BAD = {
    "no verdict": (f"text,label\nwords,1\n{SECRET},{SECRET}\n", 3, "Column 'label' doesn't hold a valid verdict"),
    "a score": (f"text,label\n{SECRET},0.7\n", 2, "a score, not a verdict"),
    "a rating": (f"text,label\n{SECRET},5\n", 2, "Column 'label' doesn't hold a valid verdict"),
    "no time": (f"text,label,at\n{SECRET},1,{SECRET}\n", 2, "Column 'at' doesn't hold a valid timestamp"),
    "milliseconds": (f"text,label,at\n{SECRET},1,1767312000000\n", 2, "Column 'at' doesn't hold a valid timestamp"),
    "no weight": (f"text,label,w\n{SECRET},1,0\n", 2, "Column 'w' doesn't hold a valid weight"),
    "infinite weight": (f"text,label,w\n{SECRET},1,inf\n", 2, "Column 'w' doesn't hold a valid weight"),
    "too many fields": (f'text,label\n"a\nb",1\n{SECRET}, and more,1\n', 4, "3 fields, but the first line names 2"),
    "unclosed quote": (f'text,label\nwords,1\n"{SECRET},1\nwords,1\n', 3, "is not valid CSV"),
    "stray quote": (f'text,label\n"{SECRET}" {SECRET},1\n', 2, "is not valid CSV"),
    "no such column": (f"text,verdict\n{SECRET},1\n", 1, "The first line lacks 'label'"),
    "twice": (f"text,label,label\n{SECRET},1,1\n", 1, "has the column 'label' 2 times"),
    "no names": (f"{SECRET},1\n{SECRET},0\n", 1, "The first line lacks 'text'"),
    "another encoding": (f"text,label\nwords,1\n{SECRET} \u00e9,1\n".encode("latin-1"), 3, "is not UTF-8"),
    "two bytes": (f"text,label\n{SECRET},1\n".encode("utf-16"), 1, "Byte 1 of the line is not UTF-8"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_read_is_named_by_line_and_never_quoted(settings: Settings, path: Path, kind: str) -> None:
    content, line, message = BAD[kind]
    header = content[:40] if isinstance(content, str) else ""
    columns = TWO._replace(time="at" if ",at\n" in header else None, weight="w" if ",w\n" in header else None)
    with pytest.raises(InvalidInput, match=message) as caught:
        keep(settings, path, content, columns)
    assert caught.value.field == f"{path}:{line}"
    assert caught.value.remedy
    assert SECRET not in str(caught.value)
    assert imported(settings, "spam") == []
    assert not list(settings.root.rglob("*.tmp"))


def test_a_bad_file_leaves_what_was_kept(settings: Settings, path: Path) -> None:
    keep(settings, path, "text,label\nfirst,1\n")
    with pytest.raises(InvalidInput):
        keep(settings, path, "text,label\nsecond,1\nthird,maybe\n")
    assert [row.text for row in imported(settings, "spam")] == ["first"]


@pytest.mark.parametrize("content", ["", "text,label\n", "text,label\n,1\nwords,\n"])
def test_files_without_labels_are_refused(settings: Settings, path: Path, content: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        keep(settings, path, content)
    assert str(path) in (caught.value.field or "")
    assert imported(settings, "spam") == []


def test_texts_longer_than_the_csv_modules_limit_are_read(settings: Settings, path: Path) -> None:
    before = csv.field_size_limit()
    keep(settings, path, f"text,label\n{'long ' * 40_000},1\n")
    assert [len(row.text or "") for row in imported(settings, "spam")] == [200_000]
    assert csv.field_size_limit() == before


def test_many_rows_come_back_in_order(settings: Settings, path: Path) -> None:
    told: list[tuple[int, int]] = []
    path.write_text("text,label\n" + "".join(f"text {i},{i % 2}\n" for i in range(45_000)))
    import_labels(settings, POLICIES, "spam", path, TWO, on_progress=lambda *done: told.append(done))
    rows = imported(settings, "spam")
    assert [row.text for row in rows] == [f"text {i}" for i in range(45_000)]
    assert told[-1] == (path.stat().st_size,) * 2
    assert told == sorted(told)


def test_an_undeclared_harm_comes_with_what_declares_it(settings: Settings, path: Path, tmp_path: Path) -> None:
    path.write_text("text,label\nwords,1\n")
    with pytest.raises(NotFound, match="Harm 'gambling_ads' not found") as caught:
        import_labels(settings, POLICIES, "gambling_ads", path, TWO)
    snippet = declaration("gambling_ads")
    assert snippet in (caught.value.remedy or "")
    declared = tmp_path / "policies.yaml"
    declared.write_text((POLICIES_FILE).read_text().replace("harms:\n", f"harms:\n{snippet}", 1))
    policies = load_policies(declared)
    assert policies.harms["gambling_ads"].title == "Gambling ads"
    assert import_labels(settings, policies, "gambling_ads", path, TWO).rows == 1


@pytest.mark.parametrize(
    ("harm", "kind"), [("stream_manipulation", InvalidInput), ("../spam", InvalidInput), ("Spam", InvalidInput)]
)
def test_harms_that_texts_cannot_teach_are_refused(
    settings: Settings, path: Path, harm: str, kind: type[LeadsError]
) -> None:
    path.write_text("text,label\nwords,1\n")
    with pytest.raises(kind) as caught:
        import_labels(settings, POLICIES, harm, path, TWO)
    assert caught.value.field == "HARM"
    assert caught.value.remedy


def test_a_file_that_is_not_there_or_none_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="File not found"):
        import_labels(settings, POLICIES, "spam", tmp_path / "none.csv", TWO)
    with pytest.raises(InvalidInput, match="The file can't be read"):
        import_labels(settings, POLICIES, "spam", tmp_path, TWO)


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_kept_labels_that_are_damaged_are_named(settings: Settings, path: Path, damage: str) -> None:
    kept = keep(settings, path, "text,label\nwords,1\n").path
    kept.write_bytes(kept.read_bytes()[:-20] if damage == "cut" else b"text,label\nwords,1\n")
    with pytest.raises(InvalidInput, match="can't be read") as caught:
        imported(settings, "spam")
    assert caught.value.field == str(kept)
    assert "Import the file again" in (caught.value.remedy or "")


@pytest.mark.parametrize("name", ["", "???", "日本語", ".."])
def test_names_without_letters_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="no letter or digit"):
        safe_name(name)


@pytest.mark.parametrize("name", ["../../x", "a/b", "x" * 500, "-rf", "A  B"])
def test_names_are_made_safe(name: str) -> None:
    safe = safe_name(name)
    assert safe == Path(safe).name
    assert 0 < len(safe) <= 64
    assert safe[0].isalnum()


def test_importing_prints_counts_and_never_a_text(
    settings: Settings, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(f"text,label\n{SECRET},1\n{SECRET},1\nwords,0\n,1\n")
    policies: Policies = POLICIES
    import_file(settings, policies, "spam", path, TWO)
    first = capsys.readouterr().out
    assert "66.7%" in first
    assert "leads train spam" in first
    assert str(settings.root / "labels" / "spam" / "mine_2.parquet") in first
    assert "replacing" not in first
    import_file(settings, policies, "spam", path, TWO, quiet=True)
    again = capsys.readouterr().out
    assert "replacing earlier labels" in again
    assert "leads train" not in again
    assert SECRET not in first + again
