"""HTML from Python: whatever isn't HTML already is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


class Html(str):
    """Text that is HTML. Nothing else is put into a page unescaped."""


Part = str | Html | int | None


def el(name: str, *children: Part, **attributes: Part) -> Html:
    """An element. Children and attributes that are None are left out; `class_` is `class`, and `_` in names is `-`.

    >>> el("p", "a < b", el("b", "c"), class_="note", title='"x"')
    '<p class="note" title="&quot;x&quot;">a &lt; b<b>c</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{joined(*children)}</{name}>")


def joined(*children: Part) -> Html:
    """The children, one after the other."""
    return Html(
        "".join(child if isinstance(child, Html) else escape(str(child)) for child in children if child is not None)
    )


def table(head: tuple[str, ...], rows: Sequence[tuple[Part, ...]], *, numbers: frozenset[int] = frozenset()) -> Html:
    """A table in a frame that scrolls sideways on narrow screens.

    Args:
        numbers: the columns that are aligned to the right.
    """

    def cell(name: str, i: int, part: Part) -> Html:
        return el(name, part, class_="n" if i in numbers else None)

    return el(
        "div",
        el(
            "table",
            el("thead", el("tr", *(cell("th", i, title) for i, title in enumerate(head)))),
            el("tbody", *(el("tr", *(cell("td", i, part) for i, part in enumerate(row))) for row in rows)),
        ),
        class_="scroll",
    )
