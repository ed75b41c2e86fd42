"""A day of comments: ordinary ones, single spam, campaigns and replies, with the signals and decisions they get."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from numpy.random import Generator

from leads.clock import DAY, Micros
from leads.events import ItemCreated, SubjectRef
from simulation.actors import signals
from simulation.actors.accounts import AccountKind, Accounts
from simulation.actors.campaigns import Campaign
from simulation.actors.catalogue import Catalogue
from simulation.actors.reviewers import REVIEWED_SHARE, Reviewers
from simulation.daytime import random_times
from simulation.texts import CommentText, TextSource, Truth
from simulation.timeline import Draft, IntArray, server_event

# Share of spam that belongs to no campaign.
SINGLE_SPAM_SHARE = 0.2
_REPLY_SHARE = 0.15
_TOXIC_AUTHOR_SHARE = 0.4
_BRIGADES_PER_COMMENT = 0.0015
_RECENT = 300


class _Post(NamedTuple):
    """A comment to post. `earlier_posts`: number of earlier posts by its campaign."""

    at: Micros
    item: int
    spam: bool
    campaign: Campaign | None = None
    earlier_posts: int = 0


class CommentActivity:
    """Simulates comments, one day at a time.

    Args:
        record_truth: called with each comment and its truth.
        review_share: probability that a comment is reviewed regardless of reports.
    """

    def __init__(
        self,
        accounts: Accounts,
        catalogue: Catalogue,
        texts: TextSource,
        reviewers: Reviewers,
        record_truth: Callable[[SubjectRef, Truth], None],
        review_share: float,
    ) -> None:
        self._accounts, self._catalogue, self._texts, self._reviewers = accounts, catalogue, texts, reviewers
        self._record_truth, self._review_share = record_truth, review_share
        self._recent: deque[SubjectRef] = deque(maxlen=_RECENT)
        self._count = 0

    def simulate_day(
        self, arrays: Generator, rng: Random, day_start: Micros, non_spam: float, spam: float, campaigns: list[Campaign]
    ) -> list[Draft]:
        """The day's comments, signals and decisions.

        Args:
            non_spam: expected number of comments that are not spam.
            spam: expected number of spam comments outside campaigns.
            campaigns: those that may post on that day.
        """
        authors = self._accounts.of_kind(AccountKind.LISTENER, AccountKind.CREATOR, before=day_start)
        toxic = authors[self._accounts.toxic[authors]]
        spammers = self._accounts.of_kind(AccountKind.SPAMMER, before=day_start)
        drafts: list[Draft] = []
        for post in self._posts(arrays, rng, day_start, non_spam, spam, campaigns):
            comment = self._write(post, rng)
            harmful = any(comment.truth.values())
            if post.campaign is not None:
                author = rng.choice(post.campaign.members)
            elif post.spam and len(spammers) and rng.random() < 0.7:
                author = int(rng.choice(spammers))
            else:
                group = toxic if harmful and len(toxic) and rng.random() < _TOXIC_AUTHOR_SHARE else authors
                author = int(rng.choice(group))
            drafts.extend(self._publish(post, comment, author, authors, rng))
        return drafts

    def _posts(
        self, arrays: Generator, rng: Random, day_start: Micros, non_spam: float, spam: float, campaigns: list[Campaign]
    ) -> list[_Post]:
        """The comments to post on that day, in time order."""
        non_spam_count, spam_count = int(arrays.poisson(non_spam)), int(arrays.poisson(spam))
        n = non_spam_count + spam_count
        at = random_times(arrays, day_start, arrays.choice(self._accounts.utc_offset_s, n)).tolist()
        items = self._catalogue.sample(arrays, n, day_start).tolist()
        posts = [_Post(at[i], items[i], i >= non_spam_count) for i in range(n)]
        posts += [
            _Post(when, rng.choice(campaign.targets), True, campaign, earlier_posts)
            for campaign in campaigns
            for earlier_posts, when in enumerate(campaign.posts)
            if day_start <= when < day_start + DAY
        ]
        return sorted(posts, key=lambda post: post.at)

    def _write(self, post: _Post, rng: Random) -> CommentText:
        if post.campaign is not None:
            return post.campaign.message(post.at, self._texts, rng)
        return self._texts.spam() if post.spam else self._texts.non_spam()

    def _publish(self, post: _Post, comment: CommentText, author: int, others: IntArray, rng: Random) -> list[Draft]:
        ids = self._accounts.ids

        def reporter() -> str:
            return ids[int(rng.choice(others))]

        self._count += 1
        ref = SubjectRef("comment", f"c{self._count:07d}")
        replies = post.campaign is None and len(self._recent) > 0 and rng.random() < _REPLY_SHARE
        parent = rng.choice(self._recent) if replies else self._catalogue.refs[post.item]
        self._recent.append(ref)
        self._record_truth(ref, comment.truth)
        created = server_event(rng, post.at, ItemCreated(ref, ids[author], parent, comment.text))
        received = signals.comment_signals(rng, ref, post.at, comment.truth, reporter, earlier_posts=post.earlier_posts)
        drafts = [created, *received.drafts]
        if not any(comment.truth.values()) and rng.random() < _BRIGADES_PER_COMMENT:
            drafts += signals.brigade_reports(rng, ref, post.at, reporter)
        return drafts + self._review(ref, comment.truth, created.visible_at, received.first_at, rng)

    def _review(
        self, ref: SubjectRef, truth: Truth, posted_at: Micros, reported_at: Micros | None, rng: Random
    ) -> list[Draft]:
        # Sample first, so that the sample does not depend on reports.
        if rng.random() < self._review_share:
            return self._reviewers.judge(ref, truth, posted_at, propensity=self._review_share)
        if reported_at is not None and rng.random() < REVIEWED_SHARE:
            return self._reviewers.judge(ref, truth, reported_at)
        return []
