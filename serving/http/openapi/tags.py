"""The groups of operations in the OpenAPI document. Generated clients have a module or class per group."""

from __future__ import annotations

SCORING = "Scoring"
EVENTS = "Events"
QUEUE = "Queue"
REVIEWS = "Reviews"
MODELS = "Models"
MONITORING = "Monitoring"
PLATFORM = "Platform"
HEALTH = "Health"

_DESCRIPTIONS = {
    SCORING: "Score subjects: how likely they violate a harm's policy, and why.",
    EVENTS: "Send what happens on your platform. Scores depend on it.",
    QUEUE: "See the queue of leads with their scores, for queue managers. Reviewers claim leads without scores.",
    REVIEWS: "Claim leads, see their content, and decide them.",
    MODELS: "See which version of each harm's model serves.",
    MONITORING: "See what monitoring measured, and the alerts that it raised.",
    PLATFORM: "See which types of items and kinds of events your platform declares.",
    HEALTH: "Whether this host works, and its metrics.",
}


def described(*names: str) -> list[dict[str, str]]:
    """The groups as the document lists them."""
    return [{"name": name, "description": _DESCRIPTIONS[name]} for name in names]
