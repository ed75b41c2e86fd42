"""Alerts from measured values to messages: opened once, sent once, resolved, whatever is silenced or killed when."""

from __future__ import annotations

import json
import logging
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.alerting.alert import Alert
from leads.alerting.policy import RulePolicy, WebhookPolicy
from leads.alerting.rules import RULES
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.monitoring import alerts, silences
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring.rows import MetricRow
from leads.db.outbox.tables import outbox
from leads.db.tables import canary_retreats
from leads.estimates.slices import slice_of, slice_parts
from leads.policies import Policies
from leads.settings import Settings
from monitoring.alerts import judge as judge_module
from monitoring.alerts.judge import judge
from monitoring.alerts.messages import MAX_BYTES, Changes, digest_due
from tests.support.monitoring.watch_world import START, policies_of, promote, world_of

NOW = START + 9 * clock.HOUR
WEBHOOK = WebhookPolicy(url="https://hooks.example.com/x")


class Home:
    """Measures, judges and looks, as of any time."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings, self.engine = settings, engine
        self.policies: Policies = policies_of(settings, webhook=WEBHOOK)

    def change(self, **monitoring: Any) -> None:
        self.policies = policies_of(self.settings, **{"webhook": WEBHOOK, **monitoring})

    def measure(
        self, rule: str, value: float | None, *, at: Micros = NOW, lo: float | None = None, slice_: str = "",
        harm: str = "spam", hours: float = 1, version: str = "3",
    ) -> None:  # fmt: skip
        since = at - round(hours * clock.HOUR)
        one = MetricRow(harm, version, slice_, since, at, RULES[rule].metric, value, lo, None, 100, "test")
        with self.engine.begin() as connection:
            metric_rows.write(connection, "run", [one])

    def judge(self, at: Micros = NOW) -> Changes:
        return judge(world_of(self.settings, self.engine, at, self.policies), "run")

    def alerts(self) -> list[Alert]:
        with reading(self.engine) as connection:
            return alerts.listing(connection)

    def sent(self) -> list[dict[str, Any]]:
        with reading(self.engine) as connection:
            bodies = connection.execute(sa.select(outbox.c.body).order_by(outbox.c.seq)).scalars()
            return [json.loads(body) for body in bodies]

    def types(self) -> list[str]:
        return [body["type"] for body in self.sent()]

    def silence(self, rule: str, until: Micros, *, harm: str = "*", now: Micros = NOW) -> silences.Silence:
        with self.engine.begin() as connection:
            return silences.add(connection, rule, harm, until, by="me", why="test", now=now)


@pytest.fixture
def home(any_settings: Settings, any_engine: Engine) -> Home:
    return Home(any_settings, any_engine)


def test_an_alert_opens_once_and_resolves_by_itself(home: Home) -> None:
    home.measure("queue_old", 30.0)
    (opened,) = home.judge().opened
    assert (opened.rule, opened.harm, opened.state, opened.severity) == ("queue_old", "spam", "firing", "page")
    assert home.judge().opened == []
    home.measure("queue_old", 31.0, at=NOW + clock.HOUR)
    changes = home.judge(NOW + clock.HOUR)
    assert changes.opened == []
    assert [one.value for one in changes.open] == [31.0]
    # Between the limits it stays.
    home.measure("queue_old", 22.0, at=NOW + 2 * clock.HOUR)
    assert home.judge(NOW + 2 * clock.HOUR).resolved == []
    home.measure("queue_old", 3.0, at=NOW + 3 * clock.HOUR)
    (resolved,) = home.judge(NOW + 3 * clock.HOUR).resolved
    assert (resolved.seq, resolved.state, resolved.resolved_at) == (opened.seq, "resolved", NOW + 3 * clock.HOUR)
    assert home.types() == ["alert.opened", "alert.resolved"]
    # It fires again: another alert.
    home.measure("queue_old", 50.0, at=NOW + 4 * clock.HOUR)
    (again,) = home.judge(NOW + 4 * clock.HOUR).opened
    assert again.seq != opened.seq
    (kept, first) = home.alerts()
    assert (kept.worst, first.worst) == (26.0, 7.0)


@pytest.mark.parametrize("rule", ["score_drift", "verdicts_changed"])
def test_a_threshold_that_grows_resolves_nothing(home: Home, rule: str) -> None:
    slice_ = "against=reference"

    def measure(hour: int, value: float, threshold: float) -> None:
        home.measure(rule, value, lo=value - threshold, at=NOW + hour * clock.HOUR, slice_=slice_, hours=6)

    for hour in range(3):
        measure(hour, 0.658, 0.201)
    assert len(home.judge(NOW + 2 * clock.HOUR).opened) == 1
    for hour in range(3, 12):
        measure(hour, 0.611, 2.04)
        assert home.judge(NOW + hour * clock.HOUR).resolved == []
    assert [one.state for one in home.alerts()] == ["firing"]
    # The value itself returns.
    for hour in range(12, 15):
        measure(hour, 0.15, 2.04)
    assert len(home.judge(NOW + 14 * clock.HOUR).resolved) == 1


def test_a_value_just_within_a_threshold_that_hardly_grew_is_quiet(home: Home) -> None:
    for hour in range(3):
        home.measure("score_drift", 0.25, lo=0.05, at=NOW + hour * clock.HOUR, slice_="against=reference", hours=6)
    home.judge(NOW + 2 * clock.HOUR)
    for hour in range(3, 6):
        home.measure("score_drift", 0.22, lo=-0.02, at=NOW + hour * clock.HOUR, slice_="against=reference", hours=6)
    assert len(home.judge(NOW + 5 * clock.HOUR).resolved) == 1


def test_judging_the_same_values_again_changes_nothing(home: Home) -> None:
    home.measure("queue_old", 30.0)
    home.measure("inputs_missing", 0.9, lo=0.8, slice_="column=a")
    home.judge()
    before, sent = home.alerts(), home.sent()
    home.judge()
    assert (home.alerts(), home.sent()) == (before, sent)


def test_a_run_that_dies_while_it_judges_has_changed_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.measure("queue_old", 30.0)

    def die(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(judge_module, "send", die)
        with pytest.raises(KeyboardInterrupt):
            home.judge()
    assert (home.alerts(), home.sent()) == ([], [])
    home.judge()
    assert (len(home.alerts()), home.types()) == (1, ["alert.opened"])


def test_alerts_of_one_rule_that_open_together_are_one_message(home: Home) -> None:
    for i in range(50):
        home.measure("inputs_missing", 0.9, lo=0.3 + i / 100, slice_=f"column=item.a{i:02}")
    assert len(home.judge().opened) == 50
    (body,) = home.sent()
    assert (body["data"]["count"], body["data"]["harm"], body["data"]["severity"]) == (50, "spam", "page")
    shown = [one["alert"]["slice"]["column"] for one in body["data"]["alerts"]]
    assert shown[:3] == ["item.a49", "item.a48", "item.a47"]
    assert len(shown) <= 10
    assert "and 49 more" in body["data"]["title"]
    with reading(home.engine) as connection:
        sizes = [len(one) for one in connection.execute(sa.select(outbox.c.body)).scalars()]
    assert max(sizes) <= MAX_BYTES
    # Each alert names the worst of the others.
    (first, *_) = body["data"]["alerts"]
    assert [one["slice"]["column"] for one in first["slices"]][:2] == ["item.a48", "item.a47"]


def test_digest_alerts_wait_for_the_digest(home: Home) -> None:
    home.judge(NOW)
    for hours in (1, 2):
        home.measure(
            "input_drift", 0.4, lo=0.2, slice_="against=reference;column=a", at=NOW - hours * clock.HOUR, hours=6
        )
    home.measure("queue_old", 30.0)
    home.judge()
    assert home.types() == ["alert.opened"]
    tomorrow = digest_due(home.policies.monitoring, NOW) + clock.DAY
    home.judge(tomorrow - 1)
    assert home.types() == ["alert.opened"]
    home.judge(tomorrow)
    home.judge(tomorrow + clock.HOUR)
    assert home.types() == ["alert.opened", "alerts.digest"]
    digest = home.sent()[-1]["data"]
    assert digest["count"] == 2
    # Pages come first.
    assert [group["rule"] for group in digest["groups"]] == ["queue_old", "input_drift"]
    assert digest["groups"][1]["alerts"][0]["title"] == "Inputs of spam have moved: a (compared with training)"


def test_no_digest_if_there_is_nothing_to_say(home: Home) -> None:
    for days in range(3):
        assert not home.judge(NOW + days * clock.DAY).digest
    assert home.sent() == []


def drift(home: Home, column: str, lo: float, *, at: Micros = NOW, against: str = "reference", **parts: str) -> None:
    """Two of the newest windows in which an input has moved, or hasn't with a negative `lo`."""
    for hours in (1, 2):
        slice_ = slice_of(against=against, column=column, **parts)
        version = "3" if against == "reference" else ""
        when = at - hours * clock.HOUR
        home.measure("input_drift", 1.0, lo=lo, slice_=slice_, at=when, hours=6, version=version)


def test_inputs_that_moved_are_one_alert_that_names_them_by_deviation_times_importance(home: Home) -> None:
    home.judge(NOW - clock.DAY)
    for number in range(12):
        drift(home, f"c{number}", 0.1)
    drift(home, "a", 0.2)
    drift(home, "b", 0.9)
    drift(home, "a is missing", 0.15)
    drift(home, "a", 0.1, against="before")
    drift(home, "a", 0.3, language="en")
    drift(home, "quiet", -0.1)
    world = world_of(home.settings, home.engine, NOW, home.policies)
    world.importance = lambda harm, version: {"a": 0.9, "b": 0.05}  # type: ignore[method-assign]
    judge(world, "run")
    (alert,) = home.alerts()
    assert (alert.slice, alert.version, alert.detail.importance) == ("", "3", 0.9)
    assert alert.detail.title == (
        "Inputs of spam have moved: a, a is missing, c0 and 12 more "
        "(compared with training and with the windows before)"
    )
    shown = [slice_parts(one.slice)["column"] for one in alert.detail.slices]
    assert len(shown) == len(set(shown)) == 10
    assert alert.detail.moved == "drift.input of a is 1, above its threshold of 0.7."
    assert home.judge().opened == []
    home.judge(digest_due(home.policies.monitoring, NOW) + clock.DAY)
    (group,) = home.sent()[-1]["data"]["groups"]
    assert (group["rule"], group["count"]) == ("input_drift", 1)


@pytest.mark.parametrize(
    ("moved", "importance", "opens"),
    [
        # A twentieth of the inputs, with a hundredth of the gain.
        (("a",), {"a": 0.01}, False),
        (("a",), {"a": 0.2}, True),
        (("a", "a is missing"), {"a": 0.06}, False),
        (("a", "b"), {"a": 0.01, "b": 0.01}, True),
        # As long as nobody knows, it may matter.
        (("a",), {}, True),
    ],
)
def test_inputs_that_moved_open_an_alert_if_they_are_a_tenth_of_all_or_of_the_gain(
    home: Home, moved: tuple[str, ...], importance: dict[str, float], opens: bool
) -> None:
    for column in moved:
        drift(home, column, 0.2)
    for number in range(20 - len({name.removesuffix(" is missing") for name in moved})):
        drift(home, f"c{number}", -0.2)
    world = world_of(home.settings, home.engine, NOW, home.policies)
    world.importance = lambda harm, version: importance  # type: ignore[method-assign]
    assert bool(judge(world, "run").opened) is opens


def test_texts_of_several_harms_are_one_alert(home: Home) -> None:
    slice_ = "against=before;column=vocabulary"
    for harm, hours in product(("sexism", "spam"), (1, 2)):
        at = NOW - hours * clock.HOUR
        home.measure("text_drift", 0.4, lo=0.2, slice_=slice_, at=at, harm=harm, hours=6)
    types = {harm: policy.subject_types for harm, policy in home.policies.harms.items()}
    assert set(types["spam"]) == set(types["sexism"])
    (alert,) = home.judge().opened
    assert alert.harm == next(iter(types))
    assert alert.detail.title == (
        "The texts of spam and sexism have changed: vocabulary (compared with the windows before)"
    )
    assert (alert.detail.harms, alert.is_about("sexism"), alert.is_about("hate")) == (("sexism",), True, False)
    # A retraining is one harm's.
    home.change(rules={"text_drift": RulePolicy(retrain=True)})
    assert [one.harm for one in home.judge().opened] == ["sexism"]


def text_drift(home: Home, harm: str, lo: float, *, at: Micros = NOW, version: str = "3") -> None:
    """Two windows in which a harm's texts have moved from those that its version knows, or haven't."""
    slice_ = "against=reference;column=vocabulary"
    for hours in (1, 2):
        when = at - hours * clock.HOUR
        home.measure("text_drift", 0.4, lo=lo, slice_=slice_, at=when, harm=harm, hours=6, version=version)


def test_an_alert_about_texts_stands_under_a_harm_that_it_is_about_and_stays_there(home: Home) -> None:
    text_drift(home, "spam", -0.2)
    text_drift(home, "sexism", 0.2, version="7")
    (alert,) = home.judge().opened
    assert (alert.harm, alert.version, alert.detail.harms) == ("sexism", "7", ())
    assert alert.detail.title == "The texts of sexism have changed: vocabulary (compared with training)"
    # Of the two, the other one has moved farther by now.
    later = NOW + 6 * clock.HOUR
    text_drift(home, "spam", 0.3, at=later)
    text_drift(home, "sexism", 0.2, at=later, version="7")
    changes = home.judge(later)
    assert (changes.opened, changes.resolved) == ([], [])
    (alert,) = changes.open
    assert (alert.harm, alert.version, alert.detail.harms) == ("sexism", "7", ("spam",))
    assert alert.detail.title == "The texts of sexism and spam have changed: vocabulary (compared with training)"
    assert alert.detail.moved.startswith("drift.text of vocabulary for spam is 0.4, above its threshold of 0.1.")
    assert [slice_parts(one.slice)["harm"] for one in alert.detail.slices] == ["spam", "sexism"]
    # It is no longer about the harm under which it stands.
    later += 6 * clock.HOUR
    text_drift(home, "spam", 0.3, at=later)
    text_drift(home, "sexism", -0.2, at=later, version="7")
    (alert,) = home.judge(later).open
    assert (alert.harm, alert.detail.harms) == ("sexism", ("spam",))
    assert alert.detail.title == "The texts of spam have changed: vocabulary (compared with training)"


def test_an_outage_of_all_harms_is_one_alert(home: Home) -> None:
    home.measure("predictions_stopped", 1.0, lo=0.95, harm="sexism")
    home.measure("predictions_stopped", 0.1, lo=0.0, harm="spam")
    (opened,) = home.judge().opened
    assert (opened.harm, opened.slice) == ("sexism", "")
    assert opened.detail.title == "Hardly anything is scored for sexism"
    later = NOW + clock.HOUR
    for harm in ("spam", "sexism"):
        home.measure("predictions_stopped", 1.0, lo=0.95, at=later, harm=harm)
    changes = home.judge(later)
    assert (changes.opened, changes.resolved) == ([], [])
    (alert,) = changes.open
    assert (alert.seq, alert.detail.title) == (opened.seq, "Hardly anything is scored for sexism and spam")
    assert home.types() == ["alert.opened"]
    # It resolves once all are scored again.
    later += clock.HOUR
    home.measure("predictions_stopped", 0.0, lo=0.0, at=later, harm="sexism")
    home.measure("predictions_stopped", 1.0, lo=0.95, at=later, harm="spam")
    assert home.judge(later).resolved == []
    later += clock.HOUR
    home.measure("predictions_stopped", 0.0, lo=0.0, at=later, harm="sexism")
    home.measure("predictions_stopped", 0.0, lo=0.0, at=later, harm="spam")
    assert [one.seq for one in home.judge(later).resolved] == [opened.seq]


def test_an_outage_that_somebody_looks_after_fires_again_when_it_is_about_more(home: Home) -> None:
    home.measure("predictions_stopped", 1.0, lo=0.95, harm="sexism")
    home.measure("feed_stopped", 1.0, lo=0.95, harm="", slice_="kind=play;source=mobile")
    for alert in home.judge().opened:
        with home.engine.begin() as connection:
            alerts.acknowledge(connection, alert.seq, "ann", NOW)
    assert {one.state for one in home.judge().open} == {"acknowledged"}
    later = NOW + clock.HOUR
    home.measure("predictions_stopped", 1.0, lo=0.95, harm="sexism", at=later)
    home.measure("feed_stopped", 1.0, lo=0.95, harm="", slice_="kind=play;source=mobile", at=later)
    home.measure("feed_stopped", 1.0, lo=0.95, harm="", slice_="kind=play;source=web", at=later)
    states = {one.rule: one.state for one in home.judge(later).open}
    assert states == {"predictions_stopped": "acknowledged", "feed_stopped": "firing"}
    home.measure("predictions_stopped", 1.0, lo=0.95, harm="spam", at=later)
    states = {one.rule: one.state for one in home.judge(later).open}
    assert states == {"predictions_stopped": "firing", "feed_stopped": "firing"}


def test_a_source_that_stops_is_one_alert_whatever_it_sent(home: Home) -> None:
    for kind in ("play", "post", "user_report"):
        home.measure("feed_stopped", 1.0, lo=0.95, harm="", slice_=f"kind={kind};source=mobile")
    (alert,) = home.judge().opened
    assert (alert.harm, alert.slice) == ("", "")
    assert alert.detail.title == "Hardly any events arrive: source mobile"
    assert [slice_parts(one.slice)["kind"] for one in alert.detail.slices] == ["play", "post", "user_report"]


def test_alerts_that_an_earlier_release_opened_for_each_harm_become_one(home: Home) -> None:
    home.measure("predictions_stopped", 1.0, lo=0.95)
    (opened,) = home.judge().opened
    with home.engine.begin() as connection:
        alerts.add(connection, opened._replace(harm="sexism"))
    home.measure("predictions_stopped", 1.0, lo=0.95, harm="sexism")
    changes = home.judge()
    assert [(one.harm, one.note) for one in changes.resolved] == [
        ("sexism", "One alert of several harms is about it now.")
    ]
    assert [(one.seq, one.harms) for one in changes.open] == [(opened.seq, ("spam", "sexism"))]


def test_an_alert_about_several_harms_is_sent_unless_each_of_them_is_silenced(home: Home) -> None:
    home.silence("predictions_stopped", NOW + 4 * clock.HOUR, harm="spam")
    home.measure("predictions_stopped", 1.0, lo=0.95)
    home.judge()
    assert home.types() == []
    home.measure("predictions_stopped", 1.0, lo=0.95, harm="sexism")
    other = home.silence("predictions_stopped", NOW + 4 * clock.HOUR, harm="sexism")
    home.judge()
    assert home.types() == []
    with home.engine.begin() as connection:
        silences.end(connection, other.seq, NOW)
    home.judge()
    assert home.types() == ["alert.opened"]


def test_a_joined_alert_resolves_once_everything_in_it_is_quiet(home: Home) -> None:
    drift(home, "a", 0.2)
    drift(home, "b", 0.2)
    (opened,) = home.judge().opened
    later = NOW + 4 * clock.HOUR
    for hour in range(3):
        drift(home, "a", -0.1, at=later - hour * clock.HOUR)
    drift(home, "b", 0.2, at=later)
    (still,) = home.judge(later).open
    assert (still.seq, still.detail.title) == (opened.seq, "Inputs of spam have moved: b (compared with training)")
    later += 4 * clock.HOUR
    for column in "ab":
        for hour in range(3):
            drift(home, column, -0.1, at=later - hour * clock.HOUR)
    assert [one.seq for one in home.judge(later).resolved] == [opened.seq]


def test_an_acknowledged_alert_fires_again_when_what_is_known_also_differs_from_the_windows_before(home: Home) -> None:
    drift(home, "a", 0.2)
    (opened,) = home.judge().opened
    with home.engine.begin() as connection:
        alerts.acknowledge(connection, opened.seq, "ann", NOW, note="a new app version")
    drift(home, "b", 0.2)
    assert [one.state for one in home.judge().open] == ["acknowledged"]
    drift(home, "b", 0.2, against="before")
    (again,) = home.judge().open
    assert (again.seq, again.state, again.acknowledged_by) == (opened.seq, "firing", None)
    home.judge()
    assert [(one.state, one.note) for one in home.alerts()] == [("firing", "a new app version")]


def test_alerts_that_an_earlier_release_opened_for_each_input_resolve(home: Home) -> None:
    drift(home, "a", 0.2)
    (opened,) = home.judge().opened
    with home.engine.begin() as connection:
        alerts.change(connection, opened.seq, slice="against=reference;column=a")
    changes = home.judge()
    assert [one.note for one in changes.resolved] == ["One alert of the harm is about it now."]
    assert [one.slice for one in changes.opened] == [""]


def test_an_alert_that_came_and_went_during_a_pause_is_in_the_history_and_the_digest(home: Home) -> None:
    home.change(rules={"queue_old": RulePolicy(retrain=True)})
    home.judge()
    for hour, value in ((1, 3.0), (2, 30.0), (3, 50.0), (4, 1.0), (5, 1.0)):
        home.measure("queue_old", value, at=NOW + hour * clock.HOUR)
    now = NOW + 5 * clock.HOUR
    changes = home.judge(now)
    assert (changes.opened, changes.open) == ([], [])
    (passed,) = changes.resolved
    assert (passed.state, passed.value, passed.worst, passed.resolved_at) == ("resolved", 50.0, 26.0, now)
    assert passed.since == NOW + clock.HOUR
    assert passed.note == (
        f"It was over when monitoring ran again: nothing was judged from {clock.to_text(NOW)} to {clock.to_text(now)}."
    )
    assert passed.detail.retraining is None
    assert len(home.alerts()) == 1
    # It is over: nobody is woken up, and it isn't found again.
    assert home.types() == []
    home.judge(now + clock.HOUR)
    assert len(home.alerts()) == 1
    home.judge(digest_due(home.policies.monitoring, now) + clock.DAY)
    assert home.sent()[-1]["data"]["resolved"] == 1


def test_what_began_in_a_pause_and_has_not_returned_below_its_second_limit_is_open(home: Home) -> None:
    home.judge()
    home.measure("queue_old", 30.0, at=NOW + 2 * clock.HOUR)
    home.measure("queue_old", 22.0, at=NOW + 3 * clock.HOUR)
    (opened,) = home.judge(NOW + 3 * clock.HOUR).open
    assert opened.state == "firing"
    assert home.types() == ["alert.opened"]


def test_without_a_pause_a_window_is_judged_once(home: Home) -> None:
    home.measure("queue_old", 30.0)
    home.judge()
    home.measure("queue_old", 1.0, at=NOW + clock.HOUR)
    for minutes in (10, 60, 110):
        home.judge(NOW + minutes * clock.MINUTE)
    assert [one.state for one in home.alerts()] == ["resolved"]


def test_a_page_that_gets_much_worse_is_sent_again(home: Home) -> None:
    home.measure("queue_old", 30.0)
    home.judge()
    home.measure("queue_old", 40.0, at=NOW + clock.HOUR)
    home.judge(NOW + clock.HOUR // 2)
    assert home.types() == ["alert.opened"]
    home.judge(NOW + clock.HOUR)
    home.judge(NOW + clock.HOUR)
    assert home.types() == ["alert.opened", "alert.worsened"]


def test_an_acknowledged_alert_is_not_sent_again_until_it_resolves(home: Home) -> None:
    home.measure("queue_old", 30.0)
    (opened,) = home.judge().opened
    with home.engine.begin() as connection:
        alerts.acknowledge(connection, opened.seq, "ann", NOW, note="on it")
    home.measure("queue_old", 80.0, at=NOW + 2 * clock.HOUR)
    home.judge(NOW + 2 * clock.HOUR)
    (found,) = home.alerts()
    assert (found.state, found.acknowledged_by, found.note, found.value) == ("acknowledged", "ann", "on it", 80.0)
    assert home.types() == ["alert.opened"]
    home.measure("queue_old", 1.0, at=NOW + 3 * clock.HOUR)
    home.judge(NOW + 3 * clock.HOUR)
    assert home.types() == ["alert.opened", "alert.resolved"]


@pytest.mark.parametrize(("rule", "harm"), [("queue_old", "spam"), ("queue_old", "*"), ("*", "*")])
def test_a_silenced_alert_is_recorded_and_sent_when_the_silence_ends(home: Home, rule: str, harm: str) -> None:
    home.silence(rule, NOW + 2 * clock.HOUR, harm=harm)
    home.measure("queue_old", 30.0)
    assert len(home.judge().opened) == 1
    assert home.sent() == []
    home.judge(NOW + 2 * clock.HOUR)
    assert home.types() == ["alert.opened"]


def test_a_silence_of_something_else_has_no_effect(home: Home) -> None:
    home.silence("skew", NOW + clock.HOUR)
    home.silence("queue_old", NOW + clock.HOUR, harm="sexism")
    ended = home.silence("queue_old", NOW + clock.HOUR)
    with home.engine.begin() as connection:
        silences.end(connection, ended.seq, NOW)
    home.measure("queue_old", 30.0)
    home.judge()
    assert home.types() == ["alert.opened"]


def test_an_alert_that_was_never_sent_resolves_silently(home: Home) -> None:
    home.silence("queue_old", NOW + clock.HOUR)
    home.measure("queue_old", 30.0)
    home.judge()
    home.measure("queue_old", 1.0, at=NOW + 2 * clock.HOUR)
    home.judge(NOW + 2 * clock.HOUR)
    assert home.sent() == []
    assert [one.state for one in home.alerts()] == ["resolved"]


def test_an_alert_resolves_when_its_metric_is_not_measured_any_more(home: Home) -> None:
    home.measure("queue_old", 30.0)
    home.judge()
    assert home.judge(NOW + 2 * clock.DAY).resolved == []
    (resolved,) = home.judge(NOW + 2 * clock.DAY + clock.HOUR).resolved
    assert resolved.note == "It wasn't measured any more for two days."


@pytest.mark.parametrize(
    "changes",
    [{"rules": {"queue_old": RulePolicy(enabled=False)}}, {"rules": {"queue_old": RulePolicy(harms=("sexism",))}}],
)
def test_an_alert_resolves_when_its_rule_is_switched_off(home: Home, changes: dict[str, Any]) -> None:
    home.measure("queue_old", 30.0)
    home.judge()
    home.change(**changes)
    (resolved,) = home.judge().resolved
    assert resolved.note is not None
    assert "switched off" in resolved.note
    assert home.judge().opened == []


def test_values_of_harms_that_are_gone_are_left_out(home: Home) -> None:
    home.measure("queue_old", 30.0, harm="gone")
    assert home.judge().opened == []


def test_old_values_open_nothing(home: Home) -> None:
    home.measure("queue_old", 30.0, at=NOW - 3 * clock.DAY)
    assert home.judge().opened == []
    # Those of windows of a week are newest for longer.
    home.measure("miscalibrated", 9.0, lo=9.0, at=NOW - 3 * clock.DAY, hours=168)
    assert len(home.judge().opened) == 1


def test_a_rule_that_becomes_a_page_is_sent_at_once(home: Home) -> None:
    home.measure("promise_gap", 0.5, lo=0.3)
    home.judge()
    assert home.sent() == []
    home.change(rules={"promise_gap": RulePolicy(severity="page")})
    home.judge()
    assert home.types() == ["alert.opened"]


def test_without_a_webhook_nothing_is_written_for_it(home: Home) -> None:
    home.change(webhook=None)
    home.measure("queue_old", 30.0)
    home.judge()
    assert home.sent() == []
    # Had it been sent later, people would get alerts of days ago when they name a webhook.
    home.change()
    home.judge()
    assert home.sent() == []


def test_the_webhook_may_be_for_pages_only(home: Home) -> None:
    home.change(webhook=WebhookPolicy(url="https://hooks.example.com/x", severities=("page",)))
    home.judge(NOW - clock.DAY)
    home.measure("queue_old", 30.0)
    home.judge(NOW)
    assert home.types() == ["alert.opened"]


def test_an_alert_says_what_else_happened(home: Home) -> None:
    promote(home.engine, "3", NOW - 2 * clock.HOUR)
    promote(home.engine, "2", NOW - 3 * clock.DAY)
    retreat = {"at": NOW - clock.HOUR, "harm": "spam", "version": "4", "why": "It is slow", "host": "h"}
    with home.engine.begin() as connection:
        connection.execute(sa.insert(canary_retreats).values(**retreat))
        volumes = [
            MetricRow("", "", "kind=play", at - clock.HOUR, at, "events.volume", value, None, None, int(value), "count")
            for at, value in ((NOW, 900.0), (NOW - clock.DAY, 300.0), (NOW - 7 * clock.DAY, 280.0))
        ]
        metric_rows.write(connection, "run", volumes)
    home.measure("feed_stopped", 1.0, slice_="kind=user_report", harm="")
    home.measure("queue_old", 30.0, harm="sexism")
    home.measure("inputs_missing", 0.9, lo=0.8, slice_="column=a")
    home.judge()
    (alert,) = [one for one in home.alerts() if one.rule == "inputs_missing"]
    said = [one.what for one in alert.detail.also]
    assert "Version 3 became champion (me)." in said
    assert "The canary, version 4, retreated: It is slow." in said
    assert "900 events (kind=play) in 1 h, 3.0 times as many as usual." in said
    assert "Hardly any events arrive: kind user_report" in said
    assert not any("sexism" in text or "Version 2" in text for text in said)
    assert alert.detail.affected is not None
    assert alert.detail.affected.query == "/v1/leads?harm=spam&state=open"
    assert alert.detail.todo.startswith("Check the feed")
    assert alert.detail.moved == "inputs.missing is 0.9 (at least 0.8); the limit is 0.2."


def test_a_change_of_the_policies_is_remembered(home: Home) -> None:
    home.judge(NOW - 3 * clock.HOUR)
    changed = home.policies.harms["spam"].model_copy(update={"severity": 9.5})
    home.policies = home.policies.model_copy(update={"harms": {**home.policies.harms, "spam": changed}})
    home.judge(NOW - 2 * clock.HOUR)
    home.measure("queue_old", 30.0)
    home.judge()
    (alert,) = home.alerts()
    assert [one.what for one in alert.detail.also] == ["The policies were changed."]
    assert alert.detail.also[0].at == NOW - 2 * clock.HOUR


def test_a_slice_of_a_type_names_the_leads_of_this_type(home: Home) -> None:
    home.measure("queue_old", 30.0, slice_="type=comment")
    home.judge()
    (alert,) = home.alerts()
    assert alert.detail.affected is not None
    assert alert.detail.affected.query == "/v1/leads?harm=spam&typeId=comment&state=open"
    assert alert.detail.title == "The oldest open lead of spam has waited too long (type comment)"


def test_one_retraining_for_a_harm_at_a_time(home: Home) -> None:
    home.change(rules={name: RulePolicy(retrain=True) for name in ("inputs_missing", "queue_old")})
    home.measure("inputs_missing", 0.9, lo=0.8, slice_="column=a")
    home.measure("inputs_missing", 0.9, lo=0.7, slice_="column=b")
    home.measure("queue_old", 30.0, harm="sexism")
    home.judge()
    states = {(one.harm, one.slice): one.detail.retraining for one in home.alerts()}
    assert all(states.values())
    assert {key: one.state for key, one in states.items() if one is not None} == {
        ("spam", "column=a"): "waiting",
        ("spam", "column=b"): "skipped",
        ("sexism", ""): "waiting",
    }
    home.judge()
    assert {(one.harm, one.slice): one.detail.retraining for one in home.alerts()} == states


def test_values_that_are_not_numbers_can_be_stored(home: Home) -> None:
    home.measure("miscalibrated", float("inf"), lo=float("inf"))
    home.judge()
    (alert,) = home.alerts()
    assert (alert.value, alert.worst) == (None, None)
    json.dumps(home.sent(), allow_nan=False)


def test_each_alert_is_a_line_in_the_log(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="monitoring.alerts.judge")
    home.measure("queue_old", 30.0)
    home.judge()
    home.judge()
    home.measure("queue_old", 1.0, at=NOW + clock.HOUR)
    home.judge(NOW + clock.HOUR)
    title = "The oldest open lead of spam has waited too long"
    assert [one.getMessage() for one in caplog.records] == [f"alert 1 opened: {title}", f"alert 1 resolved: {title}"]


def test_the_digest_is_due_once_a_day(home: Home) -> None:
    policy = home.policies.monitoring
    assert digest_due(policy, START + 7 * clock.HOUR) == START + 7 * clock.HOUR
    assert digest_due(policy, START + 7 * clock.HOUR - 1) == START - 17 * clock.HOUR
