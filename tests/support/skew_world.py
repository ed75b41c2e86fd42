"""A platform whose predictions can be derived again: events in portions, a worker that may die, an API beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from features.declared.builtin import LAYOUT_OF
from features.declared.generations import live
from features.materialize import Materializer
from features.online.codec import bytes_value, entity_key, row_in
from features.online.reader import open_reader
from features.rows import links_in, pack, unpack
from leads import clock
from leads.db import event_log
from leads.db.engine import open_engine
from leads.events import ItemCreated, RecordedEvent, Subject
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from monitoring.skew.check import check
from monitoring.skew.results import SkewResult
from serving.scoring.inputs import ScoreRequest
from serving.scoring.scorer import Scorer
from serving.versions.published import PublishedVersions
from serving.worker.worker import Worker
from tests.support.features.history import history
from tests.support.serving.world import POLICIES, publish

N, PORTIONS = 2_400, 6


class SkewWorld:
    """A home with two small models. Events come in `PORTIONS`, some late, each with an edit of an earlier comment."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = open_engine(settings)
        for harm in ("spam", "stream_manipulation"):
            publish(settings, harm, features=live(self.engine))
        self.published = PublishedVersions(settings, POLICIES, self.engine)
        self.published.refresh()
        self.reader = open_reader(settings)
        self.log = PredictionLog(settings.predictions_dir, owner="test")
        self.scorer = Scorer(self.engine, POLICIES, self.reader, self.published, self.log)
        self.waiting = list(history(N, days=1.2))
        self.sent: list[RecordedEvent] = []
        self.now = 0
        self.start_worker()

    def start_worker(self) -> None:
        """A new one; what the one before had not written is lost, as when it is killed."""
        self.materializer = Materializer(self.settings, self.engine, read=170)
        self.worker = Worker(POLICIES, self.engine, self.scorer, self.published, self.materializer)
        self.worker._resume()

    def send(self) -> int:
        """Append the next portion; returns when its first event became visible."""
        size = N // PORTIONS
        portion, self.waiting = self.waiting[:size], self.waiting[size:]
        edited = next(one.body for one in portion if isinstance(one.body, ItemCreated))
        at = portion[-1].visible_at + 5
        body = ItemCreated(edited.subject, edited.account_id, edited.parent, f"{edited.text} EDITED at {at}!!")
        portion.append(RecordedEvent(f"edit-{at}", at, at, body))
        with self.engine.begin() as connection:
            self.now = event_log.append_recorded(connection, "test", portion).head.visible_at
        self.sent += portion
        return portion[0].visible_at

    def work(self, steps: int = 1_000) -> None:
        """The worker looks at the log so often, or until nothing is new."""
        for _ in range(steps):
            if not self.worker.step():
                break

    def finish(self) -> None:
        """Everything that is folded goes to the segments."""
        self.materializer.flush()

    def ask(self, at: int, subjects: list[Subject] | None = None, **given: object) -> None:
        """Score as the API does, at an instant: some accounts and comments, or those named."""
        if subjects is None:
            subjects = [Subject("account", f"a{i}") for i in range(0, 400, 7)] + self.comments()[::4]
        self.scorer.score([ScoreRequest(one, **given) for one in subjects], at, "api")  # type: ignore[arg-type]

    def comments(self, account_id: str | None = None) -> list[Subject]:
        """Comments that were sent, of all accounts or one."""
        bodies = (one.body for one in self.sent)
        made = (body for body in bodies if isinstance(body, ItemCreated) and account_id in (None, body.account_id))
        return list(dict.fromkeys(body.subject.subject for body in made))

    def prove(self, **given: object) -> SkewResult:
        self.log.flush()
        return check(self.settings, length=3 * clock.DAY, **given)  # type: ignore[arg-type]

    def stored(self, view: str, key: str) -> dict[str, bytes]:
        """An online row as SQLite holds it, by feature."""
        with self._online() as online:
            query = f"SELECT feature_name, value FROM leads_{view} WHERE entity_key = ?"
            return dict(online.execute(query, (entity_key(LAYOUT_OF[view].join_key, key),)).fetchall())

    def put(self, view: str, key: str, values: dict[str, bytes]) -> None:
        """Change features of an online row behind the worker's back."""
        with self._online() as online:
            for name, value in values.items():
                query = f"UPDATE leads_{view} SET value = ? WHERE entity_key = ? AND feature_name = ?"
                assert online.execute(query, (value, entity_key(LAYOUT_OF[view].join_key, key), name)).rowcount == 1

    def add(self, view: str, key: str, cell: int, amount: float) -> None:
        """Change one cell of an online row."""
        name = LAYOUT_OF[view].packed_name
        layout = LAYOUT_OF[view]
        row = row_in(layout, self.stored(view, key)[name])
        assert row is not None
        cells = unpack(layout, [row]).copy()
        cells[0, cell] += amount
        self.put(view, key, {name: bytes_value(pack(layout, cells, [links_in(layout, row)])[0])})

    def remove(self, view: str, key: str) -> None:
        """Lose an online row, whole."""
        with self._online() as online:
            done = online.execute(
                f"DELETE FROM leads_{view} WHERE entity_key = ?", (entity_key(LAYOUT_OF[view].join_key, key),)
            )
            assert done.rowcount == 1

    @contextmanager
    def _online(self) -> Iterator[sqlite3.Connection]:
        online = sqlite3.connect(self.settings.features_dir / "online.db")
        try:
            with online:
                yield online
        finally:
            online.close()

    def close(self) -> None:
        self.log.close()
        self.reader.close()
        self.engine.dispose()


def columns_of(result: SkewResult) -> dict[str, set[str]]:
    """By kind, the columns that differ."""
    found: dict[str, set[str]] = {}
    for harm in result.harms:
        for one in harm.differences:
            found.setdefault(one.kind, set()).add(one.column)
    return found
