"""Systems that are measured in turns, one of which fails."""

from __future__ import annotations

from typing import cast

from benchmarks.serving.cells import NOOP, PRODUCTION, REDIS, SQLITE, Cell, Memory, Results, Schedule
from benchmarks.serving.load import LoadRun
from benchmarks.serving.rounds import interleaved
from benchmarks.serving.systems.peer import Pair
from benchmarks.serving.systems.systems import NoopRoute
from benchmarks.serving.tables import grids, measures_of
from benchmarks.serving.world import ServedWorld
from leads.errors import LeadsError

SCHEDULE = Schedule((1, 100), (1, 16), (1,), rounds=2, seconds=0.0)


FLOOR_RATIO = "100 items, 1 harm, Redis: processor time / floor's"


class FakeSystem:
    """Answers each request in this many seconds, and fails from some round on."""

    def __init__(self, name: str, seconds: float, fails_in: int | None = None, wrong: int = 0) -> None:
        self.name = name
        self.ran: list[tuple[Cell, int]] = []
        self._seconds = seconds
        self._fails_in = fails_in
        self._wrong = wrong

    def wait(self) -> None:
        pass

    def run(self, cell: Cell, seconds: float, round_: int) -> LoadRun:
        self.ran.append((cell, round_))
        if round_ == self._fails_in:
            raise LeadsError("The server has gone.")
        return LoadRun([self._seconds] * 10, 10 * self._seconds, self._wrong, (b"what it said",))

    def cpu_s(self) -> float:
        return float(len(self.ran))


def run(*systems: FakeSystem) -> Results:
    results = Results((REDIS, SQLITE, PRODUCTION, Pair.name), SCHEDULE)
    noop = cast("NoopRoute", FakeSystem(NOOP, 0.0005))
    world = cast("ServedWorld", None)
    interleaved(world, systems, noop, None, SCHEDULE, results)
    results.failures["floor"] = "It was not started."
    results.memory = {name: Memory(300.0, 200.0) for name in (REDIS, SQLITE)}
    return results


def test_a_system_that_fails_is_left_out_and_the_others_go_on() -> None:
    systems = [FakeSystem(REDIS, 0.001), FakeSystem(SQLITE, 0.002), FakeSystem(Pair.name, 0.02, fails_in=1)]
    results = run(*systems)
    assert results.failures[Pair.name] == "The server has gone."
    assert [len(system.ran) for system in systems] == [12, 12, 5]
    found = {measure.name: measure for measure in measures_of(results)}
    assert found["1 item, 1 harm, Redis: p50"].value == 1.0
    assert found["100 items, 1 harm, SQLite: p50"].value == 2.0
    assert found["memory of an API process with 5 harms, Redis, PSS"].holds
    for name in (
        "1 item, 1 harm, Redis: times faster than Feast + MLflow",
        "100 items, 1 harm, Redis: processor time / floor's",
    ):
        assert (found[name].value, found[name].holds) == (None, False)
        assert found[name].bar
    first = grids(results)[0].rows
    assert first[0] == ("ours, Redis", "1", "1", "1 / 1", "1 / 1")
    assert first[2] == ("ours, PostgreSQL and Redis", "1", "1", "failed", "failed")
    assert first[3] == ("Feast + MLflow", "1", "1", "failed", "failed")


def test_when_nothing_fails_every_value_is_there() -> None:
    results = run(FakeSystem(REDIS, 0.001), FakeSystem(SQLITE, 0.002), FakeSystem(Pair.name, 0.02))
    found = {measure.name: measure.value for measure in measures_of(results)}
    assert found["1 item, 1 harm, Redis: times faster than Feast + MLflow"] == 20.0
    assert found["1 item, 1 harm, 16 connections, Redis: throughput"] == 1_000.0


def test_wrong_answers_are_a_failure_that_quotes_one() -> None:
    results = run(FakeSystem(REDIS, 0.001, wrong=3), FakeSystem(SQLITE, 0.002), FakeSystem(Pair.name, 0.02))
    assert "3 of 10 answers were wrong, for example: what it said" in results.failures[REDIS]
    assert SQLITE not in results.failures


def test_every_row_has_a_name_of_its_own() -> None:
    names = [measure.name for measure in measures_of(run())]
    assert len(names) == len(set(names))
