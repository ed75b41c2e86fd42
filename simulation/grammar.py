"""Text from template grammars, for simulations without the corpora.

The templates need no slurs: a harassing comment attacks the person, a harsh one attacks the song. All classes share
words, links, capitals and exclamation marks, so that none of these reveals the class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

Rules = Mapping[str, tuple[str, ...]]

_SLOT = re.compile(r"\{(\w+)\}")
_EMOJI = ("🔥", "❤️", "😂", "🎧", "😭", "👏", "🙏", "✨", "💯", "😍")

# fmt: off
COMMON: Rules = {
    "part": ("chorus", "bridge", "drop", "intro", "bassline", "second verse", "outro", "hook", "drum fill", "solo"),
    "work": ("track", "song", "mix", "record", "album", "episode", "cover", "remix", "live version", "demo"),
    "place": ("the bus", "my kitchen", "the gym", "a night shift", "a long drive", "the office", "school",
              "the train"),
    "who": ("my sister", "my dad", "my flatmate", "my cat", "the whole band", "a friend", "my boss", "our choir"),
    "time": ("all day", "since monday", "for years", "twice a day", "every morning", "at 3 am", "since it came out"),
    "good": ("gorgeous", "brilliant", "so warm", "unreal", "perfect", "lovely", "massive", "haunting", "stunning"),
    "bad": ("flat", "lazy", "overproduced", "forgettable", "muddy", "too loud", "tired", "a mess", "boring"),
    "link": ("{site}.{tld}/{code}", "www.{site}.{tld}", "http://{site}.{tld}/{code}", "{site}.{tld}"),
    "site": ("{sitea}{siteb}", "{sitea}-{siteb}", "{siteb}{digit}{digit}"),
    "sitea": ("play", "music", "fan", "go", "best", "my", "top", "fast", "tune", "star", "super", "click"),
    "siteb": ("box", "hub", "zone", "deals", "list", "boost", "drop", "club", "spot", "wave", "city", "lab"),
    "tld": ("com", "net", "info", "io", "co", "tv", "ly", "org"),
    "code": ("{digit}{letter}{digit}", "{letter}{letter}{digit}{digit}", "{letter}{digit}{letter}{letter}"),
    "digit": tuple("0123456789"),
    "letter": tuple("abcdefghkmnpqrstuvwxyz"),
    "year": ("1994", "2003", "2008", "2011", "2016", "2019", "2022"),
    "name": ("Nia", "Tom", "Ravi", "Lena", "Marco", "Yuki", "Sam", "Aylin", "Joe", "Kira", "Ben", "Zoe"),
    "thing": ("sock", "toaster", "parking ticket", "soup", "cardboard box", "broken umbrella", "puddle", "stapler"),
    "attack": ("you have the brain of a {thing}", "you {lack}", "a {thing} has more talent than you",
               "even your mother skips you", "you should be ashamed of your face",
               "you make the room worse by being in it",
               "your voice makes people leave", "nobody would notice if you were gone",
               "you are {worse} than a {thing}"),
    "lack": ("will never amount to anything", "have nothing to say", "can't even fail properly",
             "bore everyone you meet",
             "deserve every bad thing coming", "are an embarrassment to {who2}", "should quit and hide"),
    "who2": ("your family", "your band", "your town", "everyone who ever taught you"),
    "worse": ("dumber", "more useless", "emptier", "more pathetic", "uglier"),
    "order": ("shut up", "go away", "log off for good", "disappear", "never come back"),
    "prize": ("gift cards", "phones", "tickets", "premium codes", "beats", "skins", "headphones"),
    "please": ("please", "plz", "pls", "just one minute,"),
    # Harassing or harmless depending on who says it to whom, so both classes use these.
    "banter": ("shut up, {name}", "{name}, you are {worse} than a {thing}", "{order}, {name}", "{attack}, {name}",
               "you {lack}, {name}, like all of us", "you sound like a {thing}"),
    "ours": ("check out this {work} {link}", "our cover of this {work}: {link}", "{please} listen to my {work}",
             "I made a {work} of this, {link}", "more of this on {link}",
             "new {work} out now, {please} tell me what you think"),
}

BENIGN: Rules = {
    "start": (
        # Quotes, banter and harmless promotion share words with harassment and spam.
        "my boss said '{attack}' and this {work} got me through it", "'{attack}' is the best line of the {part}",
        "they told {name} '{order}' and now look, {good}", "I {lack} and this {work} knows it",
        "the {part} is {worse} than a {thing}, why do I love it", "{attack}, say the lyrics, and then the {part} hits",
        "thanks for the {prize}, {name}, they came today", "{please} bring the tour to {place}", "{ours}", "{banter}",
        "how do you get {prize} for the show? {link} is down", "who else came from {link}?", "{ours}", "{banter}",
        "the {part} is {good} but {attack}, says {who}", "{name} said nobody asked for this {work}, {name} was wrong",
        "everyone go tell {name} that this {work} is {good}", "free {work} for the first {digit} at {place}?",
        "that {part} is {good}", "the {part} on this {work} {praise}", "been listening to this {work} {time}",
        "{who} showed me this {work} and {reaction}", "heard this on {place} and {reaction}",
        "who else is here in {year}?", "honestly the {part} is {bad} but the {part} saves it",
        "not for me, the {part} sounds {bad}", "this {work} is {bad}, I expected more after the last {work}",
        "the mix has the depth of a {thing}, but I like the {part}", "you absolute legend, that {part} is {good}",
        "subscribed! please do a {work} of the old one", "any chance of a free download of this {work}?",
        "check out the {part} at 2:{digit}{digit}, {good}", "tour dates are on {link} if anyone asks",
        "lyrics are here: {link}", "{name} won the ticket giveaway last year, so jealous",
        "does anybody know the {work} after this one?", "I cry every time at the {part}", "{good}. just {good}.",
        "my {work} of the year, {reaction}", "skip to 1:{digit}{digit} for the {part}", "first",
        "{praise} and nobody talks about it", "played this at a wedding, {reaction}",
        "you sound like a {thing} and I love it",
        "{name}, you are wrong, the {part} is the best bit", "can't stop playing this {time}, send help",
        "is it me or is the {part} {bad}?", "10 out of 10, would cry on {place} again",
        "the only {work} that {who} and I agree on", "please put this {work} on the {work} for {place}",
    ),
    "praise": ("gives me chills", "is {good}", "deserves more plays", "never gets old", "carries the {work}",
               "took me back to {year}", "is why I subscribed", "is the best thing on here"),
    "reaction": ("I can't stop", "now I play it {time}", "we all went quiet", "it is {good}", "I had to sit down",
                 "the {part} got me", "I bought the {work}", "it was {bad} live, though"),
}

HARASSMENT: Rules = {
    "start": (
        "{banter}", "{banter}", "{banter}", "{name} again. why do you still post here?",
        "the {work} would be {good} if {name} had stayed at home", "we all saw your picture, {name}. {good}? no.",
        "somebody tell {name} what the rest of us say when they leave", "nobody came to see you, {name}, ask {who2}",
        "{name}, {attack}", "{attack}, {name}", "you {lack} and everyone here knows it", "{attack}",
        "nobody asked you, {attack}", "people like you {lack}", "{attack}. delete your account",
        "stop singing, {name}, you {lack}", "I know where you stream from and {threat}",
        "everyone go tell {name} that {third}", "you are {worse} than a {thing}", "{name}: {attack}, so {order}",
        "how does it feel that {third2}?", "the {part} is {good} but {attack}", "{order}, you {lack}",
        "keep posting and {threat}", "your {work} is {bad} because you {lack}", "we are all laughing at you, {order}",
        "imagine being {name}, {third3}",
    ),
    "threat": ("you will regret it", "we will come for you", "you had better watch your back",
               "you won't like what happens"),
    "third": ("nobody wants them here", "they are {worse} than a {thing}", "they should {order}"),
    "third2": ("nobody likes you", "your own friends mute you", "you {lack}"),
    "third3": ("waking up with nothing to offer", "{worse} than a {thing} and proud of it"),
}

SPAM: Rules = {
    "start": (
        "{ours}", "{ours}", "{ours}", "{name} plays {work} like this at {link}", "this {work} but slower: {link}",
        "{hey} check out my {work} {link}", "{sub} for {sub}? {link}",
        "I make {money} a {when} from home, see how: {link}",
        "free {prize} for the first {digit}{digit} people {link}", "{hey} {sub} to my channel and {ill}",
        "want {amount} plays? {link} cheap and real", "we promote your {work}, message {handle}",
        "vote for me at {link} please",
        "{prize} giveaway on my page, {ill}", "{hey} I am a young artist, {please} listen to my {work}, {ill}",
        "hot {name} is waiting for you on {link}", "lost my job, now {money} a {when} thanks to {handle}",
        "OMG {work} hack, unlimited {prize}: {link}", "if you {sub} I {sub} back, {please}",
        "add {handle} for {prize}",
        "this {work} is {good}! also {please} visit {link}", "{please} help me reach {amount} {subs}, {ill}",
        "who wants {prize}? answer me and {ill}", "my {work} is better than this, search {name} {name} and see",
    ),
    "hey": ("hey guys", "hi everyone", "yo", "hello friends", "attention", "sorry to bother", "dear music lovers"),
    "sub": ("sub", "subscribe", "follow", "like"),
    "subs": ("subs", "followers", "likes", "plays"),
    "when": ("day", "week", "month"),
    "money": ("${digit}{digit}00", "{digit}{digit}00 dollars", "over ${digit},000", "€{digit}{digit}0"),
    "amount": ("{digit}0,000", "{digit}00k", "one million", "{digit}000"),
    "ill": ("I will return it", "you won't regret it", "I answer everyone", "god bless", "first come first served"),
    "handle": ("@{siteb}{digit}{digit}", "{siteb}_{sitea} on telegram",
               "+1 {digit}{digit}{digit} {digit}{digit}{digit}{digit}"),
}

# Campaigns in changed periods: other offers, long sentences, no links or exclamation marks.
CHANGED_SPAM: Rules = {
    "start": (
        "{open} my {mentor} {name} {did}, {proof}, {ask}",
        "{open} {coin} {rise}, {mentor} {name} explained it to me, {ask}",
        "{open} I recovered my stolen {coin} with the help of {name}, {proof}, {ask}",
        "{mentor} {name} is the reason {proof}, {open} {ask}", "{proof} and it all began with {coin}, {ask}",
    ),
    "open": ("after years of doubt", "I never write comments but", "as a single parent I must say",
             "at my age I thought it was too late,",
             "to everyone who struggles right now,", "while this song plays I remember how"),
    "mentor": ("broker", "trading coach", "account manager", "financial guide", "recovery expert", "teacher"),
    "did": ("turned my savings around", "doubled my deposit within weeks", "trades on my behalf",
            "taught me patience and {coin}"),
    "coin": ("bitcoin", "ethereum", "a new token", "digital gold", "the signals group"),
    "rise": ("is about to rise again", "changed my family's life", "pays better than any salary",
             "will not wait for you"),
    "proof": ("I withdraw every friday", "my portfolio grew beyond words", "my house is paid off",
              "profits arrive each week",
              "even my neighbours joined"),
    "ask": ("write to him on the messaging app", "look up the full name and thank me later",
            "her page is easy to find",
            "reach out before the places are gone", "search the name and start small"),
}

TITLES: Rules = {
    "start": ("{adj} {noun}", "{noun} of {noun}", "the {adj} {noun}", "{noun}", "{adj} {noun} ({version})"),
    "adj": ("silver", "quiet", "northern", "electric", "slow", "paper", "velvet", "distant", "golden", "broken",
            "late"),
    "noun": ("river", "morning", "signal", "garden", "engine", "harbour", "winter", "mirror", "satellite", "letters",
             "ocean", "station", "shadow", "parade", "lantern"),
    "version": ("live", "remix", "demo", "acoustic", "extended", "rain sounds"),
}
# fmt: on


def generate(rules: Rules, rng: Random) -> str:
    """A text: a random `start` with each {slot} replaced by a random expansion of its rule."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        return expand(rng.choice(rules.get(name) or COMMON[name]))

    def expand(template: str) -> str:
        return _SLOT.sub(fill, template)

    return expand(rng.choice(rules["start"]))


def add_noise(text: str, rng: Random) -> str:
    """Mimic how people type, equally for every class: case, repeated or dropped letters, exclamation marks, emoji."""
    if rng.random() < 0.3:
        text = text[:1].upper() + text[1:]
    elif rng.random() < 0.12:
        text = text.upper()
    if len(text) > 3 and rng.random() < 0.2:
        at = rng.randrange(1, len(text) - 1)
        text = text[:at] + text[at] * rng.randint(0, 3) + text[at + 1 :]
    if rng.random() < 0.25:
        text += rng.choice(("!", "!!", "...", "!!!", "?", " :)", " lol"))
    if rng.random() < 0.2:
        text += " " + rng.choice(_EMOJI) * rng.randint(1, 3)
    return text
