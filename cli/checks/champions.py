"""Checks that every champion was made by a recorded change."""

from __future__ import annotations

from cli.checks.findings import Check, Finding
from leads.db import model_changes
from leads.db.engine import has_tables, open_engine, reading
from leads.db.model_changes import CHAMPION, moved_outside
from leads.errors import Unavailable
from leads.policies import load_policies
from leads.settings import Settings

# MLflow takes seconds to import.
_MLFLOW_S = 30.0
_WHY = "The gate didn't check it, and the history doesn't say who moved the alias or why."
_REMEDY = "Make the version that should serve champion: leads models promote, or leads models rollback."


def champion_checks(settings: Settings) -> list[Check]:
    return [Check("champions", lambda: check_champions(settings), limit_s=_MLFLOW_S)]


def check_champions(settings: Settings) -> list[Finding]:
    """Whether aliases were moved outside `leads`; nothing without a registry or database, or while one is down."""
    from models.registry.mlflow_registry import MlflowRegistry

    registry = MlflowRegistry(settings)
    try:
        if not (has_tables(settings) and registry.exists()):
            return []
        engine = open_engine(settings, create=False)
        try:
            with reading(engine) as connection:
                harms = load_policies(settings.policies).harms
                changes = {harm: model_changes.history(connection, harm) for harm in harms}
        finally:
            engine.dispose()
        found = [moved_outside(harm, of, registry.aliases(harm).get(CHAMPION)) for harm, of in changes.items()]
    except Unavailable:
        # The checks of the stores say so.
        return []
    outside = [text for text in found if text]
    if outside:
        return [Finding("champions", "warning", " ".join(outside), _WHY, _REMEDY)]
    return [Finding("champions", "ok", "The history says who made each champion")]
