"""Pairs of real labelled texts: a version is trained on some of the first ones, and then the second ones come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads import corpora
from leads.corpora import CorpusText
from leads.text import present
from training.data.split import draw

Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.uint64]

CAD, EDOS, VIDEOS = "cad", "edos", "youtube-spam"
_IDENTITY = "cad:identity"
# Texts a day: enough for a verdict on each day.
_A_DAY, _A_DAY_OF_VIDEOS = 400, 120
# The most days of each stretch: as long as performance is measured over.
_DAYS = 7
# As far back as drift looks for windows to compare with, at half as many texts a day.
_LONG_DAYS = 28
_SEED = 7


class Texts(NamedTuple):
    """n labelled texts, in the order in which they come."""

    rows: Sequence[CorpusText]
    labels: Bools

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def groups(self) -> Groups:
        """(n,) equal for equal texts."""
        return np.array([row.group for row in self.rows], dtype=np.uint64)

    @property
    def contents(self) -> list[str]:
        """The texts themselves."""
        return [row.text for row in self.rows]

    def where(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Texts:
        """Some of the texts."""
        places = np.arange(len(self))[chosen].tolist()
        return Texts([self.rows[i] for i in places], self.labels[chosen])


class Pair(NamedTuple):
    """What a version is trained on, and what it scores afterwards.

    Args:
        harm: whose policy says where its tiers start.
        learned: trained on, and the platform's last four weeks before the version.
        before: of the same set, not trained on, scored first. Whole days.
        after: of the other set, scored afterwards. Whole days. No text of it is among `learned`.
        a_day: the number of texts scored in a day.
    """

    name: str
    harm: str
    learned: Texts
    before: Texts
    after: Texts
    a_day: int


def pairs(directory: Path) -> Iterator[Pair]:
    """The pairs whose corpora are found."""
    found = corpora.available(directory)
    if CAD in found:
        comments = _labelled(corpora.read_corpus(directory, CAD), _IDENTITY)
        half = len(comments) // 2
        earlier, later = comments.where(np.arange(half)), comments.where(np.arange(half, len(comments)))
        yield _pair("CAD: later comments after earlier ones", "identity_hate", earlier, later, _A_DAY)
        if EDOS in found:
            other = _labelled(corpora.read_corpus(directory, EDOS), EDOS)
            yield _pair("EDOS after CAD", "identity_hate", comments, other, _A_DAY)
            name = "EDOS after four weeks of CAD"
            yield _pair(name, "identity_hate", comments, other, _A_DAY // 2, days=_LONG_DAYS)
    if VIDEOS in found:
        videos = _videos(directory)
        for i, video in enumerate(videos):
            others = _together([one for j, one in enumerate(videos) if j != i])
            yield _pair(f"YouTube: video {i + 1} after the others", "spam", others, video, _A_DAY_OF_VIDEOS)


def controls(directory: Path, repeats: int) -> Iterator[Pair]:
    """Random halves of one set, in random order: nothing differs between them but by chance."""
    found = corpora.available(directory)
    sets = [
        (CAD, "CAD", "identity_hate", _IDENTITY, _A_DAY),
        (EDOS, "EDOS", "sexism", EDOS, _A_DAY),
        (VIDEOS, "YouTube", "spam", VIDEOS, _A_DAY_OF_VIDEOS),
    ]
    for corpus, name, harm, key, a_day in sets:
        if corpus not in found:
            continue
        everything = _labelled(corpora.read_corpus(directory, corpus), key)
        for seed in range(repeats):
            order = np.random.default_rng([_SEED, seed]).permutation(len(everything))
            shuffled = everything.where(order)
            # Equal texts stay together, as in the pairs.
            first = draw(shuffled.groups, seed) / 2.0**64 < 0.5
            yield _pair(f"{name}: random halves", harm, shuffled.where(first), shuffled.where(~first), a_day)


def _pair(name: str, harm: str, first: Texts, second: Texts, a_day: int, *, days: int = _DAYS) -> Pair:
    """
    Args:
        days: the most days before the second texts.
    """
    learned = draw(first.groups, _SEED) / 2.0**64 < 0.5
    known = first.groups[learned]
    before = first.where(~learned)
    after = second.where(~np.isin(second.groups, known))
    # The newest of what came before, and the first of what comes after.
    of_before, of_after = (a_day * min(len(some) // a_day, most) for some, most in ((before, days), (after, _DAYS)))
    newest = before.where(np.arange(len(before) - of_before, len(before)))
    return Pair(name, harm, first.where(learned), newest, after.where(np.arange(of_after)), a_day)


def _labelled(rows: Sequence[CorpusText], key: str) -> Texts:
    """The rows with a text and a label, in the order of time as far as it is known, else in that of the files."""
    kept = [row for row in rows if key in row.labels and present(row.text)]
    kept.sort(key=lambda row: row.order or 0)
    return Texts(kept, np.array([row.labels[key] for row in kept], dtype=np.bool_))


def _videos(directory: Path) -> list[Texts]:
    """The comments under each video: a file each, which are read as if there were no others."""
    found = []
    for path in sorted((directory / VIDEOS).glob("*.csv")):
        with TemporaryDirectory() as folder:
            of_one = Path(folder) / VIDEOS
            of_one.mkdir()
            (of_one / path.name).symlink_to(path.resolve())
            found.append(_labelled(corpora.read_corpus(Path(folder), VIDEOS), VIDEOS))
    return found


def _together(every: Sequence[Texts]) -> Texts:
    """Videos side by side, each in its own order: their comments come at the same pace from the first to the last."""
    rows = [row for one in every for row in one.rows]
    labels = np.concatenate([one.labels for one in every])
    progress = np.concatenate([np.arange(len(one)) / len(one) for one in every])
    return Texts(rows, labels).where(np.argsort(progress, kind="stable"))
