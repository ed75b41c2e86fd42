"""Adds texts to what an encoder is trained on: misspelt copies, exchanged target groups, and mentions of groups.

Models of contempt for groups learn the names of groups that are often attacked, and score a friendly text by them
(Dixon et al. 2018). So texts are added in which another group is named, with the labels they have, and texts that name
groups neutrally, or deny or report contempt, next to texts that express or affirm it. All sentences were written for
this; none is from a behaviour suite.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from leads.text import plain_form, text_hash
from models.text.ngrams import MAX_CHARS
from training.encoder.examples import Examples

# The weight of an added text: it says less than a text that people wrote and others judged.
WEIGHT = 0.5
_MISSPELT_SHARE, _EXCHANGED_SHARE = 0.05, 0.5

# Groups in the plural, with the word for one member as an adjective.
_GROUPS = (
    ("women", "female"), ("men", "male"), ("girls", "girl"), ("gay people", "gay"), ("lesbians", "lesbian"),
    ("bisexual people", "bisexual"), ("trans people", "trans"), ("muslims", "muslim"), ("jews", "jewish"),
    ("christians", "christian"), ("catholics", "catholic"), ("hindus", "hindu"), ("sikhs", "sikh"),
    ("atheists", "atheist"), ("black people", "black"), ("white people", "white"), ("asian people", "asian"),
    ("arabs", "arab"), ("africans", "african"), ("mexicans", "mexican"), ("latinos", "latino"),
    ("indians", "indian"), ("chinese people", "chinese"), ("irish people", "irish"), ("poles", "polish"),
    ("turks", "turkish"), ("roma", "roma"), ("immigrants", "immigrant"), ("refugees", "refugee"),
    ("foreigners", "foreign"), ("disabled people", "disabled"), ("deaf people", "deaf"), ("blind people", "blind"),
    ("autistic people", "autistic"), ("old people", "old"), ("young people", "young"), ("poor people", "poor"),
)  # fmt: skip
_NEUTRAL = (
    "{many} sang along all evening", "the choir was founded by {many} in the sixties",
    "a playlist for {many} and everyone else", "my {one} friend showed me this track",
    "our {one} teacher taught us this song", "she grew up in a {one} family and plays the violin",
    "the {one} drummer on this record is great", "a documentary about {many} in jazz",
    "this song is about {many} who moved to the city", "i interviewed {many} about their favourite albums",
    "so good to meet {many} at the concert", "the band has two {one} members",
    "as a {one} person i feel at home here", "i am {one} and i love this chorus",
    "thanks to the {many} who organised the festival", "a {one} podcast host talks about work and family",
    "many {many} listen to this station", "the audience, {many} among others, danced until late",
    "{many} have the same rights as everybody", "{many} are welcome here",
)  # fmt: skip
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

_NAMES = {name: i for i, pair in enumerate(_GROUPS) for name in pair}
_NAMED = re.compile(r"\b(" + "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True)) + r")\b")
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
    added = [*_misspelt(examples, random)]
    if about.any():
        added += [*_exchanged(examples, about, random), *_written(examples, about)]
    known, new = set(examples.hashes.tolist()), dict[int, _Added]()
    for one in added:
        key = text_hash(one.text)
        if key not in known:
            new.setdefault(key, one)
    if not new:
        return examples
    labels = np.array([one.labels for one in new.values()], np.float32)
    return Examples(
        examples.harms,
        np.concatenate((examples.hashes, np.array(list(new), np.uint64))),
        [*examples.texts, *(plain_form(one.text, MAX_CHARS) for one in new.values())],
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


def _typo(word: str, random: np.random.Generator) -> str:
    """Two letters exchanged, or one left out or doubled."""
    at = int(random.integers(1, len(word) - 1))
    kinds = (
        word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
    )
    return kinds[int(random.integers(len(kinds)))]


def _exchanged(examples: Examples, about: np.ndarray, random: np.random.Generator) -> list[_Added]:
    found = []
    for i, text in enumerate(examples.texts):
        if not _NAMED.search(text) or random.random() >= _EXCHANGED_SHARE:
            continue
        labels = np.where(about, examples.labels[i], np.nan)
        if np.isnan(labels).all():
            continue
        shift = int(random.integers(1, len(_GROUPS)))

        def other(match: re.Match[str], shift: int = shift) -> str:
            name = match.group()
            place = _NAMES[name]
            return _GROUPS[(place + shift) % len(_GROUPS)][int(name == _GROUPS[place][1])]

        found.append(_Added(_NAMED.sub(other, text), labels.tolist(), int(examples.halves[i])))
    return found


def _written(examples: Examples, about: np.ndarray) -> list[_Added]:
    """Sentences that violate no harm, and such that violate the harms that are about groups."""
    harmless, contempt = np.zeros(len(about)).tolist(), np.where(about, 1.0, np.nan).tolist()
    found = []
    for many, one in _GROUPS:
        for text in _NEUTRAL:
            found.append((text.format(many=many, one=one), harmless))
        for text in _EXPRESSED:
            found.append((text.format(many=many), contempt))
        for texts, labels in ((_DENIED, harmless), (_AFFIRMED, contempt)):
            for text in texts:
                for said in _SAID:
                    found.append((text.format(said=said.format(many=many)), labels))
    return [_Added(text, labels, text_hash(text) % 2) for text, labels in found]
