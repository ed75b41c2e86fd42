from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cli.ui.labels.imports import import_file
from leads.clock import from_text
from leads.errors import Conflict, InvalidInput, LeadsError, NotFound
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings
from leads.text import text_hash
from training.data.labelled_rows import LabelledRow
from training.data.observations import observations
from training.data.own_labels import Columns, Imported, declaration, import_labels, safe_name

POLICIES = load_policies(POLICIES_FILE)
TWO = Columns("text", "label")


def imported(settings: Settings, harm: str) -> list[LabelledRow]:
    return observations(settings, harm).rows


def keep(settings: Settings, path: Path, content: str | bytes, columns: Columns = TWO, **given: str | bool) -> Imported:
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
        *((word, True) for word in ("1", "1.0", "1.00", "1.", "TRUE", " yes ", "Violating", "Y", "t", ' "1"')),
        *((word, False) for word in ("0", "0.0", "0.00", "False", "No", "NOT_VIOLATING", "n", "F", ' "0"')),
    ],
)
def test_verdicts_are_read_as_people_write_them(settings: Settings, path: Path, word: str, violating: bool) -> None:
    keep(settings, path, f"text,label\nsome words,{word}\n")
    assert [row.violating for row in imported(settings, "spam")] == [violating]


def test_rows_without_text_or_label_are_skipped_and_counted(settings: Settings, path: Path) -> None:
    made = keep(settings, path, "text,label\nwords,1\n \u200b\u2067\u2800,1\n,\nmore words,\n\nWORDS,0\nwords,1\n")
    assert (made.rows, made.without_text, made.without_label, made.duplicates) == (3, 2, 1, 2)
    distinct = observations(settings, "spam")
    assert [(row.text, row.violating) for row in distinct.rows] == [("words", True)]
    assert distinct.removed == 2


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "NULL", "n/a", "<NA>", "  "])
def test_what_tools_write_for_a_missing_value_is_no_value(settings: Settings, path: Path, word: str) -> None:
    columns = Columns("text", "label", time="at", weight="w")
    made = keep(settings, path, f"text,label,at,w\nwords,{word},2026-01-01,1\nothers,1,{word},{word}\n", columns)
    assert (made.rows, made.without_label, made.without_time) == (1, 1, 1)
    assert [(row.text, row.weight) for row in imported(settings, "spam")] == [("others", 1.0)]


def test_a_text_that_reads_like_a_missing_value_is_a_text(settings: Settings, path: Path) -> None:
    keep(settings, path, "text,label\nnan,1\nNone,0\n")
    assert [row.text for row in imported(settings, "spam")] == ["nan", "None"]


READABLE = {
    "a first line that names the delimiter": "sep=;\ntext;label\nh\u00e9, you;1\nothers;0\n",
    "the same in quotes": '"sep=;"\r\ntext;label\r\nh\u00e9, you;1\r\nothers;0\r\n',
    "decimal commas": "text;label\nh\u00e9, you;1,00\nothers;0,0\n",
    "UTF-16": 'text,label\r\n"h\u00e9, you",1\r\nothers,0\r\n'.encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + 'text,label\n"h\u00e9, you",1\nothers,0'.encode("utf-16-be"),
    "UTF-8 with a mark": '\ufefftext,label\n"h\u00e9, you",1\nothers,0\n',
    "carriage returns": 'text,label\r"h\u00e9, you",1\rothers,0\r',
    "carriage returns but for the last": 'text,label\r"h\u00e9, you",1\rothers,0',
}


@pytest.mark.parametrize("kind", READABLE)
def test_files_are_read_as_tools_write_them(settings: Settings, path: Path, kind: str) -> None:
    keep(settings, path, READABLE[kind])
    rows = imported(settings, "spam")
    assert [(row.text, row.violating) for row in rows] == [("h\u00e9, you", True), ("others", False)]


def test_quotes_and_returns_inside_fields_are_part_of_the_text(settings: Settings, path: Path) -> None:
    keep(settings, path, 'text,label\n5" vinyl,1\n"one\rtwo",0\n')
    assert [row.text for row in imported(settings, "spam")] == ['5" vinyl', "one\rtwo"]


def test_equal_times_have_equal_ranks_and_missing_ones_none(settings: Settings, path: Path) -> None:
    times = ("2026-01-02 00:00:00", "", "2026-01-02", "2026-01-02T01:00:00+01:00", "2026-01-01", "20260103")
    lines = [f"words {i},1,{time}" for i, time in enumerate(times)]
    made = keep(settings, path, "\n".join(("text,label,at", *lines)), Columns("text", "label", time="at"))
    assert [row.order for row in imported(settings, "spam")] == [1, None, 1, 1, 0, 2]
    assert made.without_time == 1


def test_names_add_and_an_equal_name_replaces_only_when_told_to(settings: Settings, path: Path) -> None:
    assert not keep(settings, path, "text,label\nfirst,1\n").replaced
    with pytest.raises(Conflict, match=r"spam already has labels named 'mine_2'.* from .*Mine \(2\)\.csv") as caught:
        keep(settings, path, "text,label\nsecond,0\n")
    assert caught.value.field == "--name"
    assert "--replace" in (caught.value.remedy or "")
    assert [row.text for row in imported(settings, "spam")] == ["first"]
    assert keep(settings, path, "text,label\nsecond,0\n", replace=True).replaced
    keep(settings, path, "text,label\nthird,0\n", name="Another")
    assert [(row.text, row.source) for row in imported(settings, "spam")] == [
        ("second", "file:mine_2"),
        ("third", "file:another"),
    ]


def test_files_of_one_name_in_two_folders_do_not_replace_each_other(settings: Settings, tmp_path: Path) -> None:
    for month in ("jan", "feb"):
        (tmp_path / month).mkdir()
    keep(settings, tmp_path / "jan" / "export.csv", "text,label\nfirst,1\n")
    with pytest.raises(Conflict, match="jan"):
        keep(settings, tmp_path / "feb" / "export.csv", "text,label\nsecond,1\n")
    keep(settings, tmp_path / "feb" / "export.csv", "text,label\nsecond,1\n", name="export-feb")
    assert [row.text for row in imported(settings, "spam")] == ["first", "second"]


def test_names_in_any_script_stay_apart(settings: Settings, tmp_path: Path) -> None:
    names = ("データ1", "ラベル1", "Étude", "Etude", "x" * 80 + "1", "x" * 80 + "2")
    for name in names:
        keep(settings, tmp_path / f"{name}.csv", f"text,label\nwords of {name},1\n")
    assert len(imported(settings, "spam")) == len(names)
    # macOS writes an accent in a file's name as a character of its own.
    assert safe_name("E\u0301tude") == safe_name("\u00c9tude")


def test_the_same_file_again_changes_nothing(settings: Settings, path: Path) -> None:
    keep(settings, path, "text,label\nfirst,1\n")
    before = observations(settings, "spam")
    made = keep(settings, path, "text,label\nfirst,1\n")
    assert (made.unchanged, made.replaced, made.known) == (True, False, 1)
    assert observations(settings, "spam") == before


SECRET = "nobody may read this"
BAD = {
    "no verdict": (f"text,label\nwords,1\n{SECRET},maybe\n", 3, "Column 'label': 'maybe' is not a verdict"),
    "a score": (f"text,label\n{SECRET},0.7\n", 2, "'0.7' is a number between 0 and 1, so a score"),
    "a rating": (f"text,label\n{SECRET},5\n", 2, "Column 'label': '5' is not a verdict"),
    "no time": (f"text,label,at\n{SECRET},1,13.13.2026\n", 2, "Column 'at': '13.13.2026' is not a timestamp"),
    "milliseconds": (f"text,label,at\n{SECRET},1,1767312000000\n", 2, "'1767312000000' is not a timestamp"),
    "no weight": (f"text,label,w\n{SECRET},1,0\n", 2, "Column 'w': '0' is not a weight"),
    "infinite weight": (f"text,label,w\n{SECRET},1,inf\n", 2, "Column 'w': 'inf' is not a weight"),
    "too many fields": (f'text,label\n"a\nb",1\n{SECRET}, and more,1\n', 4, "3 fields, but the header names 2"),
    "unclosed quote": (
        f'text,label\nwords,1\n"{SECRET},1\nwords,1\n',
        3,
        "column 'text': .* character 1 .* never closed",
    ),
    "stray quote": (
        f'text,label\n"{SECRET}" {SECRET},1\n',
        2,
        "column 'text': the quote at character 22 of the row closes",
    ),
    "stray return": (f"text,label\n{SECRET}\r{SECRET},1\n", 2, "column 'text': it has a carriage return"),
    "a quote that takes in rows": (f'text,label\n"{SECRET},1\nand",x,0\n', 2, "3 fields, .* goes on to line 3"),
    "no such column": (f"text,verdict\n{SECRET},1\n", 1, "The first line lacks 'label'"),
    "twice": (f"text,label,label\n{SECRET},1,1\n", 1, "has the column 'label' 2 times"),
    "no names": (f"{SECRET},1\n{SECRET},0\n", 1, "The first line lacks 'text'"),
    "another encoding": (f"text,label\nwords,1\n{SECRET} \u00e9,1\n".encode("latin-1"), 3, "is not UTF-8"),
    "two bytes without a mark": (f"text,label\n{SECRET},1\n".encode("utf-16-le"), 1, "The line contains zero bytes"),
    "half a character": (f"text,label\n{SECRET},1\n".encode("utf-16")[:-1], 2, "is not UTF-16"),
    "another delimiter": (f"sep=|\ntext|label\n{SECRET}|1\n", 1, "names the delimiter '|'"),
    "no such column, below": (f"sep=;\ntext;verdict\n{SECRET};1\n", 2, "The second line lacks 'label'"),
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


def test_a_long_value_is_shown_in_part(settings: Settings, path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"Column 'label': '(word ){6}…' is not a verdict"):
        keep(settings, path, f"text,label\nwords,{'word ' * 20}\n")


def test_a_bad_file_leaves_what_was_kept(settings: Settings, path: Path) -> None:
    keep(settings, path, "text,label\nfirst,1\n")
    with pytest.raises(InvalidInput):
        keep(settings, path, "text,label\nsecond,1\nthird,maybe\n", replace=True)
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


@pytest.mark.slow
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
    # The packaged file isn't edited: an update replaces it.
    assert f"copy {POLICIES_FILE} to a file of your own, set LEADS_POLICIES to its path" in (caught.value.remedy or "")
    declared = tmp_path / "policies.yaml"
    declared.write_text((POLICIES_FILE).read_text().replace("harms:\n", f"harms:\n{snippet}", 1))
    policies = load_policies(declared)
    with pytest.raises(NotFound) as caught:
        import_labels(settings.model_copy(update={"policies": declared}), POLICIES, "gambling_ads", path, TWO)
    assert f"open {declared}, and paste this below `harms:` there" in (caught.value.remedy or "")
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
    assert "import the labels again" in (caught.value.remedy or "")


@pytest.mark.parametrize("name", ["", "???", "…", ".."])
def test_names_without_letters_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="no letter or digit"):
        safe_name(name)


@pytest.mark.parametrize("name", ["../../x", "a/b", "x" * 500, "-rf", "A  B", "日本語", "Étude 2", "é" * 500])
def test_names_are_made_safe(name: str) -> None:
    safe = safe_name(name)
    assert safe == Path(safe).name
    assert 0 < len(safe) <= 64
    assert safe[0].isalnum()


def test_importing_prints_counts_and_never_a_text(
    settings: Settings, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(f"text,label\n{SECRET},1\n{SECRET},1\nwords,0\n,1\n")
    import_file(settings, POLICIES, "spam", path, TWO)
    first = capsys.readouterr().out
    assert "66.7%" in first
    assert "leads labels remove spam mine_2" in first
    assert str(settings.root / "labels" / "spam" / "mine_2.parquet") in first
    assert "replacing" not in first
    import_file(settings, POLICIES, "spam", path, TWO)
    assert "so nothing changed" in capsys.readouterr().out
    path.write_text(f"text,label\n{SECRET},1\nmore words,0\n")
    import_file(settings, POLICIES, "spam", path, TWO, replace=True)
    again = capsys.readouterr().out
    assert "replacing earlier labels" in again
    assert SECRET not in first + again


def test_importing_lists_conflicting_labels_by_line_and_by_a_short_excerpt(
    settings: Settings, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "buy [bold]now " + "and then more words " * 10
    path.write_text(f"text,label,nr\nwords,0,1\n{long},0,2\n")
    import_file(settings, POLICIES, "spam", path, TWO._replace(id="nr"))
    assert "both labels" not in capsys.readouterr().out
    import_file(settings, POLICIES, "spam", path, TWO, name="same")
    path.write_text(f"text,label\nothers,0\n\n{long.upper()},1\n")
    import_file(settings, POLICIES, "spam", path, TWO, name="later")
    said = " ".join(capsys.readouterr().out.split())
    assert "1 text with both labels" in said
    assert "mine_2 line 3 (id 2): not violating" in said
    assert "later line 4: violating" in said
    assert "BUY [BOLD]NOW AND THEN MORE WORDS" in said
    assert long.upper().strip() not in said


def test_importing_many_conflicts_shows_some_and_how_to_see_all(
    settings: Settings, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in (0, 1):
        path.write_text("text,label\n" + "".join(f"words {i},{label}\n" for i in range(50)))
        import_file(settings, POLICIES, "spam", path, TWO, name=f"file {label}")
    said = capsys.readouterr().out
    assert "50 texts with both labels" in said
    assert "… and 30 more: leads labels show spam file_1" in said


def test_every_fault_is_named_with_line_column_and_fix(settings: Settings, path: Path) -> None:
    lines = [
        "text,label,at,w", f"{SECRET},1,2026-01-01,1", f"{SECRET},maybe,13.13.2026,-1", f"{SECRET},1", f"{SECRET},0,,2",
        f"{SECRET},perhaps,,",
    ]  # fmt: skip
    with pytest.raises(InvalidInput) as caught:
        keep(settings, path, "\n".join(lines) + "\n", Columns("text", "label", time="at", weight="w"))
    error = caught.value
    assert error.message == "Column 'label': 'maybe' is not a verdict. In all, 5 faults were found."
    assert (error.field, error.remedy and error.remedy.endswith("Nothing was imported.")) == (f"{path}:3", True)
    assert [fault.field for fault in error.faults] == [f"{path}:{line}" for line in (3, 3, 3, 4, 6)]
    said = [fault.message for fault in error.faults]
    assert said[0] == "Column 'label': 'maybe' is not a verdict."
    assert said[1].startswith("Column 'at': '13.13.2026' is not a timestamp. Use ISO 8601, for example ")
    assert said[2].startswith("Column 'w': '-1' is not a weight. Use a number above 0")
    assert said[3].startswith("The row has 2 fields, but the header names 4 columns. Quote fields")
    assert said[4] == "Column 'label': 'perhaps' is not a verdict."
    assert SECRET not in str(error) + " ".join(said)
    assert imported(settings, "spam") == []


def test_of_many_faults_the_first_20_are_named(settings: Settings, path: Path) -> None:
    broken = "".join(f"words,{i}\n" for i in range(2, 1_002)) + 'words,"1\n'
    with pytest.raises(InvalidInput, match=r"In all, 1,001 faults were found; the first 20 are listed\.") as caught:
        keep(settings, path, f"text,label\n{broken}", Columns("text", "label"))
    assert [fault.field for fault in caught.value.faults] == [f"{path}:{line}" for line in range(2, 22)]
