"""The corpora in their published formats: small hand-written files, and the real ones if present."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from leads.corpora import available, read_corpus, read_for
from leads.errors import InvalidInput
from leads.settings import load_settings

YOUTUBE_HEADER = "COMMENT_ID,AUTHOR,DATE,CONTENT,CLASS\n"
GRADES = ("1", "0", "-1", "-2", "-3")


def put(directory: Path, name: str, text: str | bytes) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def convabuse_row(example: str, user: str, *grades: str) -> str:
    """One annotator per grade; the grade `-1+1` means that the annotator gave two marks."""
    cells = [example, user]
    for grade in grades:
        given = grade.split("+") if grade else []
        cells += [", ".join("1" if g == one else "0" for g in given) for one in GRADES]
    return ",".join(f'"{cell}"' for cell in cells) + "\n"


def convabuse_header(annotators: int) -> str:
    columns = [f"Annotator{a}_is_abuse.{grade}" for a in range(1, annotators + 1) for grade in GRADES]
    return ",".join(["example_id", "user", *columns]) + "\n"


class TestYoutubeSpam:
    def test_ranks_by_time_across_files(self, tmp_path: Path) -> None:
        put(tmp_path, "youtube-spam/01-a.csv", YOUTUBE_HEADER + "a,x,2014-01-02T00:00:00,late,1\n")
        put(tmp_path, "youtube-spam/02-b.csv", YOUTUBE_HEADER + "b,y,2013-01-02T00:00:00.5,early,0\n")
        texts = {text.id: text for text in read_corpus(tmp_path, "youtube-spam")}
        assert (texts["b"].order, texts["a"].order) == (0, 1)
        assert texts["a"].labels == {"youtube-spam": True}
        assert texts["b"].labels == {"youtube-spam": False}

    def test_a_row_without_a_date_takes_its_neighbours(self, tmp_path: Path) -> None:
        rows = "o,x,,opens,0\na,x,2014-01-02T00:00:00,one,1\nb,y,,two,0\nc,y,2014-02-02T00:00:00,three,0\n"
        put(tmp_path, "youtube-spam/01-a.csv", YOUTUBE_HEADER + rows)
        assert [text.order for text in read_corpus(tmp_path, "youtube-spam")] == [0, 0, 0, 1]

    def test_quotes_line_breaks_and_byte_order_marks(self, tmp_path: Path) -> None:
        row = 'a,x,2014-01-02T00:00:00,"one, ""two""\nthree\ufeff",1\n'
        put(tmp_path, "youtube-spam/01-a.csv", "\ufeff" + YOUTUBE_HEADER + row)
        [text] = read_corpus(tmp_path, "youtube-spam")
        assert text.text == 'one, "two"\nthree'

    def test_an_unknown_class_is_rejected_without_quoting_the_text(self, tmp_path: Path) -> None:
        put(tmp_path, "youtube-spam/01-a.csv", YOUTUBE_HEADER + "a,x,2014-01-02T00:00:00,secret,2\n")
        with pytest.raises(InvalidInput, match=r"01-a\.csv:2: .*CLASS") as caught:
            read_corpus(tmp_path, "youtube-spam")
        assert "secret" not in str(caught.value)

    def test_shifted_cells_are_rejected_without_quoting_the_text(self, tmp_path: Path) -> None:
        put(tmp_path, "youtube-spam/01-a.csv", YOUTUBE_HEADER + "a,x,secret,2014-01-02T00:00:00,1\n")
        with pytest.raises(InvalidInput, match="DATE is not a valid time") as caught:
            read_corpus(tmp_path, "youtube-spam")
        assert "secret" not in str(caught.value)


class TestCad:
    def test_labels_order_and_line_breaks(self, tmp_path: Path) -> None:
        rows = (
            'efi1y95\tsay "one[linebreak]two\tIdentityDirectedAbuse,PersonDirectedAbuse\n'
            "efi1dgw\tthree\tNeutral\n"
            "efi1z00-title\tfour\tAffiliationDirectedAbuse\n"
        )
        put(tmp_path, "cad/cad_v1_1_train.tsv", "id\ttext\tlabels\n" + rows)
        first, second, third = read_corpus(tmp_path, "cad")
        assert first.text == 'say "one\ntwo'
        assert first.labels == {"cad:identity": True, "cad:person": True}
        assert second.labels == third.labels == {"cad:identity": False, "cad:person": False}
        assert (second.order, first.order, third.order) == (0, 1, 2)

    def test_an_unknown_category_is_rejected(self, tmp_path: Path) -> None:
        put(tmp_path, "cad/cad_v1_1_dev.tsv", "id\ttext\tlabels\nefi\tone\tNeutrall\n")
        with pytest.raises(InvalidInput, match=r"cad_v1_1_dev\.tsv:2: .*labels"):
            read_corpus(tmp_path, "cad")


class TestEdos:
    def test_labels_and_no_time(self, tmp_path: Path) -> None:
        header = "rewire_id,text,label_sexist,label_category,label_vector,split\n"
        rows = 'e-1,"one, two",sexist,3. animosity,x,test\ne-2,three,not sexist,none,none,train\n'
        put(tmp_path, "edos/edos_labelled_aggregated.csv", header + rows)
        assert [(t.labels["edos"], t.order) for t in read_corpus(tmp_path, "edos")] == [(True, None), (False, None)]


class TestConvabuse:
    @pytest.mark.parametrize(
        ("grades", "abusive"),
        [
            (("1", "-1", "-3"), True),
            (("1", "-1", ""), False),
            (("0", "-2", "-1"), True),
            (("", "1", "1"), False),
            # An annotator with two marks counts twice.
            (("-1+-2", "1", ""), True),
        ],
    )
    def test_the_majority_of_marks_decides(self, tmp_path: Path, grades: tuple[str, ...], abusive: bool) -> None:
        row = convabuse_row("1.0", "hi", *grades)
        put(tmp_path, "convabuse/ConvAbuseEMNLPtest.csv", convabuse_header(3) + row)
        [text] = read_corpus(tmp_path, "convabuse")
        assert text.labels == {"convabuse": abusive}
        assert text.text == "hi"

    def test_the_file_that_repeats_the_parts_is_ignored(self, tmp_path: Path) -> None:
        for part in ("train", "full"):
            row = convabuse_row("1.0", "hi", "1")
            put(tmp_path, f"convabuse/ConvAbuseEMNLP{part}.csv", convabuse_header(1) + row)
        assert len(read_corpus(tmp_path, "convabuse")) == 1

    def test_an_example_without_marks_is_rejected(self, tmp_path: Path) -> None:
        put(tmp_path, "convabuse/ConvAbuseEMNLPtest.csv", convabuse_header(1) + convabuse_row("1.0", "hi", ""))
        with pytest.raises(InvalidInput, match="no annotator"):
            read_corpus(tmp_path, "convabuse")


class TestAnyCorpus:
    def test_equal_texts_share_their_group_across_corpora(self, tmp_path: Path) -> None:
        put(tmp_path, "youtube-spam/01-a.csv", YOUTUBE_HEADER + "a,x,2014-01-02T00:00:00,Hello  THERE,0\n")
        put(tmp_path, "cad/cad_v1_1_dev.tsv", "id\ttext\tlabels\nefi\thello there\tNeutral\n")
        groups = {t.group for t in read_for(tmp_path, ["youtube-spam", "cad:person", "cad:identity"])}
        assert len(groups) == 1

    def test_each_corpus_is_read_once(self, tmp_path: Path) -> None:
        put(tmp_path, "cad/cad_v1_1_dev.tsv", "id\ttext\tlabels\nefi\thello\tPersonDirectedAbuse\n")
        [text] = read_for(tmp_path, ["cad:person", "cad:identity"])
        assert text.label(["cad:person", "convabuse"]) is True
        assert text.label(["cad:identity"]) is False
        assert text.label(["edos"]) is None

    def test_available_lists_the_corpora_with_files(self, tmp_path: Path) -> None:
        assert available(None) == available(tmp_path) == ()
        put(tmp_path, "cad/cad_v1_1_dev.tsv", "id\ttext\tlabels\n")
        assert available(tmp_path) == ("cad",)

    def test_without_files(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"edos: No files .*LEADS_CORPORA"):
            read_corpus(tmp_path, "edos")

    def test_without_rows(self, tmp_path: Path) -> None:
        put(tmp_path, "cad/cad_v1_1_dev.tsv", "id\ttext\tlabels\n")
        with pytest.raises(InvalidInput, match="No files or rows"):
            read_corpus(tmp_path, "cad")

    def test_an_empty_file(self, tmp_path: Path) -> None:
        put(tmp_path, "cad/cad_v1_1_dev.tsv", "")
        with pytest.raises(InvalidInput, match="Missing columns: id, text, labels"):
            read_corpus(tmp_path, "cad")

    def test_missing_columns_are_named(self, tmp_path: Path) -> None:
        put(tmp_path, "cad/cad_v1_1_dev.tsv", "id\tbody\tlabels\nefi\tone\tNeutral\n")
        with pytest.raises(InvalidInput, match=r"cad_v1_1_dev\.tsv:1: Missing columns: text\. Expected: id, text"):
            read_corpus(tmp_path, "cad")

    def test_a_row_of_the_wrong_length(self, tmp_path: Path) -> None:
        put(tmp_path, "cad/cad_v1_1_dev.tsv", "id\ttext\tlabels\nefi\tone\ttwo\tNeutral\n")
        with pytest.raises(InvalidInput, match=r"tsv:2: .*4 fields, but the header has 3"):
            read_corpus(tmp_path, "cad")

    def test_invalid_utf8(self, tmp_path: Path) -> None:
        put(tmp_path, "cad/cad_v1_1_dev.tsv", b"id\ttext\tlabels\nefi\t\xff\tNeutral\n")
        with pytest.raises(InvalidInput, match="Not valid UTF-8 at byte 19"):
            read_corpus(tmp_path, "cad")

    def test_unknown_names(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="Known: youtube-spam, cad, edos, convabuse"):
            read_corpus(tmp_path, "enron")
        with pytest.raises(InvalidInput, match="Known: youtube-spam, cad:identity"):
            read_for(tmp_path, ["cad"])


@pytest.mark.parametrize(
    ("name", "rows", "positives"),
    [
        ("youtube-spam", 1_138, {"youtube-spam": 586}),
        ("cad", 13_285, {"cad:identity": 1_233, "cad:person": 600}),
        ("edos", 16_000, {"edos": 3_884}),
        ("convabuse", 2_670, {"convabuse": 495}),
    ],
)
def test_the_published_corpora_match_their_readme(name: str, rows: int, positives: dict[str, int]) -> None:
    directory = load_settings().corpora_dir
    if directory is None or name not in available(directory):
        pytest.skip("corpora not found: set LEADS_CORPORA")
    texts = read_corpus(directory, name)
    counted = Counter(key for text in texts for key, holds in text.labels.items() if holds)
    assert (len(texts), dict(counted)) == (rows, positives)
    assert all((text.order is None) == (name in ("edos", "convabuse")) for text in texts)
