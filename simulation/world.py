"""The platform: what exists, what is going on, and one day after the other of it."""

from __future__ import annotations

import numpy as np

from leads.clock import DAY, HOUR, MINUTE, Micros
from leads.events import SubjectRef
from simulation.actors import accounts as people
from simulation.actors import campaigns, catalogue, farms, plays, signals
from simulation.actors.accounts import Accounts, Kind
from simulation.actors.campaigns import Campaign
from simulation.actors.catalogue import PLAYLIST, Catalogue
from simulation.actors.comments import LONE_SPAM_SHARE, Commenting
from simulation.actors.farms import Ring
from simulation.actors.reviewers import JUDGED_ACCOUNTS_SHARE, Reviewers
from simulation.config import Period, SimulationConfig
from simulation.randomness import Single, Streams
from simulation.texts import Texts, Truth
from simulation.timeline import Draft, Longs, Timeline, prompt

_ITEMS_PER_ACCOUNT = 0.4
_NEW_ITEMS_PER_CREATOR = 0.04
_EDITED_PLAYLISTS = 0.01
_FARMS_FLAGGED, _HEAVY_FLAGGED, _OTHERS_FLAGGED = 0.8, 0.25, 0.005
# In a changed period: how many times more farms start, and campaign posts as a share of other comments.
_CHANGED_FARMS, _CHANGED_SPAM = 3.0, 0.35
# Between the founding items' arrivals: they are imported before anything else happens.
_IMPORT_STEP: Micros = 100


class World:
    """Grows by `begin` at the start of each period, moves by `day`. `timeline` receives what happens.

    `truth` says for each subject, by harm, whether it violates; None where nobody knows.
    """

    def __init__(self, config: SimulationConfig, texts: Texts, streams: Streams) -> None:
        self._config, self._texts, self._streams = config, texts, streams
        self.timeline = Timeline(f"s{config.seed}-")
        self.truth: dict[SubjectRef, Truth] = {}
        self._accounts, self._catalogue = Accounts(), Catalogue()
        self._reviewers = Reviewers(streams.single("reviewers"), config.reviewer_miss)
        self._rings: list[Ring] = []
        self._campaigns: list[Campaign] = []
        self._changed = False
        self._commenting = Commenting(
            self._accounts, self._catalogue, texts, self._reviewers, self.truth.__setitem__, config.review_share
        )

    def begin(self, number: int, period: Period, start: Micros) -> None:
        """Let accounts join, farms form and campaigns be planned for the period that begins at `start`."""
        self._changed = period.changed
        founding = number == 0
        first = len(self._accounts)
        part = 1.0 if founding else period.days / self._config.periods[0].days
        members = round(self._config.accounts * self._config.farm_share * part)
        rng = self._streams.arrays("accounts", number)
        # Of the accounts of a later period only those are new that would have joined while it runs.
        others = round((self._config.accounts * part - members) * (1.0 if founding else 0.15))
        self._accounts.join(rng, *people.ordinary(rng, others, start, period.days, founding=founding))
        if founding:
            self._found_catalogue(start)
        members = round(members * (_CHANGED_FARMS if period.changed else 1.0))
        self._rings += farms.found(
            self._streams.arrays("farms", number),
            self._accounts,
            self._catalogue,
            start,
            period.days,
            members,
            founding=founding,
        )
        self._announce(range(first, len(self._accounts)), start)
        self._plan_campaigns(number, period, start)
        self._flag_accounts(number, first, period, start)

    def day(self, number: int, day_start: Micros) -> None:
        """Everything that happens in the 24 hours from `day_start`."""
        arrays, rng = self._streams.arrays("day", number), self._streams.single("day", number)
        mean = self._config.plays_per_day
        played = plays.joined(
            [
                plays.honest(arrays, self._accounts, self._catalogue, day_start, mean),
                *farms.plays(arrays, self._rings, self._catalogue, day_start, mean, changed=self._changed),
            ]
        )
        self.timeline.extend(plays.drafts(arrays, played, self._accounts, self._catalogue))
        self._review_accounts(rng, played.account, day_start)
        talk = self._config.comments_per_day * self._config.accounts
        spam = talk * _of_rest(self._config.spam_share) * LONE_SPAM_SHARE
        active = [campaign for campaign in self._campaigns if campaign.posts[-1] >= day_start]
        self.timeline.extend(self._commenting.day(arrays, rng, day_start, talk, spam, active))
        self._publish(number, rng, day_start)

    def _found_catalogue(self, start: Micros) -> None:
        rng = self._streams.arrays("catalogue")
        makers = self._makers(start)
        chosen = rng.choice(makers, max(60, round(self._config.accounts * _ITEMS_PER_ACCOUNT)))
        created = catalogue.founding_times(rng, len(chosen), start, self._accounts.created_at[chosen])
        items = self._catalogue.publish(rng, chosen, created, self._texts.title)
        for place, item in enumerate(items.tolist()):
            body = self._catalogue.creation(item, self._accounts.ids[int(chosen[place])])
            at = start + (self._config.accounts + place) * _IMPORT_STEP
            self.timeline.add(Draft(at, int(created[place]), body))

    def _announce(self, joined: range, start: Micros) -> None:
        rng = self._streams.single("announce", joined.start)
        for place, account in enumerate(joined):
            body, at = self._accounts.creation(account), int(self._accounts.created_at[account])
            self.truth[body.subject] = {"stream_manipulation": bool(self._accounts.kind[account] == Kind.FARM)}
            self.timeline.add(Draft(start + place * _IMPORT_STEP, at, body) if at < start else prompt(rng, at, body))

    def _plan_campaigns(self, number: int, period: Period, start: Micros) -> None:
        rng = self._streams.single("campaigns", number)
        arrays = self._streams.arrays("targets", number)
        spammers = self._accounts.of_kind(Kind.SPAMMER, before=start + MINUTE)
        pool = (spammers if len(spammers) > 1 else self._makers(start)).tolist()

        def plan(posts: float, *, changed: bool) -> list[Campaign]:
            return campaigns.plan(
                rng,
                start,
                period.days,
                round(posts),
                lambda n: rng.sample(pool, min(n, len(pool))),
                lambda n: self._catalogue.popular(arrays, n, start).tolist(),
                changed=changed,
            )

        comments = self._config.comments_per_day * self._config.accounts * period.days
        self._campaigns += plan(comments * _of_rest(self._config.spam_share) * (1 - LONE_SPAM_SHARE), changed=False)
        if period.changed:
            self._campaigns += plan(comments * _CHANGED_SPAM, changed=True)

    def _flag_accounts(self, number: int, first: int, period: Period, start: Micros) -> None:
        """Farms are noticed while they are active; honest heavy listeners are at times mistaken for one."""
        rng = self._streams.single("flags", number)
        for ring in self._rings:
            for member in ring.members.tolist():
                if member >= first and rng.random() < _FARMS_FLAGGED:
                    seen = ring.start + int(min(rng.uniform(0.5, 4) * DAY, 0.8 * (ring.stop - ring.start)))
                    # Whom nobody has heard of yet, nobody notices.
                    self._flag(rng, member, max(seen, start + int(rng.uniform(2, 12) * HOUR)))
        for account in range(len(self._accounts)):
            kind, created = self._accounts.kind[account], int(self._accounts.created_at[account])
            heavy = kind in (Kind.SLEEPER, Kind.SHOP, Kind.SCOUT)
            share = (_HEAVY_FLAGGED if heavy else _OTHERS_FLAGGED) * period.days / 30
            if kind != Kind.FARM and rng.random() < share:
                self._flag(rng, account, max(start + HOUR + int(rng.random() * period.days * DAY), created + DAY))

    def _flag(self, rng: Single, account: int, at: Micros) -> None:
        ref = SubjectRef("account", self._accounts.ids[account])
        reporters = np.flatnonzero(self._accounts.created_at < at)
        came = signals.about_account(rng, ref, at, lambda: self._accounts.ids[int(rng.choice(reporters))])
        self.timeline.extend(came.drafts)
        if came.first_at is not None and rng.random() < JUDGED_ACCOUNTS_SHARE:
            self.timeline.extend(self._reviewers.judge(ref, self.truth[ref], came.first_at))

    def _review_accounts(self, rng: Single, played: Longs, day_start: Micros) -> None:
        """Of the accounts that played today and had played before, a uniformly random share is judged."""
        share = self._config.account_review_share
        active = np.unique(played)
        for account in active[self._accounts.created_at[active] < day_start - DAY].tolist():
            if rng.random() < share:
                ref = SubjectRef("account", self._accounts.ids[account])
                after = day_start + DAY
                self.timeline.extend(
                    self._reviewers.judge(ref, self.truth[ref], after, propensity=share, within=20 * HOUR)
                )

    def _publish(self, number: int, rng: Single, day_start: Micros) -> None:
        """New items, and edits of playlists."""
        arrays = self._streams.arrays("publish", number)
        makers = self._makers(day_start)
        chosen = arrays.choice(makers, int(arrays.poisson(len(makers) * _NEW_ITEMS_PER_CREATOR)))
        created = day_start + (arrays.random(len(chosen)) * DAY).astype(np.int64)
        for item in self._catalogue.publish(arrays, chosen, created, self._texts.title).tolist():
            self._show(rng, item, int(self._catalogue.created_at[item]))
        old = np.flatnonzero((self._catalogue.type == PLAYLIST) & (self._catalogue.created_at < day_start))
        for item in old[arrays.random(len(old)) < _EDITED_PLAYLISTS].tolist():
            self._catalogue.titles[item] = self._texts.title()
            self._show(rng, item, day_start + int(rng.random() * DAY))

    def _show(self, rng: Single, item: int, at: Micros) -> None:
        maker = self._accounts.ids[int(self._catalogue.maker[item])]
        self.timeline.add(prompt(rng, at, self._catalogue.creation(item, maker)))

    def _makers(self, before: Micros) -> Longs:
        creators = self._accounts.of_kind(Kind.CREATOR, before=before)
        return creators if len(creators) else self._accounts.of_kind(Kind.LISTENER, before=before)


def _of_rest(share: float) -> float:
    """A share of the whole, as a multiple of the rest."""
    return share / (1 - share)
