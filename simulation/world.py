"""The simulated platform: its accounts, items, farms and campaigns, simulated one day at a time."""

from __future__ import annotations

from random import Random

import numpy as np

from leads.clock import DAY, HOUR, MINUTE, Micros
from leads.events import SubjectRef
from simulation.actors import campaigns, farms, plays, signals
from simulation.actors.accounts import SIGNUP_SHARE, AccountKind, Accounts, non_farm_accounts
from simulation.actors.campaigns import Campaign
from simulation.actors.catalogue import PLAYLIST, Catalogue, initial_creation_times
from simulation.actors.comments import SINGLE_SPAM_SHARE, CommentActivity
from simulation.actors.farms import Farm
from simulation.actors.reviewers import REVIEWED_ACCOUNTS_SHARE, Reviewers
from simulation.config import Period, SimulationConfig
from simulation.randomness import Streams
from simulation.texts import TextSource, Truth
from simulation.timeline import Draft, IntArray, Timeline, server_event

_ITEMS_PER_ACCOUNT = 0.4
_NEW_ITEMS_PER_CREATOR = 0.04
_EDITED_PLAYLIST_SHARE = 0.01
# Share of farm accounts reported, and of heavy and other honest accounts per 30 days.
_FARMS_REPORTED, _HEAVY_REPORTED, _OTHERS_REPORTED = 0.8, 0.25, 0.005
# In a changed period: factor on farm accounts, and campaign posts per non-spam comment.
_CHANGED_FARMS_FACTOR, _CHANGED_SPAM_RATIO = 3.0, 0.35
# Initial accounts and items are imported at the start, this many µs apart.
_IMPORT_STEP: Micros = 100


class World:
    """Call `begin_period` at the start of each period, then `simulate_day` for each of its days; both fill `timeline`.

    `truth`: for each subject, by harm, whether it is violating; None where unknown.
    """

    def __init__(self, config: SimulationConfig, texts: TextSource, streams: Streams) -> None:
        self._config, self._texts, self._streams = config, texts, streams
        self.timeline = Timeline(f"s{config.seed}-")
        self.truth: dict[SubjectRef, Truth] = {}
        self._accounts, self._catalogue = Accounts(), Catalogue()
        self._reviewers = Reviewers(streams.single("reviewers"), config.reviewer_miss)
        self._farms: list[Farm] = []
        self._campaigns: list[Campaign] = []
        self._changed = False
        self._comments = CommentActivity(
            self._accounts, self._catalogue, texts, self._reviewers, self.truth.__setitem__, config.review_share
        )

    def begin_period(self, number: int, period: Period, start: Micros) -> None:
        """Add the accounts, farms, campaigns and account reports of the period that begins at `start`."""
        self._changed = period.changed
        initial = number == 0
        first = len(self._accounts)
        scale = 1.0 if initial else period.days / self._config.periods[0].days
        members = round(self._config.accounts * self._config.farm_share * scale)
        rng = self._streams.arrays("accounts", number)
        # A later period adds only the accounts that sign up while it runs; the others exist already.
        others = round((self._config.accounts * scale - members) * (1.0 if initial else SIGNUP_SHARE))
        self._accounts.add(rng, *non_farm_accounts(rng, others, start, period.days, initial=initial))
        if initial:
            self._import_items(start)
        members = round(members * (_CHANGED_FARMS_FACTOR if period.changed else 1.0))
        self._farms += farms.create_farms(
            self._streams.arrays("farms", number),
            self._accounts,
            self._catalogue,
            start,
            period.days,
            members,
            initial=initial,
        )
        self._add_account_events(range(first, len(self._accounts)), start)
        self._plan_campaigns(number, period, start)
        self._report_accounts(number, first, period, start)

    def simulate_day(self, number: int, day_start: Micros) -> None:
        """Simulate the 24 hours from `day_start`."""
        arrays, rng = self._streams.arrays("day", number), self._streams.single("day", number)
        mean = self._config.plays_per_day
        played = plays.concatenate(
            [
                plays.honest_plays(arrays, self._accounts, self._catalogue, day_start, mean),
                *farms.farm_plays(arrays, self._farms, self._catalogue, day_start, mean, changed=self._changed),
            ]
        )
        self.timeline.extend(plays.to_drafts(arrays, played, self._accounts, self._catalogue))
        self._review_accounts(rng, played.account, day_start)
        non_spam = self._config.comments_per_day * self._config.accounts
        spam = non_spam * _odds(self._config.spam_share) * SINGLE_SPAM_SHARE
        active = [campaign for campaign in self._campaigns if campaign.posts[-1] >= day_start]
        self.timeline.extend(self._comments.simulate_day(arrays, rng, day_start, non_spam, spam, active))
        self._publish_items(number, rng, day_start)

    def _import_items(self, start: Micros) -> None:
        rng = self._streams.arrays("catalogue")
        creators = rng.choice(self._creators(start), max(60, round(self._config.accounts * _ITEMS_PER_ACCOUNT)))
        created = initial_creation_times(rng, len(creators), start, self._accounts.created_at[creators])
        items = self._catalogue.publish(rng, creators, created, self._texts.title)
        for place, item in enumerate(items.tolist()):
            body = self._catalogue.creation_event(item, self._accounts.ids[int(creators[place])])
            at = start + (self._config.accounts + place) * _IMPORT_STEP
            self.timeline.add(Draft(at, int(created[place]), body))

    def _add_account_events(self, indices: range, start: Micros) -> None:
        rng = self._streams.single("announce", indices.start)
        for place, account in enumerate(indices):
            body, at = self._accounts.creation_event(account), int(self._accounts.created_at[account])
            self.truth[body.subject] = {"stream_manipulation": bool(self._accounts.kind[account] == AccountKind.FARM)}
            imported = Draft(start + place * _IMPORT_STEP, at, body)
            self.timeline.add(imported if at < start else server_event(rng, at, body))

    def _plan_campaigns(self, number: int, period: Period, start: Micros) -> None:
        rng = self._streams.single("campaigns", number)
        arrays = self._streams.arrays("targets", number)
        spammers = self._accounts.of_kind(AccountKind.SPAMMER, before=start + MINUTE)
        pool = (spammers if len(spammers) > 1 else self._creators(start)).tolist()

        def plan(posts: float, *, changed: bool) -> list[Campaign]:
            return campaigns.plan(
                rng,
                start,
                period.days,
                round(posts),
                lambda n: rng.sample(pool, min(n, len(pool))),
                lambda n: self._catalogue.sample(arrays, n, start).tolist(),
                changed=changed,
            )

        comments = self._config.comments_per_day * self._config.accounts * period.days
        self._campaigns += plan(comments * _odds(self._config.spam_share) * (1 - SINGLE_SPAM_SHARE), changed=False)
        if period.changed:
            self._campaigns += plan(comments * _CHANGED_SPAM_RATIO, changed=True)

    def _report_accounts(self, number: int, first: int, period: Period, start: Micros) -> None:
        """Report the period's new farm accounts while their farm is active, and by mistake some honest accounts."""
        rng = self._streams.single("flags", number)
        for farm in self._farms:
            for member in farm.members.tolist():
                if member >= first and rng.random() < _FARMS_REPORTED:
                    seen = farm.start + int(min(rng.uniform(0.5, 4) * DAY, 0.8 * (farm.stop - farm.start)))
                    # An account can't be reported before it is visible.
                    self._report(rng, member, max(seen, start + int(rng.uniform(2, 12) * HOUR)))
        for account in range(len(self._accounts)):
            kind, created = self._accounts.kind[account], int(self._accounts.created_at[account])
            heavy = kind in (AccountKind.SLEEPER, AccountKind.SHOP, AccountKind.SCOUT)
            share = (_HEAVY_REPORTED if heavy else _OTHERS_REPORTED) * period.days / 30
            if kind != AccountKind.FARM and rng.random() < share:
                self._report(rng, account, max(start + HOUR + int(rng.random() * period.days * DAY), created + DAY))

    def _report(self, rng: Random, account: int, at: Micros) -> None:
        ref = SubjectRef("account", self._accounts.ids[account])
        reporters = np.flatnonzero(self._accounts.created_at < at)
        received = signals.account_signals(rng, ref, at, lambda: self._accounts.ids[int(rng.choice(reporters))])
        self.timeline.extend(received.drafts)
        if received.first_at is not None and rng.random() < REVIEWED_ACCOUNTS_SHARE:
            self.timeline.extend(self._reviewers.judge(ref, self.truth[ref], received.first_at))

    def _review_accounts(self, rng: Random, played: IntArray, day_start: Micros) -> None:
        """Of the accounts that played today, new ones included, a uniformly random share is judged."""
        share = self._config.account_review_share
        for account in np.unique(played).tolist():
            if rng.random() < share:
                ref = SubjectRef("account", self._accounts.ids[account])
                after = day_start + DAY
                self.timeline.extend(
                    self._reviewers.judge(ref, self.truth[ref], after, propensity=share, within=20 * HOUR)
                )

    def _publish_items(self, number: int, rng: Random, day_start: Micros) -> None:
        """Publish new items and edit some playlists."""
        arrays = self._streams.arrays("publish", number)
        creators = self._creators(day_start)
        chosen = arrays.choice(creators, int(arrays.poisson(len(creators) * _NEW_ITEMS_PER_CREATOR)))
        created = day_start + (arrays.random(len(chosen)) * DAY).astype(np.int64)
        for item in self._catalogue.publish(arrays, chosen, created, self._texts.title).tolist():
            self._add_item_event(rng, item, int(self._catalogue.created_at[item]))
        old = np.flatnonzero((self._catalogue.type == PLAYLIST) & (self._catalogue.created_at < day_start))
        for item in old[arrays.random(len(old)) < _EDITED_PLAYLIST_SHARE].tolist():
            self._catalogue.titles[item] = self._texts.title()
            self._add_item_event(rng, item, day_start + int(rng.random() * DAY))

    def _add_item_event(self, rng: Random, item: int, at: Micros) -> None:
        creator = self._accounts.ids[int(self._catalogue.creator[item])]
        self.timeline.add(server_event(rng, at, self._catalogue.creation_event(item, creator)))

    def _creators(self, before: Micros) -> IntArray:
        """The creators that exist before a time, or all listeners if there are none."""
        creators = self._accounts.of_kind(AccountKind.CREATOR, before=before)
        return creators if len(creators) else self._accounts.of_kind(AccountKind.LISTENER, before=before)


def _odds(share: float) -> float:
    """A share of the whole as a multiple of the rest."""
    return share / (1 - share)
