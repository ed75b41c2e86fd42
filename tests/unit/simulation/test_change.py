"""Campaigns and farms start, adapt and stop; a changed period writes and plays differently."""

from __future__ import annotations

import numpy as np
import pytest

from leads.clock import DAY, HOUR
from simulation.actors import campaigns
from simulation.actors.accounts import AccountKind, Accounts, non_farm_accounts
from simulation.actors.catalogue import Catalogue, initial_creation_times
from simulation.actors.farms import Farm, create_farms, farm_plays
from simulation.actors.plays import Plays, concatenate, honest_plays
from simulation.config import DEFAULT_START
from simulation.randomness import Streams
from simulation.texts import TextSource

START = DEFAULT_START
STREAMS = Streams(5)


@pytest.fixture
def world() -> tuple[Accounts, Catalogue]:
    accounts, catalogue = Accounts(), Catalogue()
    rng = STREAMS.arrays("world")
    accounts.add(rng, *non_farm_accounts(rng, 400, START, 20, initial=True))
    creators = rng.choice(accounts.of_kind(AccountKind.CREATOR, before=START), 300)
    created = initial_creation_times(rng, 300, START, accounts.created_at[creators])
    catalogue.publish(rng, creators, created, lambda: "title")
    return accounts, catalogue


@pytest.fixture
def farms(world: tuple[Accounts, Catalogue]) -> list[Farm]:
    return create_farms(STREAMS.arrays("rings"), *world, START, 20, 100, initial=True)


def played(farms: list[Farm], catalogue: Catalogue, day: int, *, changed: bool = False) -> Plays:
    rng = STREAMS.arrays("farm day", day + 10)
    empty = Plays(*(np.empty(0, kind) for kind in (np.int64, np.int64, np.int64, float, np.int64)))
    return concatenate([empty, *farm_plays(rng, farms, catalogue, START + day * DAY, 1.0, changed=changed)])


class TestFarms:
    def test_every_member_is_young_and_belongs_to_one_farm(
        self, world: tuple[Accounts, Catalogue], farms: list[Farm]
    ) -> None:
        members = np.concatenate([farm.members for farm in farms])
        assert len(members) == len(set(members.tolist())) == 100
        assert set(world[0].kind[members]) == {AccountKind.FARM}
        for farm in farms:
            age = farm.start - world[0].created_at[farm.members]
            assert 0 < age.min() <= age.max() <= 3 * DAY
            assert len(farm.items) <= 6

    def test_a_farm_plays_from_its_start_to_its_stop(
        self, world: tuple[Accounts, Catalogue], farms: list[Farm]
    ) -> None:
        farm = farms[0]
        days = [played([farm], world[1], day) for day in range(-3, 35)]
        at = np.concatenate([day.occurred_at for day in days])
        assert farm.start <= at.min() < at.max() < farm.stop
        assert len(at) > 50

    def test_plain_farms_play_half_a_minute_and_adapted_ones_longer(
        self, world: tuple[Accounts, Catalogue], farms: list[Farm]
    ) -> None:
        careless = [
            farm._replace(stealth=0.0, start=START, adapts_at=START + DAY, stop=START + 2 * DAY) for farm in farms
        ]
        plain, adapted = (played(careless, world[1], day) for day in (0, 1))
        short = [((day.seconds >= 30) & (day.seconds <= 36)).mean() for day in (plain, adapted)]
        assert short[0] > 0.75
        assert short[1] < 0.35

    def test_a_changed_period_ends_half_a_minute_and_shared_devices(
        self, world: tuple[Accounts, Catalogue], farms: list[Farm]
    ) -> None:
        active = [farm._replace(start=START, stop=START + DAY) for farm in farms]
        before, after = (played(active, world[1], 0, changed=changed) for changed in (False, True))
        assert (after.seconds < 36).mean() < 0.2
        sharing = [len(set(day.device.tolist())) / len(set(day.account.tolist())) for day in (before, after)]
        assert sharing[0] < 0.4
        assert sharing[1] == 1.0

    def test_an_hour_of_a_farm_holds_many_plays(self, world: tuple[Accounts, Catalogue], farms: list[Farm]) -> None:
        active = [farm._replace(start=START, stop=START + DAY, pace=1.0) for farm in farms]
        day = played(active, world[1], 0)
        hours = {(a, int(at - START) // HOUR) for a, at in zip(day.account.tolist(), day.occurred_at, strict=True)}
        assert len(day.account) / len(hours) > 3


class TestHonestListeners:
    def test_some_look_like_farms(self, world: tuple[Accounts, Catalogue]) -> None:
        accounts, catalogue = world
        days = [honest_plays(STREAMS.arrays("day", d), accounts, catalogue, START + d * DAY, 1.0) for d in range(5)]
        every = concatenate(days)
        kind = accounts.kind[every.account]
        night = every.occurred_at // HOUR % 24 < 6
        assert night[kind == AccountKind.SLEEPER].mean() > 1.5 * night[kind == AccountKind.LISTENER].mean()
        half_minute = (every.seconds >= 29) & (every.seconds <= 38)
        assert half_minute[kind == AccountKind.SCOUT].mean() > 0.6
        assert (every.occurred_at > accounts.created_at[every.account]).all()
        assert not (kind == AccountKind.FARM).any()


class TestCampaigns:
    def plan(self, posts: int, *, changed: bool) -> list[campaigns.Campaign]:
        rng = STREAMS.single("plan", posts)
        return campaigns.plan(
            rng, START, 10, posts, lambda n: list(range(n)), lambda n: list(range(n)), changed=changed
        )

    def test_all_posts_lie_within_the_period(self) -> None:
        made = self.plan(300, changed=False)
        posts = [at for campaign in made for at in campaign.posts]
        assert len(posts) == 300
        assert START <= min(posts) < max(posts) < START + 10 * DAY
        assert len(made) > 3

    def test_a_campaign_lasts_some_days_and_adapts_on_the_way(self) -> None:
        for campaign in self.plan(300, changed=False):
            assert campaign.posts[-1] - campaign.posts[0] < 4 * DAY
        largest = max(self.plan(300, changed=False), key=lambda campaign: len(campaign.posts))
        assert largest.posts[0] < largest.adapts_at < largest.posts[-1]

    def test_a_campaign_uses_new_messages_after_it_adapts(self) -> None:
        [campaign, *_] = self.plan(300, changed=False)
        texts, rng = TextSource(None, STREAMS), STREAMS.single("message")
        first = {campaign.message(campaign.posts[0], texts, rng).text for _ in range(30)}
        later = {campaign.message(campaign.adapts_at, texts, rng).text for _ in range(30)}
        assert len(first) > 3
        assert not first & later

    def test_a_changed_campaign_starts_within_hours_and_uses_other_words(self) -> None:
        made = self.plan(100, changed=True)
        assert all(campaign.posts[0] < START + DAY for campaign in made)
        texts, rng = TextSource(None, STREAMS), STREAMS.single("other words")
        written = [made[0].message(made[0].posts[0], texts, rng) for _ in range(20)]
        assert all(message.truth["spam"] for message in written)
        usual = [texts.spam().text for _ in range(200)]
        assert _links([message.text for message in written]) == 0
        assert _links(usual) > 60


def _links(texts: list[str]) -> int:
    return sum(".com" in text or ".net" in text or "http" in text or "www" in text or "/" in text for text in texts)
