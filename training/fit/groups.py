"""Groups of people that texts name, friendly sentences about each of them, and texts with the groups exchanged.

Models of contempt for groups learn the names of groups that are often attacked, and score a friendly text by them
(Dixon et al. 2018). Texts in which another group is named, with the same label, and friendly texts about every group
weaken that. All sentences were written for this; none is from a behaviour suite.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from leads.text import text_hash

# Groups in the plural, with the word for one member as an adjective.
GROUPS = (
    ("women", "female"), ("men", "male"), ("girls", "girl"), ("gay people", "gay"), ("lesbians", "lesbian"),
    ("bisexual people", "bisexual"), ("trans people", "trans"), ("muslims", "muslim"), ("jews", "jewish"),
    ("christians", "christian"), ("catholics", "catholic"), ("hindus", "hindu"), ("sikhs", "sikh"),
    ("atheists", "atheist"), ("black people", "black"), ("white people", "white"), ("asian people", "asian"),
    ("arabs", "arab"), ("africans", "african"), ("mexicans", "mexican"), ("latinos", "latino"),
    ("indians", "indian"), ("chinese people", "chinese"), ("irish people", "irish"), ("poles", "polish"),
    ("turks", "turkish"), ("roma people", "romani"), ("immigrants", "immigrant"), ("refugees", "refugee"),
    ("foreigners", "foreign"), ("disabled people", "disabled"), ("deaf people", "deaf"), ("blind people", "blind"),
    ("autistic people", "autistic"), ("old people", "old"), ("young people", "young"), ("poor people", "poor"),
)  # fmt: skip
_ABOUT_GROUPS = (
    "{many} sang along all evening", "the choir was founded by {many} in the sixties",
    "a playlist for {many} and everyone else", "my {one} friend showed me this track",
    "our {one} teacher taught us this song", "she grew up in a {one} family and plays the violin",
    "the {one} drummer on this record is great", "a documentary about {many} in jazz",
    "this song is about {many} who moved to the city", "i interviewed {many} about their favourite albums",
    "so good to meet {many} at the concert", "the band has two {one} members",
    "as a {one} person i feel at home here", "i am {one} and i love this chorus",
    "thanks to the {many} who organised the festival", "a {one} podcast host talks about work and family",
    "many {many} listen to this station", "the audience, {many} among others, danced until late",
    "the {many} next door helped us move the piano", "{many} and their friends run the record shop on the corner",
    "three {many} in my class wrote a song together", "the café where {many} meet has open mic nights",
    "{many} have the same rights as everybody", "{many} are welcome here",
)  # fmt: skip
_PEOPLE = (
    "friend", "cousin", "colleague", "roommate", "doctor", "singer", "bassist", "aunt", "classmate", "producer", "boss",
    "baker", "coach",
)  # fmt: skip
_DO = (
    "plays the violin in an orchestra", "bakes bread on sundays", "told me about this band", "is learning the guitar",
    "drives me to work", "has a lovely voice", "sent me this album", "tunes pianos", "dances better than all of us",
    "works at the library", "made a mixtape for the trip", "sings in a choir", "is waiting for the new single",
    "helped me with my homework", "grows tomatoes on the balcony", "listens to this every morning",
)  # fmt: skip
_WHOSE = ("my", "our", "his", "her", "their", "the")
# Sentences of a person for each group. The numbers of people and of things that they do have no common divisor, so that
# all sentences of a group differ.
_OF_A_PERSON = 32

# Adjectives that are about people only before a noun for people.
_OF_THINGS = {"old", "young", "poor", "blind", "deaf", "polish", "white", "black", "foreign", "female", "male"}
_NOUNS = "people|persons?|(?:wo)?m[ae]n|guys?|girls?|boys?|kids?|folks?|lad(?:y|ies)|child(?:ren)?|famil(?:y|ies)"
_NAMES = {name: i for i, pair in enumerate(GROUPS) for name in pair}
_NAMED = re.compile(
    r"\b(?:"
    + "|".join(
        re.escape(name) + (rf"(?= (?:{_NOUNS})\b)" if name in _OF_THINGS else "")
        for name in sorted(_NAMES, key=len, reverse=True)
    )
    + r")\b"
)


def friendly() -> Iterator[str]:
    """Sentences about each group that violate no policy."""
    for place, (many, one) in enumerate(GROUPS):
        for text in _ABOUT_GROUPS:
            yield text.format(many=many, one=one)
        for i in range(place, place + _OF_A_PERSON):
            yield f"{_WHOSE[i % len(_WHOSE)]} {one} {_PEOPLE[i % len(_PEOPLE)]} {_DO[i % len(_DO)]}"


def names() -> Iterator[str]:
    """What groups and their members are called, without anything that is said about them."""
    for pair in GROUPS:
        yield from pair


def exchanged(plain: str) -> str | None:
    """A plain form with other groups in place of those that it names; None if it names none.

    The hash of the text decides which.
    """
    if not _NAMED.search(plain):
        return None
    shift = 1 + text_hash(plain) % (len(GROUPS) - 1)

    def other(match: re.Match[str]) -> str:
        name = match.group()
        place = _NAMES[name]
        return GROUPS[(place + shift) % len(GROUPS)][int(name == GROUPS[place][1])]

    return _NAMED.sub(other, plain)
