"""A feature that can never have a value is refused, with its line and what to do instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads.errors import ConfigurationError
from leads.platform.declaration import Platform, load_platform

_BASE = """version: 1
types:
  account: {title: Account, fields: {lang: {kind: language}}}
  show: {title: Show, parents: [], fields: {name: {kind: text, judged: true}}}
  episode:
    title: Episode
    parents: [show]
    fields:
      title: {kind: text, judged: true}
      genre: {kind: category, values: [news, music]}
  badge: {title: Badge, parents: [show], fields: {color: {kind: category}}}
events:
  follow: {title: Follow, about: [show]}
  rating: {title: Rating, about: [episode], fields: {origin: {kind: category, values: [app, web]}}}
  award: {title: Award, about: [badge]}
  payout: {title: Payout, about: [account], by: optional, fields: {amount: {kind: number}}}
  visit: {title: Visit, by: optional, fields: {ip: {kind: category}}}
keys:
  ip: {title: Address, from: visit.ip}
features:
"""
_LINE = _BASE.count("\n") + 1


def load(path: Path, feature: str) -> Platform:
    path.write_text(f"{_BASE}  {feature}\n")
    return load_platform(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "platform.yaml"


@pytest.mark.parametrize(
    ("feature", "key", "message"),
    [
        (
            "account.x: {count: follow, by: about, window: 7d, meaning: x}",
            "by",
            "never about an account, only about sh",
        ),
        ("account.x: {sum: payout.amount, window: 7d, meaning: x}", "sum", "may have no account that did it"),
        ("account.x: {distinct: visit.about, window: 7d, meaning: x}", "distinct", "add by: about"),
        ("parent.x: {count: rating, by: about, window: 7d, meaning: x}", "by", "nothing is posted under that; use by"),
        ("parent.x: {count: follow, window: 7d, meaning: x}", "count", "show, which is never posted under anything"),
        ("parent.x: {count: payout, by: parent, window: 7d, meaning: x}", "by", "account, which is never posted under"),
        ("bucket.x: {count: award, window: 7d, meaning: x}", "count", "only about badge, which has no judged text"),
        ("item.x: {field: genre, equals: sport, meaning: x}", "equals", "genre is never sport; its values: news, mus"),
        ("account.x: {field: lang, equals: english, meaning: x}", "equals", "english isn't a language tag"),
        (
            'item.x: {count: rating, where: origin == "tv", window: 7d, meaning: x}',
            "where",
            "origin is never 'tv'; its values: app, web",
        ),
        ('item.x: {count: rating, where: \'origin in ["app", "tv"]\', window: 7d, meaning: x}', "where", "never 'tv'"),
    ],
)
def test_a_feature_that_never_has_a_value_is_refused(path: Path, feature: str, key: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(path, feature)
    name = feature.partition(":")[0]
    assert caught.value.field == f"{path}:{_LINE}"
    assert caught.value.message.startswith(f"features.{name}.{key}: ")
    assert message in caught.value.message


@pytest.mark.parametrize(
    "feature",
    [
        "account.x: {count: follow, window: 7d, meaning: x}",
        "account.x: {count: follow, by: creator, window: 7d, meaning: x}",
        "account.x: {sum: payout.amount, by: about, window: 7d, meaning: x}",
        "account.x: {count: visit, by: who, window: 7d, meaning: x}",
        "account.x: {count: visit, by: about, window: 7d, meaning: x}",
        "item.x: {count: payout, window: 7d, meaning: x}",
        "item.x: {distinct: payout.who, window: 7d, meaning: x}",
        "parent.x: {count: follow, by: about, window: 7d, meaning: x}",
        "parent.x: {count: rating, window: 7d, meaning: x}",
        "parent.x: {count: visit, window: 7d, meaning: x}",
        "bucket.x: {count: follow, window: 7d, meaning: x}",
        "ip.x: {count: visit, window: 7d, meaning: x}",
        "item.x: {field: genre, equals: news, meaning: x}",
        "item.x: {field: color, equals: red, meaning: x}",
        "account.x: {field: lang, equals: pt-BR, meaning: x}",
        'item.x: {count: rating, where: not origin == "app", window: 7d, meaning: x}',
    ],
)
def test_a_feature_that_can_have_a_value_is_accepted(path: Path, feature: str) -> None:
    assert load(path, feature).features
