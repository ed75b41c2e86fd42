"""Labelled rows from every source of labels: decisions, public corpora, and imported files."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy.engine import Engine

from leads.clock import Micros
from leads.content import Content, judged_text, newest, ref_of
from leads.corpora import CorpusText
from leads.db.engine import reading
from leads.db.items import contents
from leads.events import ACCOUNT, ContentRef, Subject
from leads.language.stated import NO_FIELDS, LanguageFields, stated_language, text_language
from leads.text import present, text_hash
from training.config import LabelsConfig
from training.data.history import ScoredLabels
from training.data.labels import Label

PLATFORM, CORPUS, FILE = "platform", "corpus:", "file:"
# Labels whose subjects' content is in memory at once.
_SUBJECTS_AT_ONCE = 5_000


class LabelledRow(NamedTuple):
    """One labelled subject or text.

    Args:
        source: `platform`, `corpus:<name>` or `file:<name>`.
        order: rank in time among the rows of its source; None if its time is unknown.
        group: equal for rows with equal texts.
        weight: weight of the label in fitting.
        maker: equal for rows made by one account; None if the account is unknown.
        type_id: type of the subject; None for a text without a subject.
        target: the group that the text is about, if the source says so.
        content: the version that was judged, whose text this is; None for a text without a subject.
        stated: the language that the subject states; None if it states none.
        subject: what was labelled; None for a text without a subject. Nothing is fitted on it.
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
    content: ContentRef | None = None
    stated: str | None = None
    subject: Subject | None = None

    @property
    def language(self) -> str | None:
        """The text's language, as scoring reads it; None without text."""
        return text_language(self.text, self.stated)


class Deduplicated(NamedTuple):
    """Rows with distinct texts, how many rows were removed, and how many texts had labels that disagree.

    Of a corpus's texts, only those without a majority count as disputed.
    """

    rows: list[LabelledRow]
    removed: int
    disputed: int


def platform_rows(
    engine: Engine, known: ScoredLabels, config: LabelsConfig, languages: LanguageFields = NO_FIELDS
) -> list[LabelledRow]:
    """One row per label, with the text that was judged.

    Where nobody knows which text was judged, it is the one that the subject had when it was scored.

    Args:
        languages: the fields that state the language, by type.
    """
    rows: list[LabelledRow] = []
    for start in range(0, len(known.labels), _SUBJECTS_AT_ONCE):
        labels = known.labels[start : start + _SUBJECTS_AT_ONCE]
        with reading(engine) as connection:
            found = contents(connection, {label.subject for label in labels})
        for label, at in zip(labels, known.as_of[start : start + _SUBJECTS_AT_ONCE].tolist(), strict=True):
            versions = [one for one in found.get(label.subject, ()) if one.offset <= known.up_to]
            rows.append(_platform_row(label, at, versions, config, languages))
    return rows


def corpus_rows(
    texts: Iterable[CorpusText], keys: Sequence[str], config: LabelsConfig, better_known: Collection[int]
) -> list[LabelledRow]:
    """The corpora's rows for these keys, except those whose text is better known, from a file of one's own."""
    rows = []
    for found in texts:
        label, text = found.label(keys), present(found.text)
        if label is not None and text is not None and found.group not in better_known:
            maker = number(f"{found.corpus}:{found.author}") if found.author else None
            source = f"{CORPUS}{found.corpus}"
            rows.append(LabelledRow(text, label, source, found.order, found.group, config.corpus, maker))
    return rows


def deduplicated(rows: Iterable[LabelledRow]) -> Deduplicated:
    """One row per text and source: the first copy, with the majority label of all copies. A tie drops the text.

    For corpora. On the platform the same text by another account is another subject; for imported files see
    `training.data.observations`.
    """
    by_text: dict[tuple[str, int], list[LabelledRow]] = {}
    for row in rows:
        by_text.setdefault((row.source, row.group), []).append(row)
    kept, removed, disputed = [], 0, 0
    for copies in by_text.values():
        violating = sum(row.violating for row in copies)
        removed += len(copies) - 1
        if 2 * violating == len(copies):
            removed, disputed = removed + 1, disputed + 1
        else:
            kept.append(copies[0]._replace(violating=2 * violating > len(copies)))
    return Deduplicated(kept, removed, disputed)


def number(name: str) -> int:
    """A 64-bit hash of a name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def _platform_row(
    label: Label, at: Micros, versions: Sequence[Content], config: LabelsConfig, languages: LanguageFields
) -> LabelledRow:
    subject, held = label.subject, newest(versions)
    # A decision may name a version that never was: its offset alone proves nothing.
    at_offset = next((one for one in versions if one.offset == label.content.offset), None)
    named = at_offset if at_offset and at_offset.ref == label.content else None
    shown = named or newest(versions, visible_by=at)
    text = present(judged_text(shown.item)) if shown else None
    group = text_hash(text if text is not None else f"without text: {subject.key}")
    maker = subject.id if subject.type_id == ACCOUNT else held.item.account_id if held else None
    return LabelledRow(
        text,
        label.violating,
        PLATFORM,
        label.at,
        group,
        label.weight(config),
        None if maker is None else number(f"{PLATFORM}:{maker}"),
        subject.type_id,
        content=ref_of(shown) if shown else label.content,
        stated=stated_language(subject.type_id, shown.item.fields, languages) if shown else None,
        subject=subject,
    )
