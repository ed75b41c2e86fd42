"""Spam campaigns: a few accounts post the same messages over and over, later with new wording, and stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from leads.clock import DAY, HOUR, Micros
from simulation.texts import CommentText, TextSource, vary

_MEAN_POSTS = 40
_MIN_POSTS = 6
_TARGETS = 12


@dataclass
class Campaign:
    """One campaign.

    Args:
        posts: when it posts, µs, in order.
        adapts_at: from then on it posts new messages with heavier disguise.
        members: accounts that post.
        targets: items under which they post.
        changed: it belongs to a changed period and uses that period's wording.
        messages: its messages before (False) and after (True) it adapts, drawn when first needed.
    """

    posts: tuple[Micros, ...]
    adapts_at: Micros
    members: tuple[int, ...]
    targets: tuple[int, ...]
    changed: bool
    messages: dict[bool, list[CommentText]] = field(default_factory=dict)

    def message(self, at: Micros, texts: TextSource, rng: Random) -> CommentText:
        """The comment posted at a time."""
        adapted = at >= self.adapts_at
        if adapted not in self.messages:
            draw = texts.changed_spam if self.changed else texts.spam
            self.messages[adapted] = [draw() for _ in range(8 if self.changed else rng.randint(1, 3))]
        message = rng.choice(self.messages[adapted])
        return message._replace(text=vary(message.text, 0.8 if adapted else 0.3, rng))


def plan(
    rng: Random,
    start: Micros,
    days: int,
    posts: int,
    members: Callable[[int], list[int]],
    targets: Callable[[int], list[int]],
    *,
    changed: bool,
) -> list[Campaign]:
    """Campaigns with `posts` posts in total within the `days` from `start`.

    Args:
        members: draws up to that many accounts that post.
        targets: draws that many items under which they post.
    """
    campaigns: list[Campaign] = []
    while posts > 0:
        size = min(
            posts,
            max(12, posts // 2) if changed else max(_MIN_POSTS, round(_MEAN_POSTS * rng.lognormvariate(-0.2, 0.6))),
        )
        # If too few posts remain for another campaign, this one takes them.
        size = posts if posts - size < _MIN_POSTS else size
        posts -= size
        duration = min(rng.uniform(0.6, 4.0), 0.9 * days) * DAY
        begins = start + (rng.random() * 3 * HOUR if changed else rng.random() * (days * DAY - duration))
        # Campaigns start with a burst and fade out.
        at = sorted(int(begins + duration * rng.betavariate(0.8, 1.4)) for _ in range(size))
        campaigns.append(
            Campaign(
                tuple(at),
                int(begins + duration * rng.uniform(0.35, 0.65)),
                tuple(members(max(2, min(12, size // 6)))),
                tuple(targets(_TARGETS)),
                changed,
            )
        )
    return campaigns
