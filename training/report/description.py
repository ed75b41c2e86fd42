"""What MLflow's pages say about a version and about a harm's model, in Markdown.

It is shorter than the model card, which is a file of the version: MLflow keeps up to 5,000 characters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from leads import clock
from leads.environment.addresses import without_credentials
from leads.errors import ModelRefused
from leads.policies import HarmPolicy, TierPolicy
from models import manifest
from models.registry.runs import experiment_of
from models.registry.versions import GATE, GIT_COMMIT, RELEASE, TRAINED_BY, WHY
from models.version import ModelVersion, model_name
from training.report import calibration, card, dataset_card, slices
from training.report.dataset_card import DatasetCard
from training.report.measure import Metrics, metrics_of

LONGEST = 5_000
_LONGEST_FACT, _SOURCES, _SLICES = 300, 10, 60
_ABOUT_VERSIONS = "The description of a version says what it was trained on and how good it is."
_CARD = f"The whole model card is the run's artifact `model/artifacts/version/{manifest.CARD}`."


def of_version(
    policy: HarmPolicy,
    version: ModelVersion,
    tags: Mapping[str, str],
    *,
    mlflow_uri: str,
    number: str | None = None,
    gate: str = "",
) -> str:
    """The description of a version, at most 5,000 characters.

    Args:
        version: in its folder.
        tags: that people read, of the version.
        mlflow_uri: MLflow's; what is shown of it has no credentials.
        number: its number in the registry; None if it has none yet.
        gate: a section on what the gate found; empty if it wasn't asked.
    """
    metrics = _metrics(version)
    parts = [
        _head(policy, version),
        _facts(version, metrics, tags),
        _use(version, number, mlflow_uri),
        gate,
        _quality(metrics),
    ]
    limits = f"### Limits\n\n{dataset_card.limits(dataset_card.read(version.folder))}"
    room = LONGEST - len("\n\n".join((*parts, limits))) - 2 * len("\n\n")
    sliced = _slices(metrics, room) if metrics else ""
    return "\n\n".join(part.strip() for part in (*parts, sliced, limits) if part)[:LONGEST]


def of_harm(harm: str, policy: HarmPolicy, *, uses_text: bool, mlflow_uri: str) -> str:
    """The description of a harm's registered model."""
    facts = (
        ("scores", ", ".join(policy.subject_types)),
        ("severity", f"{policy.severity:g} of 10"),
        ("DSA category", f"`{policy.dsa_category}`"),
        ("review tier", _tier(policy.review)),
        ("auto tier", _tier(policy.auto) if policy.auto else "none: people decide everything"),
    )
    runs = f"Trainings are runs of the experiment `{experiment_of(harm)}`."
    return f"""Models of the harm `{harm}`, {policy.title}. {card.purpose(policy)}

The tags say which version is `champion` and serves, since when and why. {_ABOUT_VERSIONS} {runs}

{_list(facts)}

{_loading(f"models:/{model_name(harm)}@champion", mlflow_uri, uses_text=uses_text)}
"""


def _head(policy: HarmPolicy, version: ModelVersion) -> str:
    return f"{policy.title} (`{version.harm}`). {card.purpose(policy)}"


def _facts(version: ModelVersion, metrics: Metrics | None, tags: Mapping[str, str]) -> str:
    at = clock.to_text(manifest.read_manifest(version.folder).created_at)[:16].replace("T", " ")
    by = f" by {tags[TRAINED_BY]}" if TRAINED_BY in tags else ""
    facts = [("trained", f"{at} UTC{by}")]
    commit, _, changes = tags.get(GIT_COMMIT, "").partition(" ")
    code = [f"commit `{commit[:12]}` {changes}".strip()] if commit else []
    code += [f"release {tags[RELEASE]}"] if RELEASE in tags else []
    facts += [("code", ", ".join(code))] if code else []
    facts += [("why", tags[WHY])] if WHY in tags else []
    data = dataset_card.read(version.folder)
    if data is not None:
        facts.append(("labels", f"{data.rows:,}, {data.violating:,} of them violating ({data.prevalence:.1%})"))
        facts.append(("sources", _sources(data)))
        facts.append(("decisions", dataset_card.decided(data)))
        facts.append(("data set", f"`{data.dataset_hash[:12]}`"))
    text = " and the text" if version.uses_text else ""
    facts.append(("input", f"{len(version.contract.columns)} features{text}, contract `{version.contract.hash}`"))
    starts = (("review", version.thresholds.review), ("auto", version.thresholds.auto))
    facts.append(("tiers", ", ".join(f"{tier} {_start(start)}" for tier, start in starts)))
    if metrics and metrics.test.ece and metrics.test.chance:
        facts.append(("calibration", calibration.verdict(metrics.test.ece.found, metrics.test.chance)))
    facts += [("gate", tags[GATE])] if GATE in tags else []
    return _list(facts)


def _sources(data: DatasetCard) -> str:
    """The sources with the most rows."""
    ordered = sorted(data.sources, key=lambda one: -one.rows)
    more = len(ordered) - _SOURCES
    listed = [f"{one.source} ({one.rows:,})" for one in ordered[:_SOURCES]]
    return ", ".join(listed) + (f" and {more:,} more" if more > 0 else "")


def _quality(metrics: Metrics | None) -> str:
    if metrics is None:
        return "Its figures were written by an earlier release."
    return f"### Quality on {metrics.test.evidence.text()}\n\n{card.measured_on(metrics)}\n\n{card.measures(metrics)}"


def _slices(metrics: Metrics, room: int) -> str:
    """The slices far behind the rest and the largest ones, as many as there is room for."""
    found = metrics.slices
    ordered = sorted(range(len(found)), key=lambda i: (not found[i].behind, -found[i].rows))
    for kept in range(min(len(found), _SLICES), 0, -1):
        shown = [found[i] for i in sorted(ordered[:kept])]
        more = f"\n{len(found) - kept:,} smaller slices are in the model card." if kept < len(found) else ""
        text = f"### Slices\n\n{slices.markdown(shown).strip()}{more}"
        if len(text) <= room:
            return text
    return ""


def _use(version: ModelVersion, number: str | None, mlflow_uri: str) -> str:
    columns = "the contract's columns and `text`" if version.uses_text else "the contract's columns"
    uri = f"models:/{version.name}/{number or 'VERSION'}"
    return f"""### Use

{_loading(uri, mlflow_uri, uses_text=version.uses_text)}

`rows` has {columns}; the result has `score`, `margin` and `tier`. {_CARD}"""


def _loading(uri: str, mlflow_uri: str, *, uses_text: bool) -> str:
    shown = without_credentials(mlflow_uri)
    hidden = "" if shown == mlflow_uri else "  # add what LEADS_MLFLOW_URI has besides"
    texts = '\nrows["text"] = ["a text", "another text"]' if uses_text else ""
    return f"""```python
import mlflow
import numpy as np
import pandas as pd

mlflow.set_tracking_uri({json.dumps(shown, ensure_ascii=False)}){hidden}
model = mlflow.pyfunc.load_model("{uri}")
names = model.metadata.get_input_schema().input_names()
rows = pd.DataFrame(np.nan, index=range(2), columns=names)  # NaN: a missing value; fill in what is known{texts}
model.predict(rows)
```"""


def _tier(policy: TierPolicy) -> str:
    return f"precision of at least {policy.precision:g}"


def _start(start: float | None) -> str:
    return "not offered" if start is None else f"from {start:.3f}"


def _list(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{name}**: {_one_line(value)[:_LONGEST_FACT]}" for name, value in facts)


def _one_line(text: str) -> str:
    """Text without line breaks, which MLflow's pages would show."""
    return " ".join(text.split())


def _metrics(version: ModelVersion) -> Metrics | None:
    try:
        return metrics_of(version)
    except ModelRefused:
        return None
