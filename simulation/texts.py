"""Comment texts and their true labels: from the corpora if available, otherwise from grammars.

Only the later part of each corpus is used, in time order, and each text once; the earlier part is left for training.
If a corpus has no timestamps, a seeded shuffle decides which texts count as later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

from leads.corpora import CorpusText, available, read_corpus
from leads.text import present
from simulation import grammar
from simulation.config import HARMS_BY_TYPE
from simulation.randomness import Streams

LATER_SHARE = 0.4  # of each corpus
HARASSMENT_SHARE = 0.12  # of the non-spam comments that a grammar generates

Truth = Mapping[str, bool | None]

# The harm that each corpus label describes. Harms that a corpus does not label are unknown for its texts, except spam,
# which is taken to be false.
_HARM_BY_LABEL = {
    "youtube-spam": "spam",
    "cad:identity": "identity_hate",
    "cad:person": "harassment",
    "edos": "sexism",
    "convabuse": "harassment",
}
_LOOKALIKES = str.maketrans({"a": "а", "e": "е", "o": "о", "c": "с", "i": "і"})
_LEET = str.maketrans({"a": "4", "e": "3", "o": "0", "i": "1", "s": "5"})


class CommentText(NamedTuple):
    """A comment's text and, for each harm, whether it is violating; None where unknown."""

    text: str
    truth: Truth


class TextSource:
    """Supplies comment texts and titles; each corpus text is used once."""

    def __init__(self, directory: Path | None, streams: Streams) -> None:
        self.corpora = available(directory)
        self._rng = streams.single("texts")
        self._non_spam: dict[str, deque[CommentText]] = {}
        self._spam: deque[CommentText] = deque()
        self._weights: dict[str, int] = {}
        self._posted_spam: list[str] = []
        if directory is not None:
            self._load(directory, streams)

    @property
    def source(self) -> Literal["corpora", "templates"]:
        return "corpora" if self.corpora else "templates"

    def non_spam(self) -> CommentText:
        """The next comment that is not spam; it may violate other harms."""
        unused = [name for name, queue in self._non_spam.items() if queue]
        if unused:
            [name] = self._rng.choices(unused, [self._weights[name] for name in unused])
            return self._non_spam[name].popleft()
        return _generate_non_spam(self._rng)

    def spam(self) -> CommentText:
        """The next spam comment; once the corpus is used up, a variation of an earlier one."""
        if self._spam:
            comment = self._spam.popleft()
        elif self._posted_spam:
            return CommentText(vary(self._rng.choice(self._posted_spam), 0.5, self._rng), _SPAM_ONLY)
        else:
            return CommentText(grammar.add_noise(grammar.generate(grammar.SPAM, self._rng), self._rng), _GENERATED_SPAM)
        self._posted_spam.append(comment.text)
        return comment

    def changed_spam(self) -> CommentText:
        """Spam with wording that appears in no corpus and no earlier campaign."""
        return CommentText(grammar.generate(grammar.CHANGED_SPAM, self._rng), _GENERATED_SPAM)

    def title(self) -> str:
        return grammar.generate(grammar.TITLES, self._rng)

    def _load(self, directory: Path, streams: Streams) -> None:
        used: set[int] = set()
        for name in self.corpora:
            earlier, later = _split(read_corpus(directory, name), streams.single(f"order of {name}"))
            # A duplicate counts as its first occurrence.
            used.update(text.group for text in earlier)
            queue = self._non_spam[name] = deque()
            for text in later:
                if text.group in used or present(text.text) is None:
                    continue
                used.add(text.group)
                truth = _truth(text)
                (self._spam if truth["spam"] else queue).append(CommentText(text.text, truth))
            self._weights[name] = len(queue)


def vary(text: str, strength: float, rng: Random) -> str:
    """Disguise a message the way campaigns do, with a `strength` from 0 to 1."""
    words = text.split(" ")
    if len(words) > 3 and rng.random() < strength:
        del words[rng.randrange(len(words))]
    for i, word in enumerate(words):
        if "." not in word and "/" not in word and rng.random() < 0.25 * strength:
            words[i] = _disguise(word, rng)
    varied = " ".join(words)
    if rng.random() < 0.5:
        varied += rng.choice((" !", " !!", " 👍", " ❤", " :)", " plz", " thx", " .", " <3"))
    return varied + (f" {rng.randrange(10, 9999)}" if rng.random() < 0.3 * strength else "")


def _disguise(word: str, rng: Random) -> str:
    kind = rng.randrange(4)
    if kind == 0:
        return word.upper()
    if kind == 1:
        return word.translate(_LOOKALIKES)
    return word.translate(_LEET) if kind == 2 else ".".join(word)


def _split(texts: list[CorpusText], rng: Random) -> tuple[list[CorpusText], list[CorpusText]]:
    """The earlier and the later part, each in time order."""
    if any(text.order is None for text in texts):
        ordered = rng.sample(texts, len(texts))
    else:
        ordered = sorted(texts, key=lambda text: text.order or 0)
    cut = round(len(ordered) * (1 - LATER_SHARE))
    return ordered[:cut], ordered[cut:]


def _truth(text: CorpusText) -> dict[str, bool | None]:
    truth: dict[str, bool | None] = dict.fromkeys(HARMS_BY_TYPE["comment"])
    truth["spam"] = False
    for label, violating in text.labels.items():
        truth[_HARM_BY_LABEL[label]] = violating
    return truth


def _generate_non_spam(rng: Random) -> CommentText:
    harassing = rng.random() < HARASSMENT_SHARE
    text = grammar.generate(grammar.HARASSMENT if harassing else grammar.BENIGN, rng)
    if not harassing and rng.random() < 0.4:
        text += rng.choice((". ", ", ", " - ")) + grammar.generate(grammar.BENIGN, rng)
    return CommentText(grammar.add_noise(text, rng), {**_GENERATED_SPAM, "spam": False, "harassment": harassing})


_SPAM_ONLY: Truth = {**dict.fromkeys(HARMS_BY_TYPE["comment"]), "spam": True}
# The grammars generate no other harms. Their truth is left unknown so that reviewers don't decide them: every
# `violating` decision would be a mistake.
_GENERATED_SPAM: Truth = {**_SPAM_ONLY, "harassment": False}
