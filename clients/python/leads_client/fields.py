"""Field types with the constraints that the API and the event log share."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

# No control characters: ids appear in headers, keys, file names and terminals. `$` alone would allow a final newline.
Id = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
# Characters that a reader doesn't see.
_UNSEEN = r"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff"
# Neither blank nor padded, so that people can tell reviewers apart.
Reviewer = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        pattern=rf"^[^\s{_UNSEEN}]([^{_UNSEEN}]*[^\s{_UNSEEN}])?$(?!\n)",
    ),
]
LeadId = Annotated[str, Meta(pattern=r"^l_[0-9a-f]{24}$(?!\n)")]
# What people write to each other, in as many lines as they like.
Prose = Annotated[str, Meta(max_length=2_000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]
# The same, but not blank.
SomeProse = Annotated[
    str, Meta(min_length=1, max_length=2_000, pattern=r"^(?=\s*\S)[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")
]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$(?!\n)")]
# A rule of monitoring, or all of them.
RuleOrAll = Annotated[str, Meta(max_length=64, pattern=r"^(\*|[a-z][a-z0-9_]*)$(?!\n)")]

Verdict = Literal["violating", "not_violating", "escalate"]
DecidedBy = Literal["human", "automation"]
SignalKind = Literal["user_report", "trusted_flagger", "hash_match", "classifier"]
Tier = Literal["auto", "review", "none"]
LeadState = Literal["open", "claimed", "decided", "escalated", "withdrawn"]
VERDICTS: tuple[Verdict, ...] = ("violating", "not_violating", "escalate")


def json_name(name: str) -> str:
    """The name of a field in the API's JSON.

    >>> json_name("audio_url"), json_name("duration_s")
    ('audioUrl', 'durationS')
    """
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
