"""The files of the pages: one for each hour and harm, the newest as `latest.html`, and an index of all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from leads import clock
from leads.clock import Micros
from leads.files import write_atomic
from leads.messages.wording import counted
from leads.settings import REPOSITORY, Settings
from monitoring.output import parts
from monitoring.output.gather import Contents
from monitoring.output.html import Html, el, table
from monitoring.output.page import render
from monitoring.output.style import CSS
from monitoring.output.wording import time_text

LATEST = "latest.html"
INDEX = "index.html"
_PAGE = re.compile(r"(\d{8})T(\d{2})\.html")
_REPORT = "evidently-"
# Pages of a harm that the index lists.
_LISTED = 48


def folder_of(settings: Settings) -> Path:
    """The folder of all pages."""
    return settings.reports_dir / "monitoring"


def page_path(settings: Settings, harm: str, until: Micros) -> Path:
    """The page of a harm about the hours up to `until`."""
    return folder_of(settings) / harm / f"{clock.to_datetime(until):%Y%m%dT%H}.html"


def report_path(settings: Settings, harm: str, until: Micros) -> Path:
    """Evidently's report about a window that ended at `until`."""
    return folder_of(settings) / harm / f"{_REPORT}{clock.to_datetime(until):%Y%m%dT%H}.html"


def write_page(settings: Settings, found: Contents) -> Path:
    """Write a harm's page, and that it is the latest; returns its path. A page of the same hour is replaced."""
    text = render(found, runbook=runbook_address)
    path = page_path(settings, found.harm, found.until)
    for one in (path, path.with_name(LATEST)):
        write_atomic(one, lambda draft: draft.write_text(text, encoding="utf-8"))
    return path


def write_index(settings: Settings, found: Mapping[str, Contents]) -> Path:
    """Write the index of all pages; returns its path.

    Args:
        found: what the newest pages show, by harm.
    """
    rows = []
    for harm, contents in sorted(found.items()):
        pages = sum(alert.severity == "page" for alert in contents.own_alerts)
        rows.append(
            (
                el("a", contents.title, href=f"{harm}/{LATEST}"),
                parts.verdict_badge(contents.verdict),
                contents.version or "–",
                f"{contents.current.rows:,}",
                f"{counted(pages, 'page')}, {len(contents.own_alerts) - pages:,} in the digest",
                time_text(contents.until),
            )
        )
    path = folder_of(settings) / INDEX
    older = [_older(harm, path.parent / harm) for harm in sorted(found)]
    body = el(
        "main",
        el("div", "Lead Serving · monitoring", class_="over"),
        el("h1", "All harms"),
        table(("Harm", "Drift", "Version", "Subjects", "Open alerts", "Up to"), rows, numbers=frozenset((3,))),
        *(one for one in older if one is not None),
    )
    text = parts.document("Monitoring", CSS, body)
    write_atomic(path, lambda draft: draft.write_text(text, encoding="utf-8"))
    return path


def runbook_address(page: str) -> str | None:
    """The address of a runbook page in the checkout; None if there is none."""
    if REPOSITORY is None or not re.fullmatch(r"[a-z0-9-]+", page):
        return None
    path = REPOSITORY / "docs" / "runbook" / f"{page}.md"
    return path.as_uri() if path.is_file() else None


def _older(harm: str, folder: Path) -> Html | None:
    pages = sorted((one.name for one in _files(folder) if _PAGE.fullmatch(one.name)), reverse=True)
    reports = sorted((one.name for one in _files(folder) if one.name.startswith(_REPORT)), reverse=True)
    if not pages:
        return None
    shown = [el("li", el("a", _hour(name), href=f"{harm}/{name}")) for name in pages[:_LISTED]]
    shown += [
        el("li", el("a", f"Evidently's report, {_hour(name.removeprefix(_REPORT))}", href=f"{harm}/{name}"))
        for name in reports[:_LISTED]
    ]
    return el("details", el("summary", f"Earlier pages of {harm}"), el("ul", *shown))


def _files(folder: Path) -> Iterable[Path]:
    return folder.glob("*.html")


def _hour(name: str) -> str:
    found = _PAGE.fullmatch(name)
    return name if found is None else f"{found[1][:4]}-{found[1][4:6]}-{found[1][6:]} {found[2]}:00 UTC"
