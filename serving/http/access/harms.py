"""What a key that is limited to some harms may see and do: nothing about the others, not even whether they exist."""

from __future__ import annotations

from leads.db.keys import ApiKey
from leads.policies import Policies


def check_harm(policies: Policies, key: ApiKey, harm: str, *, field: str) -> None:
    """Check that a request may name this harm.

    Raises:
        AccessDenied: the key is limited to other harms.
        NotFound: policies.yaml doesn't define the harm.
    """
    # In this order: the second error lists every harm.
    key.require_harm(harm, field=field)
    policies.harm(harm, field=field)


def shows(key: ApiKey, harm: str | None) -> bool:
    """Whether the key may see what is about this harm; None: about no harm in particular."""
    return harm is None or key.harms is None or harm in key.harms
