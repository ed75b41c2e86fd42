"""Spam campaigns: a few accounts post one message over and over, disguise it more after a while, and stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from leads.clock import DAY, HOUR, Micros
from simulation.randomness import Single
from simulation.texts import Texts, Written, vary

_MEAN_POSTS = 40
_FEWEST_POSTS = 6
_TARGETS = 12


@dataclass
class Campaign:
    """One campaign. `posts` are the instants at which it posts, in order; from `adapts_at` on the message is another
    one and disguised more. `messages` is filled as it goes along."""

    posts: tuple[Micros, ...]
    adapts_at: Micros
    members: tuple[int, ...]
    targets: tuple[int, ...]
    changed: bool
    messages: dict[bool, list[Written]] = field(default_factory=dict)

    def message(self, at: Micros, texts: Texts, rng: Single) -> Written:
        """What is posted at an instant."""
        adapted = at >= self.adapts_at
        if adapted not in self.messages:
            draw = texts.changed_spam if self.changed else texts.spam
            self.messages[adapted] = [draw() for _ in range(8 if self.changed else rng.randint(1, 3))]
        written = rng.choice(self.messages[adapted])
        return written._replace(text=vary(written.text, 0.8 if adapted else 0.3, rng))


def plan(
    rng: Single,
    start: Micros,
    days: int,
    posts: int,
    members: Callable[[int], list[int]],
    targets: Callable[[int], list[int]],
    *,
    changed: bool,
) -> list[Campaign]:
    """Campaigns that make about `posts` posts within the `days` from `start`.

    Args:
        members: draws that many accounts to post.
        targets: draws that many items to post under.
    """
    campaigns: list[Campaign] = []
    while posts > 0:
        size = min(
            posts,
            max(12, posts // 2) if changed else max(_FEWEST_POSTS, round(_MEAN_POSTS * rng.lognormvariate(-0.2, 0.6))),
        )
        # A rest too small for a campaign joins this one.
        size = posts if posts - size < _FEWEST_POSTS else size
        posts -= size
        lasts = min(rng.uniform(0.6, 4.0), 0.9 * days) * DAY
        begins = start + (rng.random() * 3 * HOUR if changed else rng.random() * (days * DAY - lasts))
        # It begins with a burst and thins out.
        at = sorted(int(begins + lasts * rng.betavariate(0.8, 1.4)) for _ in range(size))
        campaigns.append(
            Campaign(
                tuple(at),
                int(begins + lasts * rng.uniform(0.35, 0.65)),
                tuple(members(max(2, min(12, size // 6)))),
                tuple(targets(_TARGETS)),
                changed,
            )
        )
    return campaigns
