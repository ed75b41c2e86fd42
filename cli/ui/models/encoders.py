"""Encoders: training, the list, and which one harms are trained with."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.engine import Engine

from cli.ui.database import opened
from cli.ui.models.rows import state as version_state
from cli.ui.terminal import console, escape, minute, next_steps, note, table, working
from leads.db.engine import has_tables
from leads.errors import ConfigurationError, NotEnoughData
from leads.policies import Policies
from leads.settings import Settings
from models.registry.encoders import NEEDED, WHY, WHY_ROLLED_BACK, EncoderRegistry, RegisteredEncoder
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import RETIRED
from models.text import encoder_files as files
from training.encoder.config import load_tune_config
from training.encoder.refresh import refresh, refresh_due
from training.encoder.train import EncoderResult, has_begun, train_encoder

_MEASURED = ("harm", "texts", "violating", "AP,\nunseen", "held out", "AP,\nheld out", "AP,\n32 bits")
_MEASURED_CAPTION = (
    "AP: average precision of the encoder's output alone. Unseen: by networks that were fine-tuned on the other half "
    "of the texts. Held out: on texts held out for any harm, by the encoder as it serves, and with weights of 32 bits."
)
_LISTED = ("encoder", "name", "registered\n(UTC)", "state", "harms", "mean AP,\nheld out", "needed by")
_LISTED_CAPTION = (
    "The mean AP is over the encoder's own harms, on the texts that were held out then: encoders of other harms or "
    "labels can't be compared by it. leads models compare compares versions of a harm with different encoders."
)


def train(
    settings: Settings,
    policies: Policies,
    *,
    promote: bool,
    precision: str | None,
    epochs: int | None,
    quiet: bool,
) -> None:
    """Fine-tune an encoder and show it."""
    given = {"precision": precision, "epochs": epochs}
    config = load_tune_config(settings).model_copy(update={k: v for k, v in given.items() if v is not None})
    try:
        with working("encoder") as tell:
            result = train_encoder(settings, policies, config=config, promote=promote, on_progress=tell)
    except KeyboardInterrupt:
        note("Interrupted. Run the command again to go on, at most a minute of work before this moment.")
        raise
    for harm, why in result.skipped.items():
        note(f"  [dim]{harm} is left out: {escape(why)}[/dim]")
    _show_result(result)
    if not quiet:
        steps = [("leads train --all", "train the harms with it")] if result.encoder.promoted else []
        number = result.encoder.version
        if not result.encoder.promoted:
            steps.append((f"leads encoder promote {number}", "train harms with it from now on"))
        next_steps(*steps, ("leads encoder list", "see all encoders, and which versions need them"))


def show(settings: Settings, policies: Policies) -> None:
    """List the encoders, newest first."""
    known = EncoderRegistry(settings).list()
    if not known:
        note("No encoder is registered yet.")
        if has_begun(settings):
            note(
                "A training was ended before it was done. The next one goes on with it, if labels and settings are "
                "the same."
            )
        next_steps(("leads encoder train", "fine-tune one on the labels of all harms"))
        return
    needed = _needed(settings, policies)
    rows = [
        (
            f"v{one.version}",
            one.id,
            minute(one.created_at_ms * 1_000),
            _state(one),
            _harms(one),
            _mean_ap(one),
            ", ".join(needed.get(one.id, ())) or "–",
        )
        for one in known
    ]
    console.print(table("Encoders", _LISTED, rows, right=_LISTED[4:6], caption=_LISTED_CAPTION))
    if policies.encoder.refresh is not None and has_tables(settings):
        with opened(settings, create=False) as engine:
            due = refresh_due(settings, policies, engine, MlflowRegistry(settings), known)
        note(f"A refresh {'is' if due.is_due else 'is not'} due: {escape(due.why)}")
    folder = settings.root / files.ENCODERS
    note(f"Each encoder's card is in MLflow, and where a version needs it in {escape(str(folder))}/NAME/{files.CARD}.")
    next_steps(
        ("leads encoder promote VERSION", "train harms with another encoder from now on"),
        ("leads train --all", f"train the harms {_with_promoted(known)}"),
    )


def promote(settings: Settings, policies: Policies, number: str, why: str) -> None:
    """Promote an encoder."""
    EncoderRegistry(settings).promote(number, why)
    note(f"Harms are trained with encoder v{number} from now on.")
    _say_what_stays(settings, policies)


def roll_back(settings: Settings, policies: Policies, why: str) -> None:
    """Go back to the encoder that was promoted before, or to none.

    Raises:
        Conflict: none is promoted.
    """
    before = EncoderRegistry(settings).roll_back(why)
    if before is None:
        note("Harms are trained without a fine-tuned encoder from now on.")
    else:
        note(f"Harms are trained with encoder v{before.version} again.")
    _say_what_stays(settings, policies)


def refresh_if_due(
    settings: Settings, policies: Policies, engine: Engine, *, alert: int | None, dry_run: bool
) -> tuple[RegisteredEncoder | None, bool]:
    """Fine-tune the encoder again and promote it, if that is due. Where that isn't possible, say so and go on.

    Returns the promoted encoder, which harms have to be trained with, None if the policies don't ask for that; and
    whether it is due and wasn't done.

    Args:
        alert: the number of the alert that started the retraining.
        dry_run: only say whether it is due.
    """
    if policies.encoder.refresh is None:
        return None, False
    registry = EncoderRegistry(settings)
    encoders = registry.list()
    promoted = next((one for one in encoders if one.promoted), None)
    due = refresh_due(settings, policies, engine, MlflowRegistry(settings), encoders, alert=alert)
    note(f"  the encoder {'is' if due.is_due else 'is not'} due: {escape(due.why)}")
    if not due.is_due or dry_run or promoted is None:
        return promoted, due.is_due
    try:
        with working("encoder") as tell:
            result = refresh(settings, policies, due.why, on_progress=tell)
    except (ConfigurationError, NotEnoughData) as error:
        stays = f"Harms are trained with encoder v{promoted.version}, as before."
        note(f"  [yellow]The encoder can't be refreshed:[/yellow] {escape(str(error))} {stays}")
        return promoted, False
    _show_result(result)
    return registry.promoted(), False


def _say_what_stays(settings: Settings, policies: Policies) -> None:
    """Say which versions keep serving with which encoder."""
    known = EncoderRegistry(settings).list()
    numbers = {one.id: one.version for one in known}
    needed = _needed(settings, policies)
    for id_, versions in needed.items():
        note(f"  Versions that need encoder v{numbers.get(id_, '?')} ({id_}): {', '.join(versions)}")
    steps = [("leads train --all", f"train the harms {_with_promoted(known)}")]
    if needed:
        steps.append(("leads models list", "see which version serves for each harm; promote and rollback change it"))
    next_steps(*steps)


def _with_promoted(known: Sequence[RegisteredEncoder]) -> str:
    now = next((one for one in known if one.promoted), None)
    return "without a fine-tuned encoder" if now is None else f"with encoder v{now.version}"


def _state(one: RegisteredEncoder) -> str:
    if one.promoted:
        said = one.tags.get(WHY, "")
        return "[green]promoted[/green]" + (f"\n{minute(one.promoted_at)[:10]}: {escape(said)}" if said else "")
    if not one.rolled_back_at:
        return ""
    why = one.tags.get(WHY_ROLLED_BACK, "")
    return f"rolled back\n{minute(one.rolled_back_at)[:10]}" + (f": {escape(why)}" if why else "")


def _needed(settings: Settings, policies: Policies) -> dict[str, list[str]]:
    """By encoder, the versions of harms that need it and aren't retired: any of them may serve again."""
    registry = MlflowRegistry(settings)
    found: dict[str, list[str]] = {}
    for harm in policies.harms if registry.exists() else ():
        aliases = registry.aliases(harm)
        for version in registry.versions(harm):
            id_ = version.tags.get(NEEDED)
            if id_ is not None and RETIRED not in version.tags:
                state = version_state(version, aliases)
                found.setdefault(id_, []).append(f"{harm} v{version.version}" + (f" ({state})" if state != "–" else ""))
    return found


def _show_result(result: EncoderResult) -> None:
    encoder = result.encoder
    state = "promoted" if encoder.promoted else "not promoted"
    if result.metrics is None:
        note(f"Encoder v{encoder.version} ({encoder.id}, {state}) was made from equal labels and settings before.")
        return
    rows: list[Sequence[str]] = [
        (
            harm,
            f"{one.texts:,}",
            f"{one.violating:,}",
            _ap(one.ap_unseen),
            f"{one.held_out:,}",
            _ap(one.ap_held_out),
            _ap(one.ap_full),
        )
        for harm, one in result.metrics.harms.items()
    ]
    title = f"Encoder v{encoder.version}, {encoder.id}, {state}, in {result.seconds / 60:.0f} min"
    console.print(table(title, _MEASURED, rows, right=_MEASURED[1:], caption=_MEASURED_CAPTION))


def _ap(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _harms(one: RegisteredEncoder) -> str:
    """How many harms it was measured on."""
    return f"{len(_aps(one)):,}" if _aps(one) else "–"


def _aps(one: RegisteredEncoder) -> list[float]:
    return [value for name, value in one.metrics.items() if name.endswith(".ap_held_out")]


def _mean_ap(one: RegisteredEncoder) -> str:
    found = _aps(one)
    return _ap(sum(found) / len(found)) if found else "–"
