"""Which public corpora a command reads, so that nothing depends silently on what lies next to the checkout."""

from __future__ import annotations

from cli.ui.terminal import escape, note
from leads.corpora import available
from leads.settings import Settings


def print_corpora(settings: Settings) -> None:
    """Print which corpora were found and where, and the setting that chooses them."""
    note(f"Corpora: {escape(describe_corpora(settings))}")


def describe_corpora(settings: Settings) -> str:
    """The corpora that were found and where, or why there are none.

    Raises:
        ConfigurationError: as `Settings.corpora_dir`.
    """
    folder = settings.corpora_dir
    found = sorted(available(folder))
    if folder is None:
        off = settings.without_corpora
        return "turned off by LEADS_CORPORA" if off else "none found (LEADS_CORPORA names their folder)"
    if not found:
        return f"none found in {folder} (LEADS_CORPORA names their folder)"
    return f"{', '.join(found)} in {folder} (LEADS_CORPORA=none turns them off)"
