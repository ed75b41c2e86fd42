"""docs/own-platform.md: every step of it, as written there, gives ranked leads with readable reasons."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY
from tests.support.podcasts import export

PAGE = (REPOSITORY / "docs" / "own-platform.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_the_steps_of_the_page_give_leads_with_reasons(tmp_path: Path) -> None:
    export(tmp_path)
    for name, block in zip(("platform.yaml", "policies.yaml"), blocks("yaml"), strict=True):
        (tmp_path / name).write_text(block)
    leads = Path(sys.executable).parent / "leads"
    steps = "\n".join(blocks("sh"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEADS_")}
    environment |= {"PATH": f"{leads.parent}:{environment['PATH']}", "LEADS_CORPORA": "none", "COLUMNS": "160"}
    done = subprocess.run(
        ["bash", "-e", "-c", steps], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "scam v1 is champion" in said
    assert re.search(r"episode:n\d+ .*follows by its account in 24", said)
    assert "No skew" in said
    leads_found = re.findall(r"episode:(n\d+) ", said)
    # Every fourth new episode is a scam.
    right = [id_ for id_ in leads_found if int(id_[1:]) % 4 == 0]
    assert len(right) >= 5
    assert len(right) / len(leads_found) > 0.8
