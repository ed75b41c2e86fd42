"""The language of a text: what is detected, what stays undetermined, and what an item states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leads.events import MAX_JUDGED_CHARS, FieldValue
from leads.language.detection import UNKNOWN, language_of
from leads.language.stated import stated_language, text_language
from leads.platform.declaration import Platform
from tests.support.declared import PLATFORM

TEXTS = {
    "en": "Please stop posting the same comment under every episode.",
    "de": "Bitte hör auf, unter jeder Folge denselben Kommentar zu schreiben.",
    "fr": "Arrêtez de poster le même commentaire sous chaque épisode.",
    "es": "Por favor, deja de publicar el mismo comentario en cada episodio.",
    "pt": "Por favor, pare de publicar o mesmo comentário em todos os episódios.",
    "it": "Per favore smettila di scrivere lo stesso commento sotto ogni puntata.",
    "nl": "Stop alsjeblieft met het plaatsen van dezelfde reactie onder elke aflevering.",
    "sv": "Snälla sluta skriva samma kommentar under varje avsnitt.",
    "fi": "Lopeta saman kommentin kirjoittaminen jokaisen jakson alle.",
    "pl": "Proszę przestań wstawiać ten sam komentarz pod każdym odcinkiem.",
    "tr": "Lütfen her bölümün altına aynı yorumu yazmayı bırak.",
    "ru": "Пожалуйста, перестань писать один и тот же комментарий под каждым выпуском.",
    "uk": "Будь ласка, перестань писати той самий коментар під кожним випуском.",
    "el": "Ποιος άλλος το ακούει τον Νοέμβριο;",
    "he": "אני אוהב את האלבום הזה",
    "ar": "من فضلك توقف عن نشر نفس التعليق تحت كل حلقة.",
    "hi": "कृपया हर एपिसोड के नीचे वही टिप्पणी लिखना बंद करो।",
    "ja": "すべてのエピソードに同じコメントを投稿するのはやめてください。",
    "ko": "모든 에피소드에 같은 댓글을 올리지 마세요.",
    "zh": "请不要在每一集下面发同样的评论。",
    "id": "Tolong berhenti menulis komentar yang sama di setiap episode.",
    "vi": "Làm ơn đừng đăng cùng một bình luận dưới mỗi tập nữa.",
}
DECLARED = {"comment": ("language", "spoken")}


@pytest.mark.parametrize("language", TEXTS)
def test_a_sentence_is_recognized(language: str) -> None:
    assert language_of(TEXTS[language]) == language
    assert language_of((TEXTS[language] + "\n") * 500) == language


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "  \n",
        "12:30",
        "🎵🎵🎵",
        "lol",
        "http://minhateca.com.br/Filmes+Series+Desenhos",
        "\u2067\u200b",
        "\ud800",
    ],
)
def test_without_enough_text_it_is_undetermined(text: str | None) -> None:
    assert language_of(text) == UNKNOWN


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize(
    "hidden", ["\ud800", "\x00", "\ufffe", "\ufdd0", "\U0010ffff", "\u200b", "😀", "https://example.com/de "]
)
def test_what_is_no_letter_does_not_hide_the_language(language: str, hidden: str) -> None:
    assert language_of(hidden + TEXTS[language] + hidden) == language


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_every_text_has_a_language_or_none(text: str) -> None:
    found = language_of(text)
    assert found == language_of(text)
    assert 2 <= len(found) <= 3


def test_the_longest_text_is_read() -> None:
    assert language_of("a" * MAX_JUDGED_CHARS) == UNKNOWN
    assert language_of("\u0301" * MAX_JUDGED_CHARS) == UNKNOWN


@pytest.mark.parametrize(
    ("values", "stated"),
    [
        ({"language": "pt-BR"}, "pt"),
        ({"language": "EN"}, "en"),
        ({"language": "", "spoken": "de"}, "de"),
        ({"language": "iw"}, "he"),
        ({"language": "nb-NO"}, "no"),
        ({"language": "zxx"}, None),
        ({"language": "und"}, None),
        ({"genre": "en"}, None),
        ({"language": True}, None),
        ({}, None),
    ],
)
def test_an_item_states_its_language(values: dict[str, FieldValue], stated: str | None) -> None:
    assert stated_language("comment", values, DECLARED) == stated
    assert stated_language("track", values, DECLARED) is None


def test_a_stated_language_takes_precedence() -> None:
    assert text_language(TEXTS["en"], "de") == "de"
    assert text_language(TEXTS["en"], None) == "en"
    assert text_language(TEXTS["en"], None, "fr") == "fr"
    assert text_language(None, "de") is None


def test_the_declaration_says_which_fields_state_it() -> None:
    fields = {"title": {"kind": "text"}, "spoken": {"kind": "language"}, "sung": {"kind": "language"}}
    types = {"episode": {"title": "Episode", "fields": fields}, "account": {"title": "Account"}}
    platform = Platform.model_validate({"version": 1, "types": types})
    assert platform.language_fields == {"episode": ("spoken", "sung")}
    assert PLATFORM.language_fields == {}
