"""The live features, and the generation that is being built."""

from __future__ import annotations

from cli.ui.database import opened
from cli.ui.terminal import console, escape, minute, next_steps, note, table
from features.declared import generations
from features.declared.feature_set import Feature
from features.text_features import TEXT
from leads.db.engine import reading
from leads.settings import Settings

_COLUMNS = ("feature", "unit", "meaning", "")


def show_features(settings: Settings) -> None:
    """Print every live feature, and how far a coming generation is."""
    with opened(settings) as engine, reading(engine) as connection:
        live = generations.live_generation(connection)
        coming = generations.coming_generation(connection)
        done = generations.progress(connection, coming.number) if coming else []
    # Declared ones first.
    stored = sorted(live.features.stored, key=lambda one: not one.definition)
    rows = [(one.name, one.unit, escape(one.meaning), _remark(one)) for one in stored]
    rows += [(one.name, one.unit, one.meaning, "") for one in TEXT]
    console.print(table("Features", _COLUMNS, rows))
    if live.since:
        note(f"Declared features count the events since {minute(live.since)}, the first in the log.")
    if coming is not None:
        ahead = ", ".join(f"{one.partition}: event {one.offset:,} of {one.target:,}" for one in done) or "not begun"
        what = "ready; workers are taking it over" if coming.state == "ready" else f"being built ({ahead})"
        note(f"Generation {coming.number} of the features is {what}.")
    next_steps(
        ("leads features plan", "see what platform.yaml declares differently"),
        ("leads train --all", "train versions with the live features"),
    )


def _remark(one: Feature) -> str:
    remarks = ["own view"] if ":" in one.name else ["declared"] if one.definition else []
    return ", ".join(remarks if one.default else [*remarks, "for own models only"])
