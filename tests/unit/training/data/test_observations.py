from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings
from leads.text import text_hash
from training.data.label_files import StoredLabel, folder_of, label_files
from training.data.observations import Observations, observations, observe
from training.data.own_labels import Columns, import_labels

POLICIES = load_policies(POLICIES_FILE)
TIMED = Columns("text", "label", time="at")


def label(
    text: str, violating: bool, file: str = "a", imported_at: int = 1, time: int | None = None, line: int = 2
) -> StoredLabel:
    return StoredLabel(
        text, violating, 1.0, time, None, None, None, line, imported_at, text_hash(text), time, file, imported_at
    )


def said(labels: Sequence[StoredLabel]) -> dict[str | None, bool]:
    return {row.text: row.violating for row in observe(labels).rows}


def write(settings: Settings, name: str, rows: Sequence[tuple[str, int, str]], *, replace: bool = False) -> None:
    path = settings.root / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("text,label,at", *(",".join(map(str, row)) for row in rows))) + "\n")
    import_labels(settings, POLICIES, "spam", path, TIMED, replace=replace)


JANUARY = [(f"text {i % 50}", int(i % 3 == 0), f"2026-01-{1 + i % 28:02d}") for i in range(60)]
FEBRUARY = [(f"more text {i}", i % 2, f"2026-02-{1 + i:02d}") for i in range(20)]


def test_the_same_rows_in_a_second_file_change_nothing(settings: Settings) -> None:
    write(settings, "january", JANUARY)
    before = observations(settings, "spam")
    assert len(before.rows) == 50
    write(settings, "a-copy", JANUARY)
    after = observations(settings, "spam")
    assert after[:3] == before[:3]
    assert [one.kept for one in after.conflicts] == [one.kept for one in before.conflicts]


def test_a_cumulative_file_adds_only_what_is_new(settings: Settings) -> None:
    write(settings, "january", JANUARY)
    before = observations(settings, "spam")
    write(settings, "all", [*JANUARY, *FEBRUARY])
    after = observations(settings, "spam")
    assert after.rows[:50] == before.rows
    assert after.since[:50] == before.since
    assert [row.source for row in after.rows[50:]] == ["file:all"] * 20
    assert (after.removed, len(after.conflicts)) == (before.removed, len(before.conflicts))


def test_replacing_a_file_by_a_longer_one_makes_only_the_added_rows_new(settings: Settings) -> None:
    write(settings, "export", JANUARY)
    first = max(observations(settings, "spam").since)
    write(settings, "export", [*JANUARY, *FEBRUARY], replace=True)
    assert sum(since > first for since in observations(settings, "spam").since) == 20


def test_removing_a_file_leaves_what_others_say(settings: Settings) -> None:
    write(settings, "january", JANUARY)
    write(settings, "all", [*JANUARY, *FEBRUARY])
    (folder_of(settings, "spam") / "january.parquet").unlink()
    found = observations(settings, "spam")
    assert {row.source for row in found.rows} == {"file:all"}
    assert len(found.rows) == 70


def test_equal_texts_are_equal_in_normal_form() -> None:
    assert said([label("Free  MONEY", True), label("free money\u200b", True, "b", 2)]) == {"Free  MONEY": True}


@pytest.mark.parametrize(
    ("rows", "violating"),
    [
        # By the rows' times, even where the file with the older row was imported later.
        ([label("x", True, "a", 1, time=9), label("x", False, "b", 2, time=5)], True),
        ([label("x", True, "a", 1, time=5), label("x", False, "b", 2, time=9)], False),
        # By the import where a row has no time, or the times are equal.
        ([label("x", True, "a", 1, time=9), label("x", False, "b", 2)], False),
        ([label("x", True, "a", 3, time=9), label("x", False, "b", 2)], True),
        ([label("x", True, "a", 1, time=9), label("x", False, "b", 2, time=9)], False),
        # By the times of the last file's rows, where an earlier file has none.
        ([label("x", True, "a", 1), label("x", True, "b", 2, time=9), label("x", False, "b", 2, time=5)], True),
        # Most decide among equally new rows, then the last.
        ([label("x", True), label("x", True, line=3), label("x", False, line=4)], True),
        ([label("x", True), label("x", False, line=3)], False),
        ([label("x", False), label("x", True, line=3)], True),
    ],
)
def test_the_newest_label_wins(rows: list[StoredLabel], violating: bool) -> None:
    found = observe(rows)
    assert [row.violating for row in found.rows] == [violating]
    (conflict,) = found.conflicts
    assert conflict.rows == tuple(rows)
    assert conflict.kept.violating == violating


def test_a_copy_with_a_time_stands_for_those_without() -> None:
    found = observe([label("x", True), label("x", True, "b", 2, time=5)])
    assert [(row.source, row.order) for row in found.rows] == [("file:b", 5)]


ROWS = st.lists(
    st.tuples(st.sampled_from("vwxyz"), st.booleans(), st.one_of(st.none(), st.integers(0, 3))), max_size=20
)


def of_file(rows: list[tuple[str, bool, int | None]], file: str, imported_at: int) -> list[StoredLabel]:
    return [label(text, violating, file, imported_at, time) for text, violating, time in rows]


@given(ROWS, ROWS)
def test_importing_a_file_again_never_changes_what_counts(
    first: list[tuple[str, bool, int | None]], second: list[tuple[str, bool, int | None]]
) -> None:
    def facts(found: Observations) -> object:
        return found.rows, found.removed, len(found.conflicts), [one.kept for one in found.conflicts]

    labels = [*of_file(first, "a", 1), *of_file(second, "b", 2)]
    once = observe(labels)
    assert len(once.rows) == len({text for text, _, _ in first + second})
    assert facts(observe([*labels, *of_file(second, "c", 3)])) == facts(once)


def test_files_of_an_earlier_release_are_read(settings: Settings) -> None:
    write(settings, "january", JANUARY)
    write(settings, "february", FEBRUARY)
    for i, name in enumerate(("january", "february")):
        path = folder_of(settings, "spam") / f"{name}.parquet"
        table = pq.read_table(path, partitioning=None).drop_columns(["line", "since"]).replace_schema_metadata(None)
        pq.write_table(table, path)
        os.utime(path, (1_700_000_000 + i, 1_700_000_000 + i))
    assert [(file.name, file.rows, file.origin.path) for file in label_files(settings, "spam")] == [
        ("january", 60, ""),
        ("february", 20, ""),
    ]
    found = observations(settings, "spam")
    assert len(found.rows) == 70
    assert set(found.since) == {1_700_000_000_000_000, 1_700_000_001_000_000}


def test_authors_are_the_same_in_every_file(settings: Settings, tmp_path: Path) -> None:
    for name in ("one", "two"):
        path = tmp_path / f"{name}.csv"
        path.write_text(f"text,label,who\nwords of {name},1,ann\n")
        import_labels(settings, POLICIES, "spam", path, Columns("text", "label", author="who"))
    assert len({row.maker for row in observations(settings, "spam").rows}) == 1
