"""The floor in process: the least work that scores known items, done with the stores' own clients."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import msgspec
import numpy as np

from benchmarks.serving.world import END, HARMS, ServedWorld
from features.declared.builtin import ACCOUNT, ROLES
from features.evaluate.columns import evaluate
from features.feast.online_config import PROJECT
from features.layout import Matrix
from features.online.codec import entity_keys, row_in, row_of, rows_in
from features.online.reader import Fetched, open_reader
from features.online.redis import field_names
from features.online.stores import open_online_store
from features.redis.address import redis_options
from features.rows import join, links_in
from leads.events import Subject
from models.version import ModelVersion, load

# The second condition on the kind lets SQLite use the partial index without plays.
_SELECT = (
    "SELECT raw FROM events WHERE type_id = ? AND kind = 'item_created' AND kind <> 'played' AND subject_id IN ({})"
)


class Floor:
    """Texts by one query, rows by one pipeline, one prediction, JSON. Single-threaded.

    Attributes:
        matrix: (items, columns) the features of the world's ids, in their order, as of the world's last instant.
        texts: of the world's ids, in their order.
    """

    def __init__(self, world: ServedWorld) -> None:
        import redis

        assert world.redis.redis_url is not None
        self._place = {id_: i for i, id_ in enumerate(world.ids)}
        self._database = sqlite3.connect(world.redis.root / "leads.db")
        self._redis: Any = redis.Redis(**redis_options(world.redis.redis_url.get_secret_value()))
        self.versions = {harm: _champion(world, harm) for harm in HARMS}
        self.fetched = _fetch(world)
        self.keys = _keys(world, self.fetched)
        self.texts = self._texts(world.ids)
        spam = self.versions["spam"]
        at = np.full(len(world.ids), END)
        self.matrix: Matrix = evaluate(spam.contract, self.fetched.packed, at, self.texts).matrix
        self._inputs = {harm: self._input(version) for harm, version in self.versions.items()}

    def score(self, ids: Sequence[str], harms: int) -> bytes:
        """The least that an answer takes."""
        self._raw_texts(ids)
        rows = [self._place[id_] for id_ in ids]
        self._rows(rows)
        found = []
        for harm in HARMS[:harms]:
            vector = self._inputs[harm][rows]
            found.append(self.versions[harm].booster.inplace_predict(vector, validate_features=False).tolist())
        return msgspec.json.encode({"scores": found})

    def cpu_s(self, batches: Sequence[Sequence[str]], harms: int) -> float:
        """Processor seconds that this process takes to score all batches."""
        began = time.process_time()
        for ids in batches:
            self.score(ids, harms)
        return time.process_time() - began

    def close(self) -> None:
        self._database.close()
        self._redis.close()

    def vectors(self, harm: str) -> Matrix:
        """(items, inputs) the input of the harm's booster for the world's ids."""
        return self._inputs[harm]

    def _input(self, version: ModelVersion) -> Matrix:
        return np.column_stack((self.matrix, version.text_scores(self.texts))).astype(np.float32)

    def _raw_texts(self, ids: Sequence[str]) -> list[bytes]:
        query = _SELECT.format(",".join("?" * len(ids)))
        return [raw for (raw,) in self._database.execute(query, ("comment", *ids))]

    def _texts(self, ids: Sequence[str]) -> list[str | None]:
        bodies = [msgspec.json.decode(raw)["body"] for raw in self._raw_texts(ids)]
        known = {body["subject"]["id"]: body["text"] for body in bodies}
        return [known.get(id_) for id_ in ids]

    def _rows(self, rows: Sequence[int]) -> None:
        """Read each role's rows, each entity once, as one array per role."""
        pipeline = self._redis.pipeline(transaction=False)
        wanted = [(role, list(dict.fromkeys(key for i in rows if (key := self.keys[role][i])))) for role in ROLES]
        for role, keys in wanted:
            layout = ROLES[role]
            (name,) = field_names(layout.view, (layout.packed_name,))
            for entity in entity_keys(layout.join_key, keys):
                pipeline.hget(entity + PROJECT.encode(), name)
        answers = iter(pipeline.execute())
        found = []
        for role, keys in wanted:
            stored = rows_in(ROLES[role], [next(answers) for _ in keys])
            found.append((ROLES[role], [row for row in stored if row is not None]))
        join(found)


def _champion(world: ServedWorld, harm: str) -> ModelVersion:
    (folder,) = [x for x in (world.redis.published_dir / harm).iterdir() if x.name.isdecimal()]
    return load(folder)


def _fetch(world: ServedWorld) -> Fetched:
    with closing(open_reader(world.redis)) as reader:
        return reader.fetch([Subject("comment", id_) for id_ in world.ids])


def _keys(world: ServedWorld, fetched: Fetched) -> dict[str, list[str | None]]:
    """For each role, the entity of each item, as the reader asks for them."""
    ids = world.ids
    account, parent, bucket_0, bucket_1 = ([link[i] for link in fetched.links] for i in range(4))
    items: list[str | None] = [Subject("comment", id_).key for id_ in ids]
    linked = {"account": account, "parent": parent, "bucket_0": bucket_0, "bucket_1": bucket_1}
    return {"item": items, **linked, "device": _devices(world, account)}


def _devices(world: ServedWorld, accounts: Sequence[str | None]) -> list[str | None]:
    """The device that each account's row links to."""
    known = [account for account in dict.fromkeys(accounts) if account]
    with closing(open_online_store(world.redis)) as store:
        ((values,),) = store.get([row_of(ACCOUNT, known)])
    rows = [row_in(ACCOUNT, raw) for raw in values]
    device = {account: links_in(ACCOUNT, row)[0] for account, row in zip(known, rows, strict=True) if row is not None}
    return [device.get(account) if account else None for account in accounts]
