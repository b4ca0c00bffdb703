import pytest

from servelab import i18n
from servelab.errors import ServelabError
from servelab.lessons import texts


def test_a_lesson_without_a_file_asks_nothing(asked):
    assert texts.load("9.9", "9.9_x") == texts.Texts()


def test_unknown_names_are_answered_with_the_known_ones(asked):
    found = texts.load("1.3", "1.3_x")
    with pytest.raises(ServelabError, match="prediction 'knie'.*knee"):
        found.prediction("knie")
    with pytest.raises(ServelabError, match="quiz question 'x'.*when"):
        found.question("x")


def test_plain_choices_stand_for_themselves(asked):
    assert [c.value for c in texts.load("1.3", "x").prediction("plain").choices] == ["yes", "no"]


def test_texts_come_in_the_learners_language_and_values_stay(asked, monkeypatch):
    chinese = {context: f"中 {text}" for context, text in texts.contexts(texts.source("1.3")).items()}

    def translate(text, domain, context):
        assert domain == "notebooks/1.3_batching"
        return chinese[context]

    monkeypatch.setattr(texts, "translate", translate)
    found = texts.load("1.3", "1.3_batching")
    assert found.prediction("knee").question.startswith("中 At what")
    assert found.prediction("knee").unit == "中 requests"
    assert [c.text for c in found.prediction("plain").choices] == ["中 yes", "中 no"]
    assert [c.value for c in found.prediction("plain").choices] == ["yes", "no"]
    assert found.prediction("who").choices[0].why == "中 Its scheduler does, before every step."
    assert found.question("when").choices[1].why == "中 Only the total counts."


def test_every_text_has_a_context_of_its_own(asked):
    found = texts.contexts(texts.source("1.3"))
    assert "predict.who.choices.1.why" in found and "quiz.when.0.why" in found
    assert "predict.plain.choices.0" in found


@pytest.mark.parametrize(
    "wrong",
    [
        "[predict.a]\nquestion = ",
        "[predict.a]\nquestion = 'x'\nkind = 'guess'",
        "[predict.a]\nquestion = 'x'\nfoo = 1",
        "[[quiz]]\nid='a'\nquestion='x'\n[[quiz.choices]]\ntext='a'\nwhy='b'",
        "[[quiz]]\nid='a'\nquestion='x'\n[[quiz.choices]]\ntext='a'\nright=true",
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path, wrong):
    (tmp_path / "7.7.toml").write_text(wrong)
    with pytest.raises(ServelabError, match=r"7\.7\.toml is not a lesson's text \("):
        texts.source("7.7", tmp_path)


def test_inline_markup_is_escaped():
    assert texts.inline("`a<b` is **not** <i>") == "<code>a&lt;b</code> is <b>not</b> &lt;i&gt;"
    assert texts.inline("one\n\ntwo") == "one<br><br>two"


def test_every_lesson_of_the_course_is_well_formed():
    for path in texts.FOLDER.glob("*.toml"):
        texts.source(path.stem)
    assert i18n.SOURCE == "en"
