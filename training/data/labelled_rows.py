"""The rows that a harm is learned from, from wherever labels come: decisions, public corpora, files of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy.engine import Engine

from leads import corpora
from leads.clock import Micros
from leads.db import event_log
from leads.events import ACCOUNT, ItemCreated, Subject
from leads.policies import HarmPolicy
from leads.settings import Settings
from leads.text import normal_form, text_hash
from training.config import LabelsConfig
from training.data.labels import Label

PLATFORM, CORPUS, FILE = "platform", "corpus:", "file:"


class Row(NamedTuple):
    """One labelled subject or text.

    Args:
        source: `platform`, `corpus:<name>` or `file:<name>`.
        order: rank within its source's time; None where it has none.
        group: equal for equal texts.
        weight: how much the label counts in fitting.
        maker: equal for what one account made; None where that is unknown.
        type_id: type of the subject; None where it is a mere text.
        target: whom it is about, where the source says so.
    """

    text: str | None
    violating: bool
    source: str
    order: int | None
    group: int
    weight: float = 1.0
    maker: int | None = None
    type_id: str | None = None
    target: str | None = None


class Deduplicated(NamedTuple):
    """Rows of distinct texts; how many were removed, and how many of these had no majority."""

    rows: list[Row]
    removed: int
    undecided: int


def platform_rows(
    engine: Engine, labels: Sequence[Label], scored_at: Sequence[Micros], config: LabelsConfig
) -> tuple[list[Row], set[int]]:
    """A row per label, with the text as it was when the subject was scored; and the hashes of all texts ever seen."""
    when = {label.subject: at for label, at in zip(labels, scored_at, strict=True)}
    texts: dict[Subject, str] = {}
    makers: dict[Subject, str | None] = {}
    seen: set[int] = set()
    for logged in event_log.read_kind(engine, "item_created"):
        body = logged.event.body
        assert isinstance(body, ItemCreated)
        if body.text:
            seen.add(text_hash(body.text))
        subject = body.subject.subject
        if subject in when:
            makers[subject] = body.account_id
            if logged.visible_at <= when[subject]:
                texts[subject] = body.text
    return [_platform_row(label, present(texts.get(label.subject)), makers, config) for label in labels], seen


def corpus_rows(
    settings: Settings, policy: HarmPolicy, config: LabelsConfig, on_platform: Collection[int]
) -> list[Row]:
    """The corpora's rows whose text is not on the platform, where its own decisions say more about it."""
    folder = settings.corpora_dir
    there = corpora.available(folder)
    keys = [key for key in policy.corpora if key.partition(":")[0] in there]
    if folder is None or not keys:
        return []
    rows = []
    for found in corpora.read_for(folder, keys):
        label, text = found.label(keys), present(found.text)
        if label is not None and text is not None and found.group not in on_platform:
            maker = number(f"{found.corpus}:{found.author}") if found.author else None
            source = f"{CORPUS}{found.corpus}"
            rows.append(Row(text, label, source, found.order, found.group, config.corpus, maker))
    return rows


def deduplicated(rows: Iterable[Row]) -> Deduplicated:
    """One row for each text of a source, the first, with the label that most of its copies have; none on a tie.

    Subjects of the platform are no copies of each other: the same text by another account is another subject.
    """
    by_text: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        by_text.setdefault((row.source, row.group), []).append(row)
    kept, removed, undecided = [], 0, 0
    for copies in by_text.values():
        violating = sum(row.violating for row in copies)
        removed += len(copies) - 1
        if 2 * violating == len(copies):
            removed, undecided = removed + 1, undecided + 1
        else:
            kept.append(copies[0]._replace(violating=2 * violating > len(copies)))
    return Deduplicated(kept, removed, undecided)


def present(text: str | None) -> str | None:
    """The text, None when nothing is left of it in its normal form."""
    return text if text and normal_form(text) else None


def number(name: str) -> int:
    """64 bits that stand for a name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def _platform_row(label: Label, text: str | None, makers: dict[Subject, str | None], config: LabelsConfig) -> Row:
    subject = label.subject
    group = text_hash(text if text is not None else f"without text: {subject.key}")
    maker = subject.id if subject.type_id == ACCOUNT else makers.get(subject)
    return Row(
        text,
        label.violating,
        PLATFORM,
        label.at,
        group,
        label.weight(config),
        None if maker is None else number(f"{PLATFORM}:{maker}"),
        subject.type_id,
    )
