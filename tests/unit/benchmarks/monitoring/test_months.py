"""Changes are planted in simulated events as the benchmark says, and count as named only by what names them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.monitoring.months import plan
from benchmarks.monitoring.months.changes import Changes
from benchmarks.monitoring.months.events import Events, Simulated, batches, comment_of, language_of, sender_of
from benchmarks.monitoring.months.plan import Planted, planned
from benchmarks.monitoring.months.watch import Told, stops
from benchmarks.monitoring.planted import EXPECTED, GRACE
from leads import clock
from leads.clock import Micros
from leads.events import DecisionMade, ItemCreated, Played, SignalReceived
from simulation.config import DEFAULT_START, Period, SimulationConfig
from simulation.history import simulate
from tests.support.monitoring.page_contents import alert

CONFIG = SimulationConfig(
    accounts=150, periods=(Period("first", 1), Period("second", 1)), plays_per_day=4.0, comments_per_day=2.0
)
DAY_2: Micros = DEFAULT_START + clock.DAY

Play = Callable[[str], Events]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "simulation"
    simulate(CONFIG, path)
    return path


@pytest.fixture
def second_day(folder: Path) -> Play:
    """The second day's events, with a change that lasts all day."""

    def play(name: str) -> Events:
        changes = Changes(CONFIG, [Planted(name, DAY_2, DAY_2 + clock.DAY)] if name else [])
        simulated, found = Simulated(folder), []
        for hour in range(DEFAULT_START, DAY_2 + clock.DAY, clock.HOUR):
            events = changes.changed(simulated.before(hour + clock.HOUR), hour)
            assert all(hour <= event.visible_at < hour + clock.HOUR for event in events)
            found += events
        assert [one.visible_at for one in found] == sorted(one.visible_at for one in found)
        assert len({(sender_of(one), one.id) for one in found}) == len(found)
        return [one for one in found if one.visible_at >= DAY_2]

    return play


def _texts(events: Events) -> dict[str, ItemCreated]:
    return {body.subject.id: body for one in events if (body := comment_of(one)) is not None}


def test_comments_state_language_and_genre_and_each_sender_has_events(second_day: Play) -> None:
    events = second_day("")
    assert {body.fields["language"] for body in _texts(events).values()} == {"en", "de"}
    assert {sender_of(one) for one in events} == {"mobile", "web", "partner", "reports", "reviews"}


def test_senders_send_everything_once_and_apps_come_before_reports(second_day: Play) -> None:
    events = second_day("")
    sent = [(sender, event) for sender, some in batches(events) for event in some]
    assert Counter(event.id for _, event in sent) == Counter(event.id for event in events)
    assert all(sender_of(event) == sender for sender, event in sent)
    created = {body.subject: i for i, (_, one) in enumerate(sent) if isinstance(body := one.body, ItemCreated)}
    reported = [(one.body.subject, i) for i, (_, one) in enumerate(sent) if isinstance(one.body, SignalReceived)]
    assert all(created.get(subject, -1) < i for subject, i in reported)


def test_a_broken_feed_lacks_the_plays_of_one_sender(second_day: Play) -> None:
    plays = Counter(sender_of(one) for one in second_day("broken_feed") if isinstance(one.body, Played))
    assert plays["mobile"] == 0 < plays["web"]


def test_a_wrong_clock_moves_one_sender_by_a_day(second_day: Play) -> None:
    for one in second_day("clock_off"):
        late = one.visible_at - one.occurred_at >= clock.DAY
        assert late == (sender_of(one) == "partner")


def test_a_brigade_reports_three_comments_in_each_hour(second_day: Play) -> None:
    reported = [one for one in second_day("report_brigade") if one.id.startswith("planted")]
    by_hour = Counter((one.visible_at // clock.HOUR, one.body.subject) for one in reported)
    assert sorted(by_hour.values()) == sorted([60, 55, 48] * 24)


def test_a_wave_begins_with_the_change(second_day: Play) -> None:
    posts = [one for one in second_day("spam_wave") if comment_of(one) and one.id.startswith("planted")]
    assert posts[0].visible_at < DAY_2 + 2 * clock.MINUTE
    assert len(posts) >= 0.8 * 0.35 * CONFIG.comments_per_day * CONFIG.accounts
    assert all(one.body.fields for one in posts if isinstance(one.body, ItemCreated))


def test_only_german_comments_get_an_advertisement(second_day: Play) -> None:
    before, after = _texts(second_day("")), _texts(second_day("one_slice"))
    longer = [id_ for id_ in before if len(after[id_].text) > len(before[id_].text)]
    german = [id_ for id_, body in before.items() if language_of(body.account_id) == "de"]
    assert longer == german
    assert len(german) < len(before)


def test_farms_play_at_night_from_many_devices(second_day: Play) -> None:
    plays = [one for one in second_day("farm_tactic") if isinstance(one.body, Played) and one.id.startswith("planted")]
    assert len({one.body.account_id for one in plays if isinstance(one.body, Played)}) == CONFIG.accounts // 15
    at_night = sum(one.occurred_at % clock.DAY < 6 * clock.HOUR for one in plays)
    assert at_night > len(plays) / 2


def test_a_genre_is_renamed(second_day: Play) -> None:
    genres = {body.fields["genre"] for body in _texts(second_day("renamed_category")).values()}
    assert "talks" in genres
    assert "talk" not in genres


def test_a_topic_takes_words_of_a_quarter_of_the_comments(second_day: Play) -> None:
    before, after = _texts(second_day("")), _texts(second_day("vocabulary"))
    share = sum(after[id_].text != body.text for id_, body in before.items()) / len(before)
    assert 0.1 < share < 0.4


def test_some_violations_do_not_count_any_more(second_day: Play) -> None:
    def violating(name: str) -> int:
        bodies = [one.body for one in second_day(name)]
        return sum(isinstance(body, DecisionMade) and body.verdict == "violating" for body in bodies)

    assert 0.3 < violating("label_policy") / violating("") < 0.9


def test_every_change_is_planned_once_after_the_quiet_days() -> None:
    began = DEFAULT_START
    for seed in (1, 2, 3):
        found = planned(seed, began)
        assert {one.name for one in found} == set(EXPECTED)
        assert found[0].since >= began + plan.QUIET_DAYS * clock.DAY
        assert [one.since for one in found] == sorted(one.since for one in found)
    assert len({planned(seed, began)[0].since % clock.DAY for seed in (1, 2, 3)}) == 3


def test_changes_that_move_the_same_texts_are_far_apart() -> None:
    # Windows of 72 hours, of which three in a row, one every twelve hours, must be without the earlier change.
    found = {one.name: one for one in planned(1, DEFAULT_START)}
    for earlier, later in (("one_slice", "spam_wave"), ("spam_wave", "vocabulary"), ("broken_feed", "farm_tactic")):
        assert found[later].since - found[earlier].until >= (72 + 24) * clock.HOUR


def test_monitoring_runs_every_hour_until_a_short_limit_and_else_twice_a_day() -> None:
    first = DEFAULT_START + clock.DAY
    short = Planted("clock_off", first + 5 * clock.HOUR, first + 6 * clock.HOUR)
    long = Planted("label_policy", first + 20 * clock.HOUR, first + 40 * clock.HOUR)
    found = stops(DEFAULT_START, first, first + 2 * clock.DAY, (short, long))
    assert [(at - first) // clock.HOUR for at in found] == [0, 6, 12, 24, 36, 48]


def test_only_what_an_alert_says_anew_after_the_change_names_it() -> None:
    planted = Planted("clock_off", DEFAULT_START, DEFAULT_START + clock.DAY)
    opened = alert("clock_off", "page", source="partner")
    in_time, too_early = planted.limit + GRACE, planted.since + GRACE

    def hours(*runs: Micros) -> float | None:
        told = Told(1, [planted])
        for now in runs:
            told.look([opened], now)
        return told.month.hours["clock_off"]

    assert hours(in_time) == pytest.approx(1.1)
    assert hours(in_time + 1) is None
    # A run just after the change has measured what was before it.
    assert hours(too_early) is None
    assert hours(too_early, in_time) is None


def test_alerts_before_the_first_change_are_counted_once() -> None:
    told = Told(1, [Planted("clock_off", DEFAULT_START, DEFAULT_START + clock.DAY)])
    for now in (DEFAULT_START - 2, DEFAULT_START - 1):
        told.look([alert("input_drift", column="a")], now)
    assert told.month.quiet == {"digest": 1, "digest input_drift": 1}


def test_a_wave_is_named_only_by_alerts_of_its_harm() -> None:
    planted = Planted("spam_wave", DEFAULT_START, DEFAULT_START + clock.DAY)
    about = alert("score_drift")
    assert planted.named_by(about._replace(harm="spam"), ["against=before"])
    assert not planted.named_by(about._replace(harm="harassment"), ["against=before"])
