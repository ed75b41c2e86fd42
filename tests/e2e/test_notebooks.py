"""Every notebook runs from top to bottom and is kept clean; those that look at a home, with and without features."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from features.offline.segments import Segments
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, load_settings
from tests.support.paths import REPOSITORY
from training.data.own_labels import Columns, declaration, import_labels

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
# These work on `LEADS_HOME`; in the cells that are named, being there already is said otherwise.
ON_A_HOME = {"features": {"home"}, "own_model": {"home", "register"}}
PLOTS = {
    "drift": {"series", "distributions"},
    "features": {"ranking", "distributions", "farms", "ages"},
    "own_labels": {"curve"},
    "own_model": {"gain", "scores"},
}
SAYS = {
    "drift": {
        "home": ("simulated a platform", "notebook-drift"),
        "alert": ("To do:", "Runbook:"),
        "cause": ("verdict: drift",),
        "retrain": ("v2",),
    },
    "features": {
        "sdk": ("features are equal, bit by bit",),
        "elsewhere": ("is known for 100% of the subjects; pairs won: 0.",),
        "skew": ("largest difference 0\n",),
        "logged": ("There are no predictions to check yet.",),
    },
    "own_labels": {
        "undeclared": ("Harm 'ticket_resale' not found", "dsa_category: STATEMENT_CATEGORY_OTHER_VIOLATION_TC"),
        "train": ("Labels for ticket_resale from Ticket export.csv", "file:ticket_export", "without label"),
        "kept": ("labels/ticket_resale/ticket_export.parquet", "Imported labels"),
        "promote": ("v1 is now champion of ticket_resale",),
        "next": ("NOTEBOOK_HARM=ticket_resale",),
    },
    "own_model": {
        "register": ("spam version 1, challenger", "leads models promote spam 1"),
        "load": ("margins are the model's own, to 1e-6",),
    },
}
TABLES = {
    "drift": {"alerts", "cause"},
    "features": {"holds", "labels", "catalogue", "frame", "tried", "online", "rules", "skew"},
    "own_labels": {"file", "kept", "scores"},
    "own_model": {"columns", "tiers"},
}


def execute(path: Path, home: Path, folder: Path) -> dict[str, list[Any]]:
    """Run a notebook as a front end does, from its own folder; returns the outputs of each cell by its id."""
    notebook = nbformat.read(path, as_version=4)
    env = {
        **os.environ,
        "LEADS_HOME": str(home),
        "LEADS_CORPORA": "none",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(folder / "ipython"),
    }
    client = NotebookClient(
        notebook, timeout=800, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env=env)
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def printed(outputs: list[Any]) -> str:
    return "".join(one.text for one in outputs if one.output_type == "stream")


def shown(outputs: list[Any]) -> set[str]:
    """The kinds of content that a cell displays."""
    return {kind for one in outputs if "data" in one for kind in one.data}


def check(name: str, outputs: dict[str, list[Any]]) -> None:
    stray = [
        one for cell in outputs.values() for one in cell if one.output_type == "error" or one.get("name") == "stderr"
    ]
    assert stray == []
    assert {cell for cell in outputs if "image/png" in shown(outputs[cell])} == PLOTS[name]
    assert {cell for cell in outputs if "text/html" in shown(outputs[cell])} >= TABLES[name]
    for cell, texts in SAYS[name].items():
        for text in texts:
            assert text in printed(outputs[cell])


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem in ON_A_HOME], ids=lambda path: path.stem)
def test_it_runs_without_and_with_features(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    home = tmp_path / "home"
    first = execute(path, home, tmp_path)
    check(path.stem, first)
    assert "simulated events appended" in printed(first["home"])
    # What it made lies apart from the home's own state, and is a home with features itself.
    made = home / "notebook"
    assert [one.name for one in home.iterdir()] == ["notebook"]
    manifest = Segments(load_settings(home=made).features_dir / "segments").manifest()
    second = execute(path, made, tmp_path)
    check(path.stem, second)
    assert "simulated" not in printed(second["home"])
    assert not (made / "notebook").exists()
    assert Segments(load_settings(home=made).features_dir / "segments").manifest() == manifest
    assert {cell: printed(one) for cell, one in second.items() if cell not in ON_A_HOME[path.stem]} == {
        cell: printed(one) for cell, one in first.items() if cell not in ON_A_HOME[path.stem]
    }


@pytest.mark.slow
def test_labels_of_ones_own_are_learned_in_a_home_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    home = tmp_path / "home"
    check("own_labels", execute(REPOSITORY / "notebooks" / "own_labels.ipynb", home, tmp_path))
    assert not home.exists()
    assert not list(folder.glob("leads-own-labels-*"))


@pytest.mark.slow
def test_an_alert_is_followed_to_its_cause_and_to_a_new_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    home = tmp_path / "home"
    check("drift", execute(REPOSITORY / "notebooks" / "drift.ipynb", home, tmp_path))
    assert [one.name for one in home.iterdir()] == ["notebook-drift"]


@pytest.mark.slow
def test_a_model_of_ones_own_is_fitted_to_labels_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    policies, path = tmp_path / "policies.yaml", tmp_path / "tickets.csv"
    policies.write_text(POLICIES_FILE.read_text().replace("harms:\n", f"harms:\n{declaration('ticket_resale')}", 1))
    monkeypatch.setenv("LEADS_POLICIES", str(policies))
    settings = load_settings(home=tmp_path / "home")
    for harm, n in (("spam", 10), ("ticket_resale", 900)):
        lines = [f"{'two tickets for sale' if i % 3 else 'what a night it was'} {i},{i % 3 > 0}" for i in range(n)]
        path.write_text("\n".join(("text,label", *lines)) + "\n")
        import_labels(settings, load_policies(policies), harm, path, Columns("text", "label"))
    outputs = execute(REPOSITORY / "notebooks" / "own_model.ipynb", settings.root, tmp_path)
    assert [one for cell in outputs.values() for one in cell if one.output_type == "error"] == []
    assert "harm: ticket_resale; label files of your own: 1" in printed(outputs["home"])
    assert "simulated" not in printed(outputs["home"])
    assert "ticket_resale version 1, challenger" in printed(outputs["register"])
    assert not (settings.root / "notebook").exists()


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(PLOTS) == set(SAYS) == set(TABLES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count] == []
