"""Small real versions, published as the follower publishes them, and the HTTP stack without BentoML."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import xgboost
from anyio.from_thread import BlockingPortal
from prometheus_client import CollectorRegistry
from sqlalchemy.engine import Engine
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from features.declared.builtin import BUILTIN, ROLES
from features.declared.feature_set import FeatureSet
from features.declared.row_update import Amounts, RowUpdate
from features.evaluate.columns import contract_for
from features.fold.counting import RowWriter
from features.layout import Layout, missing
from features.links import Links
from features.online.reader import Fetched
from leads import clock
from leads.api.declared import Declared
from leads.events import Subject
from leads.policies import FeatureRule, load_policies
from leads.predictions.log import PredictionLog
from leads.settings import POLICIES_FILE, Settings
from models.calibrator import Calibrator
from models.text.ngrams import grams
from models.text.stage import Block, TextStage
from models.thresholds import Thresholds
from models.version import load
from models.write import Parts, write_version
from serving.http.access.key_cache import KeyCache
from serving.http.access.key_uses import KeyUses
from serving.http.middleware import ApiMiddleware
from serving.http.pages import create_pages
from serving.http.routes import create_app
from serving.observe.metrics import Metrics
from serving.runtime import Runtime
from serving.scoring.scorer import Scorer
from serving.trials.trials import Trials
from serving.versions.proofs import Proof, marks, write_proof
from serving.versions.published import PublishedVersions
from serving.versions.published_state import HarmState, PublishedState, read_state, write_state
from serving.versions.verification import verify
from tests.support.declared import DECLARED

SPAM_TEXT = "free money at www.example.com"
BENIGN_TEXT = "lovely song, thank you"
POLICIES = load_policies(POLICIES_FILE)


def make_parts(
    harm: str = "spam",
    *,
    seed: int = 0,
    rules: Sequence[FeatureRule] = (),
    features: FeatureSet = BUILTIN,
    languages: Mapping[str, int] | None = None,
) -> Parts:
    """A version whose text stage knows one spam text, and whose trees raise the score with the number of reports."""
    text = POLICIES.harms[harm].text
    contract = contract_for(text=text, rules=rules, features=features)
    names = (*contract.names, "text.score") if text else contract.names
    rng = np.random.default_rng(seed)
    rows = rng.exponential(size=(400, len(names))).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    labels = np.nan_to_num(rows[:, names.index("account.reports_24h")]) > 1.5
    base = np.full(400, -2.0, dtype=np.float32)
    matrix = xgboost.DMatrix(rows, label=labels, base_margin=base, feature_names=list(names))
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 3, "seed": 1}, matrix, 8)
    return Parts(
        harm=harm,
        contract=contract,
        booster=booster,
        text_stage=make_text_stage() if text else None,
        prior_log_odds=-2.0,
        calibrator=Calibrator(margins=(-8.0, 8.0), log_odds=(-8.0, 8.0)),
        thresholds=Thresholds(review=0.3, auto=0.999, why={}),
        reference=rows,
        reference_labels=labels.tolist(),
        metrics=b"{}",
        card="# A version\n",
        languages=languages,
    )


def make_text_stage() -> TextStage:
    """Grams of the spam text raise the score; grams of the benign text lower it."""
    blocks = []
    for bad, good in zip(grams([SPAM_TEXT]), grams([BENIGN_TEXT]), strict=True):
        hashes = np.union1d(bad.hashes, good.hashes)
        weights = np.isin(hashes, bad.hashes).astype(np.float32) - np.isin(hashes, good.hashes).astype(np.float32)
        blocks.append(Block(hashes, np.ones(len(hashes), np.float32), 2 * weights))
    return TextStage(*blocks, intercept=-2.0)


def publish(
    settings: Settings, harm: str = "spam", version: str = "1", role: str = "champion", **options: object
) -> Path:
    """Write a version and its proof where processes look for them, and give it a role."""
    folder = settings.published_dir / harm / version
    written = _written(harm, repr(options), lambda: make_parts(harm, **options))  # type: ignore[arg-type]
    shutil.copytree(written, folder)
    (folder / "version.txt").write_text(version, encoding="utf-8")
    if written not in _proofs:
        _proofs[written] = verify(load, folder, harm, version)[1]
    # The golden rows of equal files reproduce again.
    write_proof(folder, msgspec.structs.replace(_proofs[written], version=version, files=marks(folder)))
    point_to(settings, harm, version, role)
    return folder


_versions: dict[tuple[str, str], Path] = {}
_proofs: dict[Path, Proof] = {}
_folder = tempfile.TemporaryDirectory(prefix="leads-versions-")


def _written(harm: str, options: str, parts: Callable[[], Parts]) -> Path:
    """The folder of a version with these options, written once per test process: fitting takes longest."""
    if (harm, options) not in _versions:
        folder = Path(_folder.name) / str(len(_versions))
        write_version(folder, parts())
        _versions[harm, options] = folder
    return _versions[harm, options]


def point_to(settings: Settings, harm: str, version: str | None, role: str = "champion") -> None:
    """Give a published version a role, or take the role away, as the follower does."""
    state = read_state(settings.published_dir)
    before = state.harms.get(harm, HarmState())
    aliases = {**before.aliases, role: version}
    named = {"aliases": {alias: target for alias, target in aliases.items() if target}, role: version}
    if role == "champion" and version != before.champion:
        named["previous"] = before.champion or before.previous
    harms = {**state.harms, harm: msgspec.structs.replace(before, **named)}
    write_state(settings.published_dir, PublishedState(clock.now(), harms))


def all_answer(published: PublishedVersions) -> bool:
    """Whether something is published and every published champion is in use."""
    named = [one for one in published.status() if one.published.champion]
    return bool(named) and all(one.serving == one.published.champion for one in named)


class FakeReader:
    """An online store in memory, with the interface of `serving.scoring.store_guard.GuardedReader`."""

    open = False
    errors = timeouts = 0

    # Requests are scored in a thread, not in the event loop.
    reads_inline = False
    features = BUILTIN

    def __init__(self) -> None:
        self.rows: dict[Subject, dict[str, np.ndarray]] = {}
        self.row_at: dict[Subject, dict[str, int]] = {}
        self.asked: list[tuple[Subject, Links | None]] = []
        self.error: Exception | None = None

    def fetch(self, subjects: list[Subject], links: list[Links | None] | None = None) -> Fetched:
        if self.error:
            raise self.error
        given = links or [None] * len(subjects)
        self.asked += zip(subjects, given, strict=True)
        packed = missing(ROLES, len(subjects))
        row_at = np.zeros((len(subjects), len(ROLES)), np.int64)
        for i, subject in enumerate(subjects):
            for view, row in self.rows.get(subject, {}).items():
                packed[view][i] = row
            row_at[i] = [self.row_at.get(subject, {}).get(role, 0) for role in ROLES]
        return Fetched(packed, row_at, [link or Links() for link in given])

    def close(self) -> None:
        pass


def packed_row(layout: Layout, at: int, **counted: float) -> np.ndarray:
    """A row of an entity first seen at `at`, with these events counted then."""
    writer = RowWriter(layout)
    row = writer.new(at)
    writer.note(row, at)
    amounts = tuple((counter_of(layout, name), amount, at) for name, amount in counted.items())
    writer.apply(row, RowUpdate(layout.view, "any", more=Amounts(amounts)), at)
    return np.asarray(row.cells)


def counter_of(layout: Layout, name: str) -> str:
    """The counter of all events of a kind, by what tests call it."""
    kind = {"plays": "play", "reports": "user_report", "items": "post"}[name]
    return next(one.name for one in layout.counters if one.name.startswith(f"{kind} by ") and " where " not in one.name)


def make_runtime(settings: Settings, engine: Engine) -> Runtime:
    """A service's parts with an empty online store, and all published versions loaded."""
    published = PublishedVersions(settings, POLICIES, engine)
    published.refresh()
    reader, log = FakeReader(), PredictionLog(settings.predictions_dir, owner="api")
    trials = Trials(POLICIES, published.retreats)
    return Runtime(
        settings, POLICIES, DECLARED, engine, KeyCache(engine, ttl_s=0.2), published, reader, log,  # type: ignore[arg-type]
        Scorer(engine, POLICIES, reader, published, log, trials), trials, Metrics(CollectorRegistry()), KeyUses(engine),
    )  # fmt: skip


_runtime: ContextVar[Runtime] = ContextVar("runtime")


@cache
def _routes(declared: Declared) -> Starlette:
    """The mounted routes, which take long to make. They serve each request by the runtime that it is for.

    Args:
        declared: what their OpenAPI document is about; all of their runtimes have it.
    """
    return Starlette(routes=[Mount("/v1", create_app(_runtime.get))])


@cache
def all_routes(declared: Declared) -> Starlette:
    """The mounted routes with the pages next to them, whose own paths below /v1 come first, as in the service."""
    pages = create_pages(_runtime.get, dict)
    return Starlette(routes=[*pages.routes, *_routes(declared).routes, Mount("/", pages)])


def make_stack(runtime: Runtime, routes: Callable[[Declared], ASGIApp] = _routes, **limits: float) -> ASGIApp:
    """The middleware over the mounted routes."""
    stack = ApiMiddleware(routes(runtime.declared), lambda: runtime, **limits)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        token = _runtime.set(runtime)
        try:
            await stack(scope, receive, send)
        finally:
            _runtime.reset(token)

    return app


class Http:
    """A client of an ASGI app in this process, called from synchronous code. It says that it sends JSON."""

    def __init__(self, app: ASGIApp, portal: BlockingPortal, headers: dict[str, str] | None = None) -> None:
        self._portal = portal
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://test",
            headers={"content-type": "application/json", **(headers or {})},
            trust_env=False,
        )

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._portal.call(partial(self._client.request, method, path, **options))

    def without_type(self) -> None:
        """From now on, say nothing about what is sent."""
        del self._client.headers["content-type"]

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)
