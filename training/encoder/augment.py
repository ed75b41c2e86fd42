"""Adds texts to what an encoder is trained on: misspelt and disguised copies, copies that name other
groups, and mentions of groups and names.

For contempt of groups, texts are added that deny or report it, next to texts that express or affirm it, so that the
encoder doesn't go by the names of groups. All sentences were written for this; none is from a behaviour suite.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from leads.text import plain_form, text_hash
from models.text.ngrams import MAX_CHARS
from training.behaviour.suite import LEET
from training.encoder.examples import HALVES, Examples
from training.fit.groups import GROUPS, exchanged, friendly

# The weight of an added text: it says less than a text that people wrote and others judged.
WEIGHT = 0.5
_MISSPELT_SHARE, _DISGUISED_SHARE = 0.05, 0.05
_PER_SENTENCE_WITH_NAME = 20

_EXPRESSED = (
    "{many} are vermin", "i despise {many}", "{many} should be locked up, all of them",
    "we do not want {many} in this town", "get rid of the {many}", "{many} are a disease",
    "never trust {many}, they are all liars", "{many} ruin everything they touch",
    "the world would be better without {many}", "{many} are stupid animals",
)  # fmt: skip
_DENIED = (
    "nobody should say that {said}", "it is a lie that {said}", "i do not think that {said}",
    "he was banned because he wrote that {said}", "people who claim that {said} are wrong",
    "please report everyone who writes that {said}", "she never said that {said}",
    "it hurts to read that {said}", "do not believe it when they tell you that {said}",
)  # fmt: skip
_AFFIRMED = (
    "it is true that {said}", "everybody knows that {said}", "i am sure that {said}", "nobody can deny that {said}",
    "do not forget that {said}", "he was right when he wrote that {said}", "i keep telling people that {said}",
    "she only said what all of us think, that {said}",
)  # fmt: skip
_SAID = ("{many} are vermin", "{many} are a disease", "{many} are stupid animals", "{many} ruin everything")

_NAMES = (
    "anna", "mohammed", "ahmed", "aisha", "li", "chen", "yuki", "hiroshi", "priya", "raj", "david", "moshe", "rachel",
    "kwame", "chidi", "adaeze", "jose", "carlos", "lucia", "ivan", "olga", "piotr", "kasia", "sven", "ingrid", "jack",
    "emma", "tyrone", "latoya", "deshawn", "ali", "zeynep", "mehmet", "linh", "sanjay", "fatou", "amara", "sean",
    "niamh", "giulia", "hans", "noa", "yusuf", "leila", "ngozi", "babajide", "xiu", "hyun",
)  # fmt: skip
_OF_NAMES = (
    "{name} plays the bass on this one", "this was written by {name}", "{name} sings in our choir",
    "thanks {name}, see you at the show", "{name} has a lovely voice", "i heard {name} on the radio this morning",
    "happy birthday {name}", "{name} produced the whole album", "does {name} play any other instrument",
    "{name} wrote the words and her brother the tune", "{name} sings the chorus together with the audience",
    "hello {name}, thank you for the lovely evening",
)  # fmt: skip
_WORD = re.compile(r"[a-z]{5,}")


class _Added(NamedTuple):
    text: str
    labels: Sequence[float]
    half: int


def augmented(examples: Examples, about_groups: Collection[str], *, seed: int) -> Examples:
    """The examples, with texts added.

    An added text that was made from another one is in the same half; others are in a half by their hash.

    Args:
        about_groups: the harms for which it makes no difference which group a text is about.
    """
    random = np.random.default_rng(seed)
    about = np.array([harm in about_groups for harm in examples.harms])
    added = [*_misspelt(examples, random), *_disguised(examples, random), *_with_names(examples)]
    if about.any():
        added += [*_exchanged(examples, about), *_written(examples, about)]
    known, new = set(examples.hashes.tolist()), dict[int, _Added]()
    for one in added:
        plain = plain_form(one.text, MAX_CHARS)
        key = text_hash(plain)
        if key not in known:
            new.setdefault(key, one._replace(text=plain))
    if not new:
        return examples
    labels = np.array([one.labels for one in new.values()], np.float32)
    return Examples(
        examples.harms,
        np.concatenate((examples.hashes, np.array(list(new), np.uint64))),
        [*examples.texts, *(one.text for one in new.values())],
        np.concatenate((examples.labels, labels)),
        np.concatenate((examples.weights, np.where(np.isnan(labels), 0.0, WEIGHT).astype(np.float32))),
        np.concatenate((examples.halves, np.array([one.half for one in new.values()], np.int64))),
        np.concatenate((examples.own, np.zeros(len(new), np.bool_))),
    )


def _misspelt(examples: Examples, random: np.random.Generator) -> list[_Added]:
    found = []
    for i in np.flatnonzero(random.random(len(examples.texts)) < _MISSPELT_SHARE).tolist():
        text = _WORD.sub(lambda match: _typo(match.group(), random), examples.texts[i], count=2)
        found.append(_Added(text, examples.labels[i].tolist(), int(examples.halves[i])))
    return found


def _disguised(examples: Examples, random: np.random.Generator) -> list[_Added]:
    chosen = np.flatnonzero(random.random(len(examples.texts)) < _DISGUISED_SHARE).tolist()
    texts = [(i, examples.texts[i].translate(LEET)) for i in chosen]
    return [_Added(text, examples.labels[i].tolist(), int(examples.halves[i])) for i, text in texts]


def _typo(word: str, random: np.random.Generator) -> str:
    """Two letters exchanged, or one left out or doubled."""
    at = int(random.integers(1, len(word) - 1))
    kinds = (
        word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
    )
    return kinds[int(random.integers(len(kinds)))]


def _exchanged(examples: Examples, about: np.ndarray) -> list[_Added]:
    found = []
    for i, text in enumerate(examples.texts):
        labels = np.where(about, examples.labels[i], np.nan)
        other = None if np.isnan(labels).all() else exchanged(text)
        if other is not None:
            found.append(_Added(other, labels.tolist(), int(examples.halves[i])))
    return found


def _with_names(examples: Examples) -> list[_Added]:
    """Sentences with names of many origins, which violate no harm; fewer where there are few examples."""
    ways, most = len(_OF_NAMES), len(examples.texts) // _PER_SENTENCE_WITH_NAME
    pairs = ((name, _OF_NAMES[(i + first) % ways]) for first in range(ways) for i, name in enumerate(_NAMES))
    texts = [sentence.format(name=name) for name, sentence in islice(pairs, most)]
    return [_Added(text, [0.0] * len(examples.harms), text_hash(text) % HALVES) for text in texts]


def _written(examples: Examples, about: np.ndarray) -> list[_Added]:
    """Sentences that violate no harm, and such that violate the harms that are about groups."""
    harmless, contempt = np.zeros(len(about)).tolist(), np.where(about, 1.0, np.nan).tolist()
    found = [(text, harmless) for text in friendly()]
    for many, _ in GROUPS:
        for text in _EXPRESSED:
            found.append((text.format(many=many), contempt))
        for texts, labels in ((_DENIED, harmless), (_AFFIRMED, contempt)):
            for text in texts:
                for said in _SAID:
                    found.append((text.format(said=said.format(many=many)), labels))
    return [_Added(text, labels, text_hash(text) % HALVES) for text, labels in found]
