"""YAML that is built to exhaust a reader ends with one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads.errors import ConfigurationError
from leads.yaml_files import Strict, read_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


class Anything(Strict):
    a: int = 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "stands for more than 100,000 values"),
        ("[" * 3_000, "nested too deeply"),
        ("a: &a [*a]", "contains itself"),
        ("a: \0", "Invalid YAML: unacceptable character"),
        ("a: [1", "Invalid YAML"),
    ],
)
def test_it_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        read_yaml(path, Anything, remedy="Write it.")
    assert says in refused.value.message
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value.field)
