"""A day of comments: talk, lone spam, campaigns, replies, and what comes of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from leads.clock import DAY, Micros
from leads.events import ItemCreated, SubjectRef
from simulation.actors import signals
from simulation.actors.accounts import Accounts, Kind
from simulation.actors.campaigns import Campaign
from simulation.actors.catalogue import Catalogue
from simulation.actors.reviewers import JUDGED_SHARE, Reviewers
from simulation.daytime import instants
from simulation.randomness import Arrays, Single
from simulation.texts import Texts, Truth, Written
from simulation.timeline import Draft, Longs, prompt

# The rest of the spam comes from campaigns.
LONE_SPAM_SHARE = 0.2
_REPLY_SHARE = 0.15
_TOXIC_AUTHOR_SHARE = 0.4
_BRIGADES_PER_COMMENT = 0.0015
_RECENT = 300


class _Post(NamedTuple):
    """Something to be posted: `campaign` and how often it posted before, or whether it is lone spam."""

    at: Micros
    item: int
    spam: bool
    campaign: Campaign | None = None
    before: int = 0


class Commenting:
    """Writes the comments of one day after the other.

    Args:
        tell: is called with each comment and what is true of it.
        review_share: chance that a comment is judged, reported or not.
    """

    def __init__(
        self,
        accounts: Accounts,
        catalogue: Catalogue,
        texts: Texts,
        reviewers: Reviewers,
        tell: Callable[[SubjectRef, Truth], None],
        review_share: float,
    ) -> None:
        self._accounts, self._catalogue, self._texts, self._reviewers = accounts, catalogue, texts, reviewers
        self._tell, self._review_share = tell, review_share
        self._recent: deque[SubjectRef] = deque(maxlen=_RECENT)
        self._count = 0

    def day(
        self, arrays: Arrays, rng: Single, day_start: Micros, talk: float, spam: float, campaigns: list[Campaign]
    ) -> list[Draft]:
        """Everything that comes of the day's comments; `talk` and `spam` are how many to expect, campaigns left out."""
        authors = self._accounts.of_kind(Kind.LISTENER, Kind.CREATOR, before=day_start)
        toxic = authors[self._accounts.toxic[authors]]
        spammers = self._accounts.of_kind(Kind.SPAMMER, before=day_start)
        drafts: list[Draft] = []
        for post in self._posts(arrays, rng, day_start, talk, spam, campaigns):
            written = self._write(post, rng)
            harmful = any(written.truth.values())
            if post.campaign is not None:
                author = rng.choice(post.campaign.members)
            elif post.spam and len(spammers) and rng.random() < 0.7:
                author = int(rng.choice(spammers))
            else:
                group = toxic if harmful and len(toxic) and rng.random() < _TOXIC_AUTHOR_SHARE else authors
                author = int(rng.choice(group))
            drafts.extend(self._publish(post, written, author, authors, rng))
        return drafts

    def _posts(
        self, arrays: Arrays, rng: Single, day_start: Micros, talk: float, spam: float, campaigns: list[Campaign]
    ) -> list[_Post]:
        """What will be posted on that day, in order."""
        talking, spamming = int(arrays.poisson(talk)), int(arrays.poisson(spam))
        n = talking + spamming
        at = instants(arrays, day_start, arrays.choice(self._accounts.zone_s, n)).tolist()
        items = self._catalogue.popular(arrays, n, day_start).tolist()
        posts = [_Post(at[i], items[i], i >= talking) for i in range(n)]
        posts += [
            _Post(when, rng.choice(campaign.targets), True, campaign, before)
            for campaign in campaigns
            for before, when in enumerate(campaign.posts)
            if day_start <= when < day_start + DAY
        ]
        return sorted(posts, key=lambda post: post.at)

    def _write(self, post: _Post, rng: Single) -> Written:
        if post.campaign is not None:
            return post.campaign.message(post.at, self._texts, rng)
        return self._texts.spam() if post.spam else self._texts.talk()

    def _publish(self, post: _Post, written: Written, author: int, others: Longs, rng: Single) -> list[Draft]:
        ids = self._accounts.ids

        def reporter() -> str:
            return ids[int(rng.choice(others))]

        self._count += 1
        ref = SubjectRef("comment", f"c{self._count:07d}")
        replies = post.campaign is None and len(self._recent) > 0 and rng.random() < _REPLY_SHARE
        parent = rng.choice(self._recent) if replies else self._catalogue.refs[post.item]
        self._recent.append(ref)
        self._tell(ref, written.truth)
        made = prompt(rng, post.at, ItemCreated(ref, ids[author], parent, written.text))
        came = signals.about_comment(rng, ref, post.at, written.truth, reporter, posted_before=post.before)
        drafts = [made, *came.drafts]
        if not any(written.truth.values()) and rng.random() < _BRIGADES_PER_COMMENT:
            drafts += signals.brigade(rng, ref, post.at, reporter)
        return drafts + self._review(ref, written.truth, made.visible_at, came.first_at, rng)

    def _review(
        self, ref: SubjectRef, truth: Truth, posted_at: Micros, reported_at: Micros | None, rng: Single
    ) -> list[Draft]:
        # Drawn first, so that being drawn doesn't depend on having been reported.
        if rng.random() < self._review_share:
            return self._reviewers.judge(ref, truth, posted_at, propensity=self._review_share)
        if reported_at is not None and rng.random() < JUDGED_SHARE:
            return self._reviewers.judge(ref, truth, reported_at)
        return []
