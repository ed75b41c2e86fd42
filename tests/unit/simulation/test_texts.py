"""Texts from corpora: the later part, in time order, each once, with the corpus' labels as truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads.corpora import available, read_corpus
from leads.settings import load_settings
from leads.text import text_hash
from simulation.randomness import Streams
from simulation.texts import TextSource, vary

STREAMS = Streams(1)


def put_youtube(directory: Path, rows: list[tuple[str, int]]) -> None:
    lines = [f"id{i},x,2014-01-01T00:{i:02d}:00,{text},{label}\n" for i, (text, label) in enumerate(rows)]
    (directory / "youtube-spam").mkdir(parents=True)
    header = "COMMENT_ID,AUTHOR,DATE,CONTENT,CLASS\n"
    (directory / "youtube-spam" / "01.csv").write_text(header + "".join(reversed(lines)))


class TestFromACorpus:
    def test_only_the_later_part_is_used_in_time_order(self, tmp_path: Path) -> None:
        put_youtube(tmp_path, [(f"comment {i}", 0) for i in range(10)])
        texts = TextSource(tmp_path, STREAMS)
        assert [texts.non_spam().text for _ in range(4)] == ["comment 6", "comment 7", "comment 8", "comment 9"]

    def test_grammars_take_over_when_the_corpus_is_used_up(self, tmp_path: Path) -> None:
        put_youtube(tmp_path, [(f"comment {i}", 0) for i in range(5)])
        texts = TextSource(tmp_path, STREAMS)
        written = [texts.non_spam() for _ in range(5)]
        assert written[0].truth == {"spam": False, "identity_hate": None, "sexism": None, "harassment": None}
        assert written[4].truth["harassment"] is not None

    def test_used_up_spam_is_varied(self, tmp_path: Path) -> None:
        put_youtube(tmp_path, [(f"come and visit my page today number {i}", 1) for i in range(5)])
        texts = TextSource(tmp_path, STREAMS)
        assert [texts.spam().text[-1] for _ in range(2)] == ["3", "4"]
        again = [texts.spam() for _ in range(20)]
        assert all(written.truth["spam"] and written.truth["sexism"] is None for written in again)
        assert len({written.text for written in again}) > 10

    def test_a_duplicate_text_is_used_at_most_once(self, tmp_path: Path) -> None:
        put_youtube(tmp_path, [("Same", 0), ("b", 0), ("c", 0), ("same", 0), ("d", 0), ("D", 0), *[("e", 0)] * 4])
        texts = TextSource(tmp_path, STREAMS)
        assert texts.non_spam().text == "e"
        assert texts.non_spam().truth["harassment"] is not None

    def test_cad_labels_give_two_harms(self, tmp_path: Path) -> None:
        (tmp_path / "cad").mkdir()
        rows = "".join(f"e{i:05d}\ttext {i}\tIdentityDirectedAbuse\n" for i in range(10))
        (tmp_path / "cad" / "cad_v1_1_dev.tsv").write_text("id\ttext\tlabels\n" + rows)
        truth = TextSource(tmp_path, STREAMS).non_spam().truth
        assert truth == {"spam": False, "identity_hate": True, "sexism": None, "harassment": False}

    def test_the_seed_chooses_the_later_part_without_timestamps(self, tmp_path: Path) -> None:
        (tmp_path / "edos").mkdir()
        header = "rewire_id,text,label_sexist,label_category,label_vector,split\n"
        rows = "".join(f"s{i},text {i},sexist,x,y,train\n" for i in range(50))
        (tmp_path / "edos" / "edos_labelled_aggregated.csv").write_text(header + rows)
        first, second, other = (
            [texts.non_spam().text for _ in range(20)]
            for texts in (TextSource(tmp_path, streams) for streams in (STREAMS, Streams(1), Streams(2)))
        )
        assert first == second
        assert set(first) != set(other)


def test_real_corpora_give_each_later_text_once() -> None:
    directory = load_settings().corpora_dir
    if directory is None or not available(directory):
        pytest.skip("corpora not found: set LEADS_CORPORA")
    texts = TextSource(directory, STREAMS)
    assert texts.source == "corpora"
    given = [texts.non_spam() for _ in range(3_000)]
    groups = [text_hash(written.text) for written in given]
    assert len(set(groups)) == len(groups)
    if "youtube-spam" in texts.corpora:
        ranked = sorted(read_corpus(directory, "youtube-spam"), key=lambda text: text.order or 0)
        early = {text.group for text in ranked[: len(ranked) // 2]}
        assert not early & set(groups)
        assert not early & {text_hash(texts.spam().text) for _ in range(50)}


class TestVary:
    def test_variations_differ_from_each_other_and_keep_their_links(self) -> None:
        rng = STREAMS.single("vary")
        varied = [vary("please visit my page at example.com/abc for more of this", 1.0, rng) for _ in range(200)]
        assert len(set(varied)) > 150
        assert sum("example.com/abc" in text for text in varied) > 150

    def test_strength_zero_keeps_the_words(self) -> None:
        assert vary("visit my page now", 0.0, STREAMS.single("none")).startswith("visit my page now")
