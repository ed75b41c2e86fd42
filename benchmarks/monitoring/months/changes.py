"""Changes the events of a simulated platform, an hour of them at a time.

The spam wave is a campaign of the simulation's changed periods. The rest is made from the events, because the
simulation has no setting for it. Nobody reports or decides what is added here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random

import msgspec

from benchmarks.monitoring.months.events import Events, comment_of, described, language_of, sender_of, with_body
from benchmarks.monitoring.months.plan import Planted
from leads import clock
from leads.clock import Micros
from leads.events import Body, DecisionMade, ItemCreated, Played, RecordedEvent, SignalReceived, SubjectRef
from simulation import grammar
from simulation.actors import campaigns
from simulation.actors.campaigns import Campaign
from simulation.config import SimulationConfig
from simulation.randomness import Streams, poisson
from simulation.texts import TextSource

# Campaign posts per comment, as in the simulation's changed periods, and the accounts that write them.
_WAVE_RATIO, _WAVE_ACCOUNTS = 0.35, 12
# One farm account for so many others, its devices, and its plays in an hour of the night and of the day.
_FARM_SHARE, _FARM_DEVICES, _FARM_NIGHT, _FARM_DAY = 15, 11, 2.0, 0.5
_NIGHT_ENDS: Micros = 6 * clock.HOUR
_BRIGADE = (60, 55, 48)
_TOPIC_WORDS, _TOPIC_SHARE = 60, 0.25
_FORGIVEN = 0.4


class Changes:
    """Plants changes in the events of consecutive hours."""

    def __init__(self, config: SimulationConfig, planted: Sequence[Planted]) -> None:
        self._config, self._planted = config, planted
        self._random = Random(config.seed)
        self._texts = TextSource(None, Streams(config.seed))
        self._accounts: list[str] = []
        self._tracks: list[SubjectRef] = []
        self._comments: deque[SubjectRef] = deque(maxlen=200)
        self._wave: list[Campaign] = []
        self._farm: list[str] = []
        self._topic = ["".join(self._random.choices("abdefgiklmnoprstuvz", k=7)) for _ in range(_TOPIC_WORDS)]
        self._made = 0

    def changed(self, events: Events, hour: Micros) -> Events:
        """The events of the hour that starts at `hour`, with the changes of that hour, in order."""
        for one in self._planted:
            if one.since <= hour < one.until:
                events = _CHANGES[one.name](self, events, hour, one)
        self._remember(events)
        return sorted(events, key=lambda event: event.visible_at)

    def _remember(self, events: Events) -> None:
        for event in events:
            if isinstance(event.body, ItemCreated):
                ref = event.body.subject
                if ref.type_id == "comment":
                    self._comments.append(ref)
                elif ref.type_id == "track":
                    self._tracks.append(ref)
                elif ref.type_id == "account":
                    self._accounts.append(ref.id)

    def _new(self, at: Micros, body: Body) -> RecordedEvent:
        """An event that the simulation doesn't have; it arrives within a second."""
        self._made += 1
        return described(RecordedEvent(f"planted-{self._made}", at, at + clock.SECOND // 2, body))

    def _joined(self, names: Sequence[str], at: Micros) -> Events:
        """Accounts that sign up."""
        return [self._new(at, ItemCreated(SubjectRef("account", name), account_id=name)) for name in names]

    def _within(self, hour: Micros) -> Micros:
        return hour + round(self._random.random() * (clock.HOUR - clock.SECOND))

    def _broken_feed(self, events: Events, hour: Micros, planted: Planted) -> Events:
        """The mobile app's plays don't arrive."""
        return [one for one in events if not (isinstance(one.body, Played) and sender_of(one) == "mobile")]

    def _clock_off(self, events: Events, hour: Micros, planted: Planted) -> Events:
        """The partner's clock goes back by a day."""
        return [
            msgspec.structs.replace(one, occurred_at=one.occurred_at - clock.DAY)
            if sender_of(one) == "partner"
            else one
            for one in events
        ]

    def _report_brigade(self, events: Events, hour: Micros, planted: Planted) -> Events:
        """In each hour, about sixty people report each of three comments."""
        return events + [
            self._new(self._within(hour), SignalReceived(ref, "user_report", "app", "harassment", reporter))
            for ref, n in zip(self._random.sample(list(self._comments), len(_BRIGADE)), _BRIGADE, strict=True)
            for reporter in self._random.sample(self._accounts, n)
        ]

    def _spam_wave(self, events: Events, hour: Micros, planted: Planted) -> Events:
        """New accounts post campaigns with the wording of the simulation's changed periods."""
        members = [f"promo-{i}" for i in range(_WAVE_ACCOUNTS)]
        added = []
        if not self._wave:
            added += self._joined(members, hour)
            self._wave = campaigns.plan(
                self._random,
                planted.since,
                1,
                round(_WAVE_RATIO * self._config.comments_per_day * self._config.accounts),
                lambda n: self._random.sample(range(len(members)), min(n, len(members))),
                lambda n: self._random.sample(range(len(self._tracks)), n),
                changed=True,
            )
        for wave in self._wave:
            # The first post is the beginning of the change.
            early = wave.posts[0] - planted.since - clock.MINUTE
            for at in wave.posts:
                if hour <= at - early < hour + clock.HOUR:
                    text = wave.message(at, self._texts, self._random).text
                    author, parent = members[self._random.choice(wave.members)], self._random.choice(wave.targets)
                    ref = SubjectRef("comment", f"wave-{self._made}")
                    added.append(self._new(at - early, ItemCreated(ref, author, self._tracks[parent], text)))
        return events + added

    def _farm_tactic(self, events: Events, hour: Micros, planted: Planted) -> Events:
        """New farms make no short plays, and play from many devices, at night: one account in fifteen."""
        added = []
        if not self._farm:
            self._farm = [f"farm-{i}" for i in range(self._config.accounts // _FARM_SHARE)]
            added += self._joined(self._farm, hour)
        mean = _FARM_NIGHT if hour % clock.DAY < _NIGHT_ENDS else _FARM_DAY
        for name in self._farm:
            for _ in range(poisson(self._random, mean)):
                device = f"{name}-{self._random.randrange(_FARM_DEVICES)}"
                body = Played(self._random.choice(self._tracks), name, self._random.uniform(60, 190), device)
                added.append(self._new(self._within(hour), body))
        return events + added

    def _each_comment(self, events: Events, change: Callable[[ItemCreated], ItemCreated]) -> Events:
        return [one if (body := comment_of(one)) is None else with_body(one, change(body)) for one in events]

    def _one_slice(self, events: Events, hour: Micros, planted: Planted) -> Events:
        """A German app adds an advertisement to every comment; the comments violate as often as before."""

        def change(comment: ItemCreated) -> ItemCreated:
            if language_of(comment.account_id) != "de":
                return comment
            added = grammar.generate(grammar.SPAM, self._random)
            return msgspec.structs.replace(comment, text=f"{comment.text} {added}")

        return self._each_comment(events, change)

    def _renamed_category(self, events: Events, hour: Micros, planted: Planted) -> Events:
        """The genre `talk` is called `talks`."""

        def change(comment: ItemCreated) -> ItemCreated:
            if comment.fields["genre"] != "talk":
                return comment
            return msgspec.structs.replace(comment, fields={**comment.fields, "genre": "talks"})

        return self._each_comment(events, change)

    def _vocabulary(self, events: Events, hour: Micros, planted: Planted) -> Events:
        """A topic with 60 words of its own takes half of the words of every fourth comment."""

        def change(comment: ItemCreated) -> ItemCreated:
            if self._random.random() >= _TOPIC_SHARE:
                return comment
            words = comment.text.split(" ")
            words[::2] = self._random.choices(self._topic, k=len(words[::2]))
            return msgspec.structs.replace(comment, text=" ".join(words))

        return self._each_comment(events, change)

    def _label_policy(self, events: Events, hour: Micros, planted: Planted) -> Events:
        """Reviewers stop counting two in five of what violated."""
        changed = []
        for one in events:
            body = one.body
            if isinstance(body, DecisionMade) and body.verdict == "violating" and self._random.random() < _FORGIVEN:
                one = with_body(one, msgspec.structs.replace(body, verdict="not_violating"))
            changed.append(one)
        return changed


_CHANGES: dict[str, Callable[[Changes, Events, Micros, Planted], Events]] = {
    "broken_feed": Changes._broken_feed,
    "clock_off": Changes._clock_off,
    "report_brigade": Changes._report_brigade,
    "spam_wave": Changes._spam_wave,
    "one_slice": Changes._one_slice,
    "farm_tactic": Changes._farm_tactic,
    "renamed_category": Changes._renamed_category,
    "vocabulary": Changes._vocabulary,
    "label_policy": Changes._label_policy,
}
