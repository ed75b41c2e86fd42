from __future__ import annotations

import tomllib

import yaml

from tests.support.paths import REPOSITORY

CLIENT = "lead-serving-client"


def test_the_bento_asks_for_what_the_project_declares() -> None:
    bento = yaml.safe_load((REPOSITORY / "bentofile.yaml").read_text())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {*project["dependencies"], *extras["serving"], *extras["postgres"]} - {f"{CLIENT}=={project['version']}"}
    assert declared <= set(bento["python"]["packages"])
    assert bento["python"]["lock_packages"] is False
    assert bento["python"]["wheels"] == [f"dist/{CLIENT.replace('-', '_')}-{project['version']}-py3-none-any.whl"]
