from __future__ import annotations

from leads import clock
from leads.platform.features import FeatureDeclaration
from monitoring.drift.growth import growing
from monitoring.summaries.summary import MISSING


def declared(**given: object) -> FeatureDeclaration:
    return FeatureDeclaration.model_validate({"meaning": "something", **given})


def test_lifetime_counters_and_ages_grow_and_shares_do_not() -> None:
    found = growing({}, 400 * clock.DAY)
    assert {"account.age_h", "item.age_h", "account.strikes", "account.cleared", "item.versions"} <= found.lifetime
    assert not found.cut_off
    # Whether they are missing doesn't grow.
    assert found.has("account.age_h")
    assert not found.has("account.age_h" + MISSING)
    for name in ("account.strike_share", "account.report_reliability", "account.plays_24h", "account.strikes_90d"):
        assert not found.has(name)


def test_a_window_that_reaches_beyond_the_first_event_is_left_out_until_the_log_is_as_long() -> None:
    assert growing({}, 10 * clock.DAY).has("account.strikes_90d")
    assert not growing({}, 10 * clock.DAY).has("account.plays_7d")
    assert growing({}, 3 * clock.DAY).has("account.plays_7d")
    assert not growing({}, None).has("account.strikes_90d")


def test_on_a_young_platform_shares_settle_and_values_are_missing_less_often() -> None:
    week = growing({}, 3 * clock.DAY)
    assert {"account.short_share_7d", "account.short_share_7d" + MISSING} <= {
        name for name in ("account.short_share_7d", "account.short_share_7d" + MISSING) if week.has(name)
    }
    # A lifetime share settles as that of the longest window does.
    assert growing({}, 10 * clock.DAY).has("account.strike_share" + MISSING)
    assert not growing({}, 90 * clock.DAY).has("account.strike_share")
    assert not growing({}, 10 * clock.DAY).has("text.chars")


def test_declared_features_grow_by_what_they_are_computed_from() -> None:
    own = {
        "account.follows": declared(count="follow", window="ever"),
        "account.twice": declared(formula="account.follows * 2", unit="count"),
        "account.per_play": declared(ratio=["account.follows", "account.plays_24h"]),
        "account.balance": declared(ratio=["account.follows", "account.plays"]),
        "account.part": declared(formula="account.follows / (account.follows + account.plays)", unit="share"),
    }
    found = growing(own, 400 * clock.DAY)
    assert {"account.follows", "account.twice", "account.per_play"} <= found.lifetime
    assert not found.lifetime & {"account.balance", "account.part"}
    assert growing(own, 10 * clock.DAY).has("account.part")
