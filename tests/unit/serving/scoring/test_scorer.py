"""Scoring in bulk: what is looked up, how missing data is reported, what is logged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from features.declared.builtin import ACCOUNT, ITEM, ROLES
from features.evaluate.plan import text_counts
from features.fold.near_text import buckets
from features.layout import missing
from features.links import Links
from features.text_features import TEXT
from leads import clock
from leads.db import event_log
from leads.errors import InvalidInput, LeadsError, NoModel, NotFound, Unavailable
from leads.events import Event, ItemCreated, Subject, SubjectRef
from leads.predictions.log import read_predictions
from leads.settings import Settings
from leads.text import text_hash
from serving.runtime import Runtime
from serving.scoring.assemble import MAX_EXPLAINED
from serving.scoring.inputs import ScoreRequest
from serving.scoring.results import SubjectError, SubjectScore
from serving.scoring.scorer import Scorer
from serving.scoring.texts.cache import TextCache, TextColumn
from tests.support.serving.world import BENIGN_TEXT, POLICIES, SPAM_TEXT, FakeReader, make_runtime, packed_row, publish

NOW = clock.from_text("2026-03-01T12:00:00Z")
C1, C2 = Subject("comment", "c1"), Subject("comment", "c2")


def tell(engine: Engine, subject: Subject, text: str, *, account_id: str | None = "a1") -> None:
    ref = SubjectRef(subject.type_id, subject.id)
    body = ItemCreated(ref, account_id=account_id, parent=SubjectRef("track", "t1"), text=text)
    with engine.begin() as connection:
        event_log.append(connection, "test", [Event(f"e-{subject.key}-{hash(text)}", NOW, body)], clock_=lambda: NOW)


def run(runtime: Runtime, *requests: ScoreRequest, **options: object) -> list[SubjectScore | SubjectError]:
    return runtime.scorer.score(requests, NOW, "api", **options).records()  # type: ignore[arg-type]


def one(runtime: Runtime, request: ScoreRequest, **options: object) -> SubjectScore:
    (answer,) = run(runtime, request, **options)
    assert isinstance(answer, SubjectScore)
    return answer


def error_of(runtime: Runtime, request: ScoreRequest) -> LeadsError:
    (answer,) = run(runtime, request)
    assert isinstance(answer, SubjectError)
    return answer.error


def reader_of(runtime: Runtime) -> FakeReader:
    assert isinstance(runtime.reader, FakeReader)
    return runtime.reader


def test_a_known_item_is_scored_by_id_with_its_text_and_links(runtime: Runtime, engine: Engine) -> None:
    tell(engine, C1, SPAM_TEXT)
    tell(engine, C2, BENIGN_TEXT)
    bad, good = run(runtime, ScoreRequest(C1), ScoreRequest(C2))
    assert isinstance(bad, SubjectScore)
    assert isinstance(good, SubjectScore)
    assert bad.score > 0.9 > 0.1 > good.score
    assert (bad.harm, bad.model, bad.version, bad.role, bad.at) == ("spam", "leads-spam", "1", "champion", NOW)
    assert bad.contract_hash == runtime.published.lineup().champions["spam"].contract.hash
    assert bad.degraded == ("account_unknown",)
    assert reader_of(runtime).asked[0] == (C1, Links("a1", "track:t1"))


def test_the_newest_text_is_scored(runtime: Runtime, engine: Engine) -> None:
    tell(engine, C1, SPAM_TEXT)
    tell(engine, C1, BENIGN_TEXT)
    assert one(runtime, ScoreRequest(C1)).score < 0.1


def test_the_score_is_the_versions_own(runtime: Runtime, engine: Engine) -> None:
    version = runtime.published.lineup().champions["spam"]
    features = np.full((1, len(version.contract.columns)), np.nan, np.float32)
    from features.evaluate.columns import evaluate

    features = evaluate(version.contract, missing(ROLES, 1), np.array([NOW]), [SPAM_TEXT]).matrix
    expected = float(version.score(features, [SPAM_TEXT]).score[0])
    for _ in range(2):
        assert one(runtime, ScoreRequest(C1, text=SPAM_TEXT)).score == expected


def test_what_the_caller_gives_takes_precedence_and_is_flagged(runtime: Runtime, engine: Engine) -> None:
    tell(engine, C1, BENIGN_TEXT)
    given = one(runtime, ScoreRequest(C1, text=SPAM_TEXT, account_id="a9"))
    assert given.score > 0.9
    assert {"text_given", "fields_given"} <= set(given.degraded)
    assert reader_of(runtime).asked[0][1] == Links("a9", "track:t1", *buckets(SPAM_TEXT))
    same = one(runtime, ScoreRequest(C1, text=BENIGN_TEXT, account_id="a1"))
    assert same.degraded == ("account_unknown",)


def test_another_text_alone_does_not_flag_fields_given(runtime: Runtime, engine: Engine) -> None:
    tell(engine, C1, BENIGN_TEXT)
    same_maker = one(runtime, ScoreRequest(C1, text="some text that nobody has stored yet", account_id="a1"))
    assert "text_given" in same_maker.degraded
    assert "fields_given" not in same_maker.degraded


def test_an_unknown_item_needs_a_text(runtime: Runtime) -> None:
    error = error_of(runtime, ScoreRequest(C1))
    assert isinstance(error, NotFound)
    assert error.field == "/id"
    assert "subject_unknown" in one(runtime, ScoreRequest(C1, text=SPAM_TEXT)).degraded


def test_an_item_without_text_is_scored_and_flagged(runtime: Runtime, engine: Engine) -> None:
    tell(engine, C1, "")
    assert "text_missing" in one(runtime, ScoreRequest(C1)).degraded


@pytest.mark.parametrize("text", ["", " \n", "\u2067\u2069", "\u3164 \u2800"])
def test_a_text_of_which_nothing_is_visible_is_no_text(runtime: Runtime, engine: Engine, text: str) -> None:
    tell(engine, C1, text)
    tell(engine, C2, SPAM_TEXT)
    stored, given = one(runtime, ScoreRequest(C1)), one(runtime, ScoreRequest(C2, text=text))
    new = one(runtime, ScoreRequest(Subject("comment", "c9"), text=text))
    assert all("text_missing" in found.degraded for found in (stored, given, new))
    assert stored.score == given.score == new.score
    runtime.predictions.flush()
    assert set(read_predictions(runtime.settings.predictions_dir, "spam")["text_hash"].to_pylist()) == {0}


@pytest.mark.parametrize("hidden", ["\u2067", "\u061c", "\u206a", "\u180e", "\u115f", "\u3164", "\U000e0041", "\u034f"])
def test_invisible_characters_do_not_change_a_score(runtime: Runtime, hidden: str) -> None:
    disguised = hidden.join(SPAM_TEXT)
    plain = one(runtime, ScoreRequest(C1, text=SPAM_TEXT))
    assert plain.score > 0.9
    assert one(runtime, ScoreRequest(C1, text=disguised)).score == plain.score


def test_an_account_is_known_by_its_stored_rows(runtime: Runtime) -> None:
    account = Subject("account", "a1")
    assert isinstance(error_of(runtime, ScoreRequest(account)), NotFound)
    reader = reader_of(runtime)
    reader.rows[account] = {"account": packed_row(ACCOUNT, NOW - clock.HOUR, plays=20)}
    reader.row_at[account] = {"account": NOW - 90 * clock.SECOND}
    answer = one(runtime, ScoreRequest(account))
    assert answer.harm == "stream_manipulation"
    assert answer.degraded == ("subject_unknown",)
    assert answer.oldest_feature_age_s == 90
    assert answer.exposure == pytest.approx(1 + np.log1p(20), abs=1e-6)


def test_an_items_exposure_grows_with_its_plays_and_not_its_accounts(runtime: Runtime, engine: Engine) -> None:
    tell(engine, C1, SPAM_TEXT)
    reader = reader_of(runtime)
    reader.rows[C1] = {"item": packed_row(ITEM, NOW), "account": packed_row(ACCOUNT, NOW, plays=9)}
    assert one(runtime, ScoreRequest(C1)).exposure == 1.0
    reader.rows[C1]["item"] = packed_row(ITEM, NOW, plays=3)
    assert one(runtime, ScoreRequest(C1)).exposure == pytest.approx(1 + np.log1p(3), abs=1e-6)


def test_features_reach_the_score(runtime: Runtime, engine: Engine) -> None:
    tell(engine, C1, BENIGN_TEXT)
    before = one(runtime, ScoreRequest(C1)).score
    reader_of(runtime).rows[C1] = {"account": packed_row(ACCOUNT, NOW, reports=9)}
    reader_of(runtime).row_at[C1] = {"account": NOW}
    answer = one(runtime, ScoreRequest(C1), explained="all")
    assert answer.score > before
    assert answer.degraded == ()
    assert answer.reasons is not None
    assert "ACCOUNT_REPORTS_SURGE" in {reason.code for reason in answer.reasons}


def test_a_bad_subject_does_not_affect_the_others(runtime: Runtime) -> None:
    out = run(
        runtime,
        ScoreRequest(Subject("track", "t1"), text="x"),
        ScoreRequest(C1, text=SPAM_TEXT),
        ScoreRequest(C2),
        ScoreRequest(C2, ("spam", "stream_manipulation", "sexism"), text=BENIGN_TEXT),
    )
    assert [(x.index, x.harm, type(x.error).__name__ if isinstance(x, SubjectError) else None) for x in out] == [
        (0, None, "InvalidInput"),
        (1, "spam", None),
        (2, None, "NotFound"),
        (3, "spam", None),
        (3, "sexism", "NoModel"),
        (3, "stream_manipulation", "InvalidInput"),
    ]


def test_an_undeclared_harm_is_an_error_of_the_call(runtime: Runtime) -> None:
    with pytest.raises(NotFound, match="'nope' not found"):
        run(runtime, ScoreRequest(C1, ("nope",), text="x"))


def test_a_caller_gets_only_allowed_harms(runtime: Runtime) -> None:
    assert isinstance(error_of(runtime, ScoreRequest(C1, text="x", allowed=frozenset({"sexism"}))), NoModel)


def test_without_the_online_store_texts_are_still_scored_but_not_logged(
    runtime: Runtime, engine: Engine, settings: Settings
) -> None:
    tell(engine, C1, SPAM_TEXT)
    tell(engine, Subject("account", "a1"), "", account_id=None)
    reader_of(runtime).error = Unavailable("down")
    answer = one(runtime, ScoreRequest(C1))
    assert answer.score > 0.9
    assert "features_unavailable" in answer.degraded
    assert isinstance(error_of(runtime, ScoreRequest(Subject("account", "a1"))), Unavailable)
    runtime.predictions.flush()
    assert len(read_predictions(settings.predictions_dir, "spam")) == 0


def test_each_distinct_prediction_is_logged_once_as_returned(runtime: Runtime, settings: Settings) -> None:
    answers = [one(runtime, ScoreRequest(C1, text=text)) for text in (SPAM_TEXT, BENIGN_TEXT, SPAM_TEXT)]
    assert answers[0].prediction_id == answers[2].prediction_id != answers[1].prediction_id
    runtime.predictions.flush()
    table = read_predictions(settings.predictions_dir, "spam").to_pylist()
    assert sorted(row["prediction_id"] for row in table) == sorted({x.prediction_id for x in answers})
    row = next(row for row in table if row["prediction_id"] == answers[0].prediction_id)
    assert (row["score"], row["tier"], row["source"], row["at"], row["model_version"]) == (
        answers[0].score, answers[0].tier, "api", NOW, "1",
    )  # fmt: skip
    version = runtime.published.lineup().champions["spam"]
    again = version.score_vector(np.array([row["vector"]], np.float32))
    assert float(again.score[0]) == answers[0].score


def test_prediction_ids_differ_by_subject_and_instant(runtime: Runtime) -> None:
    base = one(runtime, ScoreRequest(C1, text=SPAM_TEXT)).prediction_id
    other_subject = one(runtime, ScoreRequest(C2, text=SPAM_TEXT)).prediction_id
    (later,) = runtime.scorer.score([ScoreRequest(C1, text=SPAM_TEXT)], NOW + 1, "api").records()
    assert isinstance(later, SubjectScore)
    assert len({base, other_subject, later.prediction_id}) == 3


def test_reasons_for_leads_only_or_for_all(runtime: Runtime) -> None:
    requests = [ScoreRequest(C1, text=SPAM_TEXT), ScoreRequest(C2, text=BENIGN_TEXT)]
    bad, good = run(runtime, *requests, explained="leads")
    assert isinstance(bad, SubjectScore)
    assert isinstance(good, SubjectScore)
    assert bad.reasons
    assert bad.reasons[0].code == "TEXT_RESEMBLES_VIOLATIONS"
    assert good.reasons is None
    assert all(isinstance(x, SubjectScore) and x.reasons is not None for x in run(runtime, *requests, explained="all"))


def test_the_number_of_explained_scores_is_capped_and_flagged(runtime: Runtime) -> None:
    benign = [ScoreRequest(Subject("comment", f"b{i}"), text=BENIGN_TEXT) for i in range(MAX_EXPLAINED)]
    *good, bad = run(runtime, *benign, ScoreRequest(C1, text=SPAM_TEXT), explained="all")
    assert isinstance(bad, SubjectScore)
    assert bad.reasons
    unexplained = [x for x in good if isinstance(x, SubjectScore) and x.reasons is None]
    assert len(unexplained) == 1
    assert "not_explained" in unexplained[0].degraded


def test_one_fetch_and_one_text_encoding_serve_a_thousand(runtime: Runtime) -> None:
    class Counting(FakeReader):
        calls = 0

        def fetch(self, *given: object) -> object:  # type: ignore[override]
            Counting.calls += 1
            return super().fetch(*given)  # type: ignore[arg-type]

    scorer = Scorer(runtime.engine, POLICIES, Counting(), runtime.published, runtime.predictions)
    requests = [ScoreRequest(Subject("comment", f"c{i}"), text=f"{SPAM_TEXT} {i % 7}") for i in range(1_000)]
    assert len(scorer.score(requests, NOW, "api").records()) == 1_000
    assert Counting.calls == 1


def test_without_a_published_version_there_is_no_model(settings: Settings, engine: Engine) -> None:
    bare = make_runtime(settings, engine)
    assert isinstance(error_of(bare, ScoreRequest(C1, text="x")), NoModel)
    bare.close()


def test_a_type_without_harms_is_invalid_input(runtime: Runtime) -> None:
    error = error_of(runtime, ScoreRequest(Subject("mood", "m1"), text="x"))
    assert isinstance(error, InvalidInput)
    assert error.field == "/typeId"
    assert "comment" in (error.remedy or "")


def test_the_text_cache_computes_once_and_forgets_the_oldest() -> None:
    asked: list[list[str]] = []

    def compute(texts: Sequence[str]) -> np.ndarray:
        asked.append(list(texts))
        return np.array([len(text) if text else np.nan for text in texts], np.float32)

    cache = TextCache(capacity=4)
    scores = cache.scores("spam:1", TextColumn.of(["aa", None, "b", "aa"]), compute)
    np.testing.assert_array_equal(scores, np.array([2, np.nan, 1, 2], np.float32))
    assert cache.scores("spam:1", TextColumn.of(["b", "aa"]), compute).tolist() == [1, 2]
    assert asked == [["aa", "b"]]
    cache.scores("spam:2", TextColumn.of(["aa", "b", "c", "d"]), compute)
    cache.scores("spam:1", TextColumn.of(["aa"]), compute)
    assert asked[1:] == [["aa", "b", "c", "d"], ["aa"]]
    # NaN, a version's score of an empty text, is cached too.
    for _ in range(2):
        assert np.isnan(cache.scores("spam:1", TextColumn.of([""]), compute)).all()
    assert asked[3:] == [[""]]


def test_cached_counts_and_hashes_are_those_of_the_texts() -> None:
    texts = ["Free COINS at www.example.com!!!", None, "", "ok"]
    cache = TextCache()
    for _ in range(2):
        np.testing.assert_array_equal(cache.counts(TextColumn.of(texts)), text_counts(texts))
        assert cache.hashes(TextColumn.of(texts)) == [0 if text is None else text_hash(text) for text in texts]
    assert cache.counts(TextColumn.of([])).shape == (0, len(TEXT))


def test_a_swap_during_a_call_does_not_affect_it(settings: Settings, runtime: Runtime) -> None:
    """A call scores with the versions it began with."""
    scorer = runtime.scorer

    class Swapping(FakeReader):
        def fetch(self, *given: object) -> object:  # type: ignore[override]
            publish(settings, "spam", "2", seed=1)
            runtime.published.refresh()
            return super().fetch(*given)  # type: ignore[arg-type]

    scorer = Scorer(runtime.engine, POLICIES, Swapping(), runtime.published, runtime.predictions)
    (answer,) = scorer.score([ScoreRequest(C1, text=SPAM_TEXT)], NOW, "api").records()
    assert isinstance(answer, SubjectScore)
    assert answer.version == "1"
    assert runtime.published.lineup().champions["spam"].version == "2"
