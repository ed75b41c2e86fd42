"""An encoder's card: what it is, what it was trained on, and how well it ranks."""

from __future__ import annotations

from models.text.encoder_files import About
from training.encoder.config import TuneConfig
from training.encoder.examples import Examples
from training.encoder.measure import EncoderMetrics


def write(about: About, learned: Examples, metrics: EncoderMetrics, config: TuneConfig) -> str:
    """The card in Markdown. It contains no texts."""
    added = int((~learned.own).sum())
    lines = [
        f"# Encoder {about.id}",
        "",
        f"`{about.base}`, fine-tuned on {int(learned.own.sum()):,} labelled texts of {len(about.harms)} harms at once"
        + (f", and on {added:,} texts that were made from them or written for it." if added else "."),
        f"It gives a text one number per harm, in log-odds. Weights: {about.precision}. Texts are truncated to "
        f"{about.max_tokens} tokens. Epochs: {config.epochs}.",
        "",
        "A harm's model uses all outputs beside its n-grams. On the texts that the encoder was trained on, it is "
        "fitted on outputs of networks that hadn't seen them.",
        "",
        "| harm | texts | violating | AP, unseen | held-out texts | AP, held out | AP, 32 bits |",
        "|---|---|---|---|---|---|---|",
    ]
    for harm, one in metrics.harms.items():
        cells = (_ap(one.ap_unseen), f"{one.held_out:,}", _ap(one.ap_held_out), _ap(one.ap_full))
        lines.append(f"| {harm} | {one.texts:,} | {one.violating:,} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "AP: average precision. “Unseen”: by networks that were fine-tuned on the other half of the texts. “Held out”: "
        "on texts that are held out for any harm, by the encoder as it serves.",
        f"The largest difference between outputs with these weights and with weights of 32 bits is "
        f"{metrics.largest_error:.2g} log-odds. What it costs is the difference of the last two columns. "
        "If that is more than 0.005, consider `leads encoder train --precision float32`.",
    ]
    return "\n".join(lines) + "\n"


def _ap(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
