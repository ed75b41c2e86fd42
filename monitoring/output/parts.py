"""Parts that several pages have."""

from __future__ import annotations

from collections.abc import Mapping

from leads.db.monitoring.figures import says_yes
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.verdicts import is_unclear
from monitoring.output.html import Html, el, joined

# Nothing is loaded, run or sent, whatever a name in the page says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, css: str, body: Html) -> str:
    """A whole page."""
    head = el(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        el("title", title),
        el("style", Html(css)),
    )
    return f"<!DOCTYPE html>\n{el('html', head, el('body', body), lang='en')}\n"


def verdict_badge(verdict: MetricRow | None, *, big: bool = False) -> Html:
    """Whether there is drift, in a word or two."""
    size = " big" if big else ""
    if verdict is None or verdict.value is None:
        unclear = verdict is not None and is_unclear(verdict)
        return el("span", "can't tell" if unclear else "no verdict", class_=f"badge{size}")
    if says_yes(verdict):
        return el("span", "drifted", class_=f"badge bad{size}")
    return el("span", "no drift", class_=f"badge ok{size}")


def stack(by_tier: Mapping[str, tuple[int, float]], titles: Mapping[str, str]) -> Html:
    """A bar of the tiers' shares, with a caption."""
    total = sum(rows for rows, _ in by_tier.values()) or 1
    shares = [(tier, title, by_tier.get(tier, (0, 0.0))[0] / total) for tier, title in titles.items()]
    bars = (el("span", class_=f"tier-{tier}", style=f"width:{100 * share:.2f}%") for tier, _, share in shares)
    caption = ", ".join(f"{title} {share:.1%}" for _, title, share in shares)
    return joined(el("div", *bars, class_="stack"), el("small", caption, class_="quiet"))
