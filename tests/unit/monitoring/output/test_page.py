"""The page of a harm: what it says, that it is one small file, and that nothing in it can run."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from leads.db.monitoring.verdicts import NO_VERDICT, UNCLEAR, VERDICT
from monitoring.output.html import el, joined
from monitoring.output.page import render
from tests.support.monitoring.page_contents import HOSTILE, contents, nothing, row

VOID = {"meta"}
# A page that uses anything from elsewhere has one of these.
ELSEWHERE = re.compile(r"https?://|//[a-z]+\.|@import|url\(|<script|<link|<iframe|<img|javascript:|\son[a-z]+=", re.I)


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects them and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += f" {data}"


def test_it_says_what_it_is_about() -> None:
    text = " ".join(Page(render(contents())).text.split())
    for said in (
        "Spam", "version 3", "1,204 subjects counted once an hour", "5,310 predictions", "by versions 3", "2,000 rows",
        "Predictions have drifted in the 24 hours up to 2026-03-10 12:00 UTC, against training.",
        "7 of 59 inputs are above their thresholds; the score is above its threshold",
        "An input of Spam is missing", "0.31, with a limit of 0.1. Since 2026-03-09 12:00 UTC",
        "docs/runbook/drift.md", "type type_3", "74.0% to 87.0%", "account.feature_0", "not judged",
        "kind play, source account.mobile (whole platform)", "Spam: a line of the run.", "20 more inputs",
    ):  # fmt: skip
        assert said in text, said


@pytest.mark.parametrize("inputs", [3, 124, 1_000])
def test_it_is_one_small_file(inputs: int) -> None:
    html = render(contents(inputs))
    assert len(html.encode()) <= 300_000
    assert not ELSEWHERE.search(html)
    assert "default-src 'none'" in html


def test_names_can_not_do_anything() -> None:
    html = render(contents(name=HOSTILE + "{}", title=HOSTILE))
    page = Page(html)
    assert "script" not in page.elements
    assert "<script" not in html
    assert HOSTILE in page.text
    assert set(page.elements) == set(Page(render(contents())).elements)


def test_links_lead_to_the_runbook() -> None:
    html = render(contents(), runbook=lambda page: f"file:///docs/{page}.md")
    assert 'href="file:///docs/drift.md"' in html


def test_nothing_measured() -> None:
    text = Page(render(nothing())).text
    for said in (
        "There is no verdict",
        "No alert is open",
        "Nobody was scored",
        "weren't compared",
        "Oldest open lead",
    ):
        assert said in text, said


def test_no_verdict_says_why() -> None:
    missing = row(VERDICT, None, against="reference")._replace(method=f"{NO_VERDICT}: it has 12 subjects")
    found = replace(contents(), verdict=missing)
    assert (
        "There is no verdict on the 24 hours up to 2026-03-10 12:00 UTC: it has 12 subjects."
        in Page(render(found)).text
    )


def test_a_change_that_could_not_be_seen_is_not_called_no_drift() -> None:
    unclear = row(VERDICT, None, against="reference")._replace(method=f"{UNCLEAR}: only a change would show")
    text = Page(render(replace(contents(), verdict=unclear))).text
    assert "There may be drift in the 24 hours up to 2026-03-10 12:00 UTC: only a change" in text
    assert "can't tell" in text
    assert "No drift" not in text


def test_no_drift() -> None:
    found = contents(moved=0)
    score = row("drift.score", 0.05, lo=-0.1, against="reference")
    quiet = replace(found, verdict=row(VERDICT, 0.0, against="reference"), figures={"drift.score": score})
    text = Page(render(quiet)).text
    assert "No drift in the 24 hours" in text
    assert "0 of 59 inputs are above their thresholds; the score is not" in text
    assert "Predictions have drifted" not in text


def test_html_escapes_all_but_html() -> None:
    assert el("a", "<b>", joined(el("i", 3), None, "&"), href='"') == '<a href="&quot;">&lt;b&gt;<i>3</i>&amp;</a>'


def test_long_names_wrap_and_leave_room_for_the_other_columns() -> None:
    name = "account.share_of_plays_that_stop_right_after_thirty_seconds_{}"
    html = render(contents(50, name=name))
    inputs = html.count('<td><span class="name mono">account.share')
    assert inputs == 50
    # So do those in slices.
    assert f'<span class="name">{name.format("feature_29")}</span></td>' in html
    assert re.search(r"td>\.name\{[^}]*max-width:\d+ch;overflow-wrap:anywhere", html)


def test_the_severity_of_an_alert_takes_room_beside_its_title() -> None:
    html = render(contents())
    assert re.search(r'<div class="card alert page"><span class="badge bad">page</span><b>An input of Spam', html)
    # Placed absolutely, it covered titles that are as wide as the card.
    assert "position:absolute" not in html
