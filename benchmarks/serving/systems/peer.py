"""The peer, which a user would run instead: `feast serve` and `mlflow models serve`, joined by a thin client.

It is set up to be fast, as somebody who knows both would do it: scalar features in one view per entity on the same
Redis, one request to Feast for all items of a call, connections kept open, no access log, no restarts of workers, one
worker each, the same booster saved by `mlflow.xgboost` with an inferred signature, one request to MLflow for all items.
(Without a signature MLflow answers one row in less than half the time, but reads a missing value as an object and
rejects the column, unless the client sends NaN, which is not valid JSON.) The client gets for free what it would have
to look up or compute: the keys of each item's account, parent, bucket and device, and its text columns. Of an item's
two buckets it asks for one.

Four harms would need four MLflow servers; to save memory, one server gets the four requests at once.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.serving.cells import Cell
from benchmarks.serving.load import LoadConnection, LoadRun, post
from benchmarks.serving.servers import Server, environment, free_port, launched, wait_until_ready
from benchmarks.serving.systems.floor import Floor
from benchmarks.serving.world import END, ServedWorld
from features.declared.builtin import BUILTIN
from features.feast.store import import_feast, known_warnings_ignored
from leads.errors import LeadsError

HARM = "spam"
_VIEWS = ("item", "account", "parent", "bucket", "device")
_MLFLOW = ("mlflow", "models", "serve", "--env-manager", "local")
_CONFIG = """\
project: peer
provider: local
registry: {folder}/registry.db
online_store:
  type: redis
  connection_string: {address}
offline_store:
  type: file
entity_key_serialization_version: 3
"""


class Pair:
    """The thin client of both servers."""

    name = "Feast + MLflow"

    def __init__(self, feast: Server, mlflow: Server, world: ServedWorld, floor: Floor) -> None:
        self.servers = (feast, mlflow)
        self._world = world
        columns = floor.versions[HARM].input_names
        self._stored = [name for name in columns if name in BUILTIN.by_name]
        self._columns = [*self._stored, *(name for name in columns if name not in self._stored)]
        text = floor.vectors(HARM)[:, len(self._stored) :].astype(float)
        self._text = {id_: _nulls(row) for id_, row in zip(world.ids, text, strict=True)}
        self._keys = {id_: _joined(floor, i) for i, id_ in enumerate(world.ids)}

    def wait(self) -> None:
        feast, mlflow = self.servers
        wait_until_ready(feast, "/health")
        wait_until_ready(mlflow, "/ping")

    def run(self, cell: Cell, seconds: float, round_: int) -> LoadRun:
        """Run each connection in a thread of its own."""
        chance = random.Random(round_)
        batches = [[self._world.draw(cell.items, chance) for _ in range(32)] for _ in range(cell.connections)]
        latencies: list[float] = []
        errors: list[Exception] = []
        began = time.perf_counter()

        def work(mine: list[list[str]]) -> None:
            try:
                self._ask_until(began + seconds, mine, cell.harms, latencies)
            except (LeadsError, OSError, KeyError, msgspec.MsgspecError) as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(mine,)) for mine in batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return LoadRun(latencies, time.perf_counter() - began, 0, ())

    def cpu_s(self) -> float:
        return sum(server.cpu_s() for server in self.servers)

    def score(
        self, ids: Sequence[str], harms: int, feast: LoadConnection, mlflow: Sequence[LoadConnection]
    ) -> list[Any]:
        """Make one call; returns a list of probabilities per harm."""
        answer = _checked(feast.exchange(post("/get-online-features", self._question(ids))))
        values = [column["values"] for column in answer["results"]]
        at = {name: i for i, name in enumerate(answer["metadata"]["feature_names"])}
        columns = [values[at[name.replace(".", "__")]] for name in self._stored]
        rows = [[*stored, *self._text[id_]] for stored, id_ in zip(zip(*columns, strict=True), ids, strict=True)]
        body = msgspec.json.encode({"dataframe_split": {"columns": self._columns, "data": rows}})
        raw = post("/invocations", body)
        found = []
        for connection in mlflow[:harms]:
            connection.send_raw(raw)
        for connection in mlflow[:harms]:
            found.append(_checked(connection.wait())["predictions"])
        if [len(scores) for scores in found] != [len(ids)] * harms:
            raise LeadsError(f"{self.name} did not answer with {len(ids)} scores for each of {harms} harms.")
        return found

    def _question(self, ids: Sequence[str]) -> bytes:
        keys = [self._keys[id_] for id_ in ids]
        entities = {f"{view}_id": [one[i] for one in keys] for i, view in enumerate(_VIEWS)}
        features = [name.replace(".", ":") for name in self._stored]
        return msgspec.json.encode({"features": features, "entities": entities, "full_feature_names": True})

    def _ask_until(self, deadline: float, batches: list[list[str]], harms: int, latencies: list[float]) -> None:
        feast = LoadConnection(self.servers[0].port)
        mlflow = [LoadConnection(self.servers[1].port) for _ in range(harms)]
        try:
            i = 0
            while (began := time.perf_counter()) < deadline:
                self.score(batches[i % len(batches)], harms, feast, mlflow)
                latencies.append(time.perf_counter() - began)
                i += 1
        finally:
            for connection in (feast, *mlflow):
                connection.close()


@contextmanager
def pair(world: ServedWorld, floor: Floor, folder: Path) -> Iterator[tuple[Server, Server]]:
    """Both servers, starting up."""
    folder.mkdir()
    with known_warnings_ignored():
        _apply(world, floor, folder)
        _save_model(floor, folder / "model")
    bin_ = Path(sys.executable).parent
    # MLflow starts `uvicorn` by name, so the folder of this Python must be searched.
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    env = {**environment(world.redis), "PATH": path, "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        servers = []
        for name, command in (
            ("feast serve", ["feast", "-c", str(folder), "serve", "--no-access-log", "--max-requests", "0"]),
            ("mlflow models serve", [*_MLFLOW, "--model-uri", str(folder / "model")]),
        ):
            port = free_port()
            options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
            log = folder / f"{name.partition(' ')[0]}.log"
            command[0] = str(bin_ / command[0])
            servers.append(stack.enter_context(launched(name, [*command, *options], port, env=env, log=log)))
        yield servers[0], servers[1]


def _apply(world: ServedWorld, floor: Floor, folder: Path) -> None:
    """Write Feast's repository and the rows of every entity, each with the values of one of its items."""
    import_feast()
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32, String

    assert world.redis.redis_url is not None
    address = world.redis.redis_url.get_secret_value()
    (folder / "feature_store.yaml").write_text(_CONFIG.format(folder=folder, address=address))
    store = FeatureStore(repo_path=str(folder))
    for place, view in enumerate(_VIEWS):
        names = [name for name in floor.versions[HARM].input_names if name.startswith(f"{view}.")]
        at = [floor.versions[HARM].input_names.index(name) for name in names]
        short = [name.partition(".")[2] for name in names]
        frame = pd.DataFrame(floor.vectors(HARM)[:, at], columns=short)
        frame[f"{view}_id"] = [_joined(floor, i)[place] for i in range(len(world.ids))]
        frame["visible_at"] = pd.Timestamp(END, unit="us", tz="UTC")
        frame = frame[frame[f"{view}_id"] != ""].drop_duplicates(f"{view}_id")
        path = folder / f"{view}.parquet"
        frame.to_parquet(path, coerce_timestamps="us", allow_truncated_timestamps=True)
        entity = Entity(name=view, join_keys=[f"{view}_id"], value_type=ValueType.STRING)
        schema = [Field(name=f"{view}_id", dtype=String), *(Field(name=name, dtype=Float32) for name in short)]
        source = FileSource(name=view, path=str(path), timestamp_field="visible_at")
        store.apply([entity, FeatureView(name=view, entities=[entity], schema=schema, source=source, online=True)])
        store.write_to_online_store(view, frame)


def _save_model(floor: Floor, path: Path) -> None:
    """Save the champion's booster as an MLflow model. Inputs are doubles: integer columns can't have missing values."""
    import mlflow.xgboost
    import pandas as pd
    from mlflow.models import infer_signature

    version = floor.versions[HARM]
    inputs = pd.DataFrame(floor.vectors(HARM)[:100].astype(np.float64), columns=list(version.input_names))
    outputs = version.score_vector(floor.vectors(HARM)[:100]).score.astype(np.float32)
    signature = infer_signature(inputs, outputs)
    mlflow.xgboost.save_model(version.booster, str(path), signature=signature, pip_requirements=["xgboost"])


def _joined(floor: Floor, i: int) -> tuple[str, ...]:
    """An item's entities in the order of the views; an empty string where it has none."""
    roles = ("item", "account", "parent", "bucket_0", "device")
    return tuple(floor.keys[role][i] or "" for role in roles)


def _nulls(row: Any) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in row]


def _checked(answer: tuple[int, bytes]) -> Any:
    status, body = answer
    if status != 200:
        raise LeadsError(f"Feast or MLflow answered {status}: {body[:500].decode(errors='replace')}")
    return msgspec.json.decode(body)
