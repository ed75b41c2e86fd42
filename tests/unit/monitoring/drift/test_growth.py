from __future__ import annotations

from leads import clock
from leads.platform.features import FeatureDeclaration
from monitoring.drift.growth import growing


def declared(**given: object) -> FeatureDeclaration:
    return FeatureDeclaration.model_validate({"meaning": "something", **given})


def test_lifetime_counters_and_ages_grow_and_shares_do_not() -> None:
    found = growing({}, 400 * clock.DAY)
    assert {"account.age_h", "item.age_h", "account.strikes", "account.cleared", "item.versions"} <= found
    assert not found & {
        "account.strike_share",
        "account.report_reliability",
        "account.plays_24h",
        "account.strikes_90d",
    }


def test_a_window_longer_than_the_log_grows_until_the_log_is_as_long() -> None:
    assert "account.strikes_90d" in growing({}, 10 * clock.DAY)
    assert "account.plays_7d" not in growing({}, 10 * clock.DAY)
    assert "account.plays_7d" in growing({}, 3 * clock.DAY)
    assert "account.strikes_90d" not in growing({}, None)


def test_declared_features_grow_by_what_they_are_computed_from() -> None:
    own = {
        "account.follows": declared(count="follow", window="ever"),
        "account.twice": declared(formula="account.follows * 2", unit="count"),
        "account.per_play": declared(ratio=["account.follows", "account.plays_24h"]),
        "account.balance": declared(ratio=["account.follows", "account.plays"]),
        "account.part": declared(formula="account.follows / (account.follows + account.plays)", unit="share"),
    }
    found = growing(own, 400 * clock.DAY)
    assert {"account.follows", "account.twice", "account.per_play"} <= found
    assert not found & {"account.balance", "account.part"}
