"""The images' build file: pinned, with hashes, without root and without secrets; and nothing that isn't there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib

import pytest

from tests.support.paths import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
TEXT = (DEPLOY / "Dockerfile").read_text()
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
_INSTRUCTION = re.compile(r"^([A-Z]+) (.*)$")


def instructions() -> list[tuple[str, str]]:
    """Instructions and their arguments, each on one line."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE))
    found = []
    for line in joined.splitlines():
        if line.strip():
            match = _INSTRUCTION.match(line)
            assert match is not None, line
            found.append((match[1], match[2]))
    return found


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, with those of the stages that it begins from."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for word, rest in instructions():
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = [*found.get(base, [])]
        elif name:
            found[name].append((word, rest))
    return found


def pins(lock: str) -> dict[str, str]:
    text = (REPOSITORY / lock).read_text()
    return {name.lower().replace("_", "-"): version for name, version in _PIN.findall(text)}


def names(*requirements: str) -> set[str]:
    return {re.split(r"[<>=\[!~; ]", one)[0].lower().replace("_", "-") for one in requirements}


def test_every_stage_begins_from_the_pinned_image() -> None:
    known = set(stages())
    bases = [rest.partition(" AS ")[0] for word, rest in instructions() if word == "FROM"]
    assert {base for base in bases if base not in known} == {"${PYTHON_IMAGE}"}
    (image,) = [rest for word, rest in instructions() if word == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-[a-z]+", image)


@pytest.mark.parametrize("target", ["api", "worker"])
def test_images_run_without_rights_and_stop_in_order(target: str) -> None:
    said = stages()[target]
    assert [rest for word, rest in said if word == "USER"] == ["10001:10001"]
    assert [rest for word, rest in said if word == "STOPSIGNAL"] == ["SIGTERM"]
    assert [rest for word, rest in said if word == "VOLUME"] == ['["/var/lib/leads"]']
    (check,) = [rest for word, rest in said if word == "HEALTHCHECK"]
    assert f'CMD ["python", "/opt/healthcheck.py", "{target}"]' in check
    assert [rest for word, rest in said if word == "ENTRYPOINT"] == ['["leads"]']
    copied = [rest for word, rest in said if word == "COPY"]
    assert copied == ["deploy/healthcheck.py /opt/healthcheck.py", f"--from={target}-packages /opt/leads /opt/leads"]
    # Building needs nothing that the running image keeps.
    assert not any("pip" in rest for word, rest in said if word == "RUN")


def test_packages_are_installed_with_hashes_and_nothing_else_is() -> None:
    installs = [part for _, rest in instructions() for part in re.findall(r"pip install [^&]*", rest)]
    assert len(installs) == 5
    for install in installs:
        assert "--require-hashes" in install or ("--no-index" in install and "/wheels/" in install)
        assert "--no-deps" in install
    assert not any(word == "ADD" for word, _ in instructions())
    assert not re.search(r"(?i)(password|secret|token|api_key)\s*=", TEXT)


def test_what_is_copied_exists_and_every_package_is() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    sources = {source for one in copied for source in one}
    assert [source for source in sources if not (REPOSITORY / source).exists()] == []
    packages = {one.rstrip("*").rstrip(".") for one in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= sources
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {f"!{source.split('/')[0]}" for source in sources} <= set(ignored)


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("api", ("serving", "postgres")), ("worker", ("serving", "features", "training", "monitoring", "postgres"))],
)
def test_an_image_has_what_its_extras_ask_for_in_the_versions_of_the_lock(lock: str, extras: tuple[str, ...]) -> None:
    declared = PROJECT["project"]["optional-dependencies"]
    wanted = names(*PROJECT["project"]["dependencies"], *(one for extra in extras for one in declared[extra]))
    found, all_pins = pins(f"deploy/locks/{lock}.lock"), pins("requirements.lock")
    assert wanted - {"lead-serving", "lead-serving-client"} <= set(found)
    assert found.items() <= all_pins.items()


def test_the_api_image_has_nothing_for_training() -> None:
    heavy = {"mlflow", "feast", "pandas", "scikit-learn", "matplotlib", "optuna", "evidently", "duckdb"}
    assert heavy & set(pins("deploy/locks/api.lock")) == set()
    assert heavy <= set(pins("deploy/locks/worker.lock"))


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
