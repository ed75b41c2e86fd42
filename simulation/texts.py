"""What people write on the platform, and what is true of it: from the corpora when there are any, else from grammars.

Only the later part of each corpus is used, in its own order of time, and each text once: what comes before it is left
to learn from. Where a corpus has no time, a seeded draw says which texts count as later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from leads.corpora import CorpusText, available, read_corpus
from simulation import grammar
from simulation.config import HARMS_OF
from simulation.randomness import Single, Streams

PLATFORM_SHARE = 0.4
HARASSMENT_SHARE = 0.12  # of the comments that a grammar writes, spam left out

Truth = Mapping[str, bool | None]

# What a corpus' labels say about harms. A harm that isn't here is unknown for texts of that corpus, spam excepted.
_HARM_OF_KEY = {
    "youtube-spam": "spam",
    "cad:identity": "identity_hate",
    "cad:person": "harassment",
    "edos": "sexism",
    "convabuse": "harassment",
}
_LOOKALIKES = str.maketrans({"a": "а", "e": "е", "o": "о", "c": "с", "i": "і"})
_LEET = str.maketrans({"a": "4", "e": "3", "o": "0", "i": "1", "s": "5"})


class Written(NamedTuple):
    """A comment's text and, for each harm of comments, whether it violates; None where nobody knows."""

    text: str
    truth: Truth


class Texts:
    """Gives out texts, each corpus text once."""

    def __init__(self, directory: Path | None, streams: Streams) -> None:
        self.corpora = available(directory)
        self._rng = streams.single("texts")
        self._talk: dict[str, deque[Written]] = {}
        self._spam: deque[Written] = deque()
        self._shares: dict[str, int] = {}
        self._posted_spam: list[str] = []
        if directory is not None:
            self._fill(directory, streams)

    @property
    def source(self) -> Literal["corpora", "templates"]:
        return "corpora" if self.corpora else "templates"

    def talk(self) -> Written:
        """The next comment that isn't spam, whatever else it may be."""
        waiting = [name for name, queue in self._talk.items() if queue]
        if waiting:
            [name] = self._rng.choices(waiting, [self._shares[name] for name in waiting])
            return self._talk[name].popleft()
        return _invent(self._rng)

    def spam(self) -> Written:
        """The next spam that nobody wrote before; once the corpus is used up, a variation of an earlier one."""
        if self._spam:
            written = self._spam.popleft()
        elif self._posted_spam:
            return Written(vary(self._rng.choice(self._posted_spam), 0.5, self._rng), _SPAM_ONLY)
        else:
            return Written(grammar.roughen(grammar.write(grammar.SPAM, self._rng), self._rng), _INVENTED_SPAM)
        self._posted_spam.append(written.text)
        return written

    def changed_spam(self) -> Written:
        """Spam with wording that no corpus and no earlier campaign has."""
        return Written(grammar.write(grammar.CHANGED_SPAM, self._rng), _INVENTED_SPAM)

    def title(self) -> str:
        return grammar.write(grammar.TITLES, self._rng)

    def _fill(self, directory: Path, streams: Streams) -> None:
        taken: set[int] = set()
        for name in self.corpora:
            earlier, later = _parted(read_corpus(directory, name), streams.single(f"order of {name}"))
            # A text that recurs counts as the earlier one.
            taken.update(text.group for text in earlier)
            queue = self._talk[name] = deque()
            for text in later:
                if text.group in taken or not text.text.strip():
                    continue
                taken.add(text.group)
                truth = _truth(text)
                (self._spam if truth["spam"] else queue).append(Written(text.text, truth))
            self._shares[name] = len(queue)


def vary(text: str, strength: float, rng: Single) -> str:
    """The same message made to look different, as campaigns do; `strength` from 0 to 1."""
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


def _disguise(word: str, rng: Single) -> str:
    kind = rng.randrange(4)
    if kind == 0:
        return word.upper()
    if kind == 1:
        return word.translate(_LOOKALIKES)
    return word.translate(_LEET) if kind == 2 else ".".join(word)


def _parted(texts: list[CorpusText], rng: Single) -> tuple[list[CorpusText], list[CorpusText]]:
    """The earlier and the later part, each in order."""
    if any(text.order is None for text in texts):
        ordered = rng.sample(texts, len(texts))
    else:
        ordered = sorted(texts, key=lambda text: text.order or 0)
    cut = round(len(ordered) * (1 - PLATFORM_SHARE))
    return ordered[:cut], ordered[cut:]


def _truth(text: CorpusText) -> dict[str, bool | None]:
    truth: dict[str, bool | None] = dict.fromkeys(HARMS_OF["comment"])
    truth["spam"] = False
    for key, holds in text.labels.items():
        truth[_HARM_OF_KEY[key]] = holds
    return truth


def _invent(rng: Single) -> Written:
    harassing = rng.random() < HARASSMENT_SHARE
    text = grammar.write(grammar.HARASSMENT if harassing else grammar.BENIGN, rng)
    if not harassing and rng.random() < 0.4:
        text += rng.choice((". ", ", ", " - ")) + grammar.write(grammar.BENIGN, rng)
    return Written(grammar.roughen(text, rng), {**_INVENTED_SPAM, "spam": False, "harassment": harassing})


_SPAM_ONLY: Truth = {**dict.fromkeys(HARMS_OF["comment"]), "spam": True}
# The grammars have nothing that comes near the other harms: judged, all that could be learned is a reviewer's slips.
_INVENTED_SPAM: Truth = {**_SPAM_ONLY, "harassment": False}
