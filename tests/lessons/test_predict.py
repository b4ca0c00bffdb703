import json

import pytest

from servelab.errors import ServelabError
from servelab.lessons import predict
from servelab.lessons.ask import Ask


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("1,200", 1200),
        ("1 200", 1200),
        ("1.2k", 1200),
        ("3e4", 3e4),
        ("15 %", 0.15),
        ("-2", -2),
        (" .5 ", 0.5),
    ],
)
def test_numbers_as_people_write_them(text, value):
    assert predict.parse(text) == pytest.approx(value)


def test_a_percent_sign_adds_nothing_where_the_unit_is_percent():
    assert predict.parse("15 %", percent=True) == 15


@pytest.mark.parametrize("text", ["", "many", "nan", "inf", "1e999", "1..2", "k"])
def test_what_is_no_number_is_said(text):
    with pytest.raises(ServelabError, match="as a number"):
        predict.parse(text)


@pytest.mark.parametrize(
    ("guess", "measured", "words"),
    [
        (10, 10, "exactly right"),
        (10.5, 10, "within 10 %"),
        (9.2, 10, "within 10 %"),
        (15, 10, "50 % too high"),
        (6, 10, "40 % too low"),
        (32, 10, "3.2x too high"),
        (1, 10, "10x too low"),
        (0, 10, "off by 10"),
        (5, 0, "off by 5"),
        (-5, 5, "off by 10"),
        (-10, -10.5, "within 10 %"),
        (0, 0, "exactly right"),
    ],
)
def test_score_in_words(guess, measured, words):
    assert predict.score(guess, measured)[1] == words


def stored(lesson, key):
    return lesson.progress.notebook("1.3")["predictions"][key]


def test_a_guess_is_stored_and_may_change_until_the_answer(lesson):
    lesson.predict("knee", guess="8")
    lesson.predict("knee", guess=24)
    assert stored(lesson, "knee")["guess"] == 24
    lesson.reveal("knee", 7.5)
    lesson.predict("knee", guess=7.5)
    assert stored(lesson, "knee")["guess"] == 24


def test_reveal_scores_and_stores(lesson):
    lesson.predict("knee", guess=24)
    told = lesson.reveal("knee", 7.5)
    assert told.words == "Your guess of 24 requests is 3.2x too high."
    assert told.good is False
    assert stored(lesson, "knee")["measured"] == 7.5
    assert stored(lesson, "knee")["ratio"] == pytest.approx(3.2)
    assert told.figure.layout.xaxis.type == "log"


def test_reveal_without_a_guess_shows_the_value_and_says_so_gently(lesson):
    told = lesson.reveal("knee", 7.5)
    assert "No guess was made" in told.words and told.good is None
    lesson.predict("knee", guess=7)
    assert stored(lesson, "knee")["late"]
    assert "after the answer" in lesson.reveal("knee", 7.5).words


def test_reveal_of_several_values_scores_each(lesson):
    lesson.predict("knee", guess=10)
    told = lesson.reveal("knee", {"vLLM": 10, "tiny": 40})
    assert told.words == "Your guess of 10 requests is vLLM: exactly right; tiny: 4x too low."
    assert stored(lesson, "knee")["measured"] == {"vLLM": 10, "tiny": 40}


@pytest.mark.parametrize("missing", [float("nan"), {}, {"a": float("inf")}])
def test_nothing_measured_is_said(lesson, missing):
    with pytest.raises(ServelabError, match="no measured value"):
        lesson.reveal("knee", missing)


def test_numbers_of_other_libraries_are_stored(lesson):
    np = pytest.importorskip("numpy")
    lesson.predict("knee", guess=np.float32(8))
    lesson.reveal("knee", np.float64(7.5))
    json.dumps(stored(lesson, "knee"))


@pytest.mark.parametrize("guess", ["engine", 0, "0", "The engine"])
def test_a_choice_by_value_position_or_text(lesson, guess):
    lesson.predict("who", guess=guess)
    assert stored(lesson, "who")["guess"] == "engine"


@pytest.mark.parametrize("guess", ["kernel", 2, -1, True])
def test_no_such_choice(lesson, guess):
    with pytest.raises(ServelabError, match="0 = The engine; 1 = The framework in front"):
        lesson.predict("who", guess=guess)


def test_choice_right_and_wrong_with_reasons(lesson):
    lesson.predict("who", guess="server")
    told = lesson.reveal("who", "engine")
    assert told.good is False and told.words == "You said: The framework in front. It is: The engine."
    assert "It only forwards." in told.more and "Its scheduler does" in told.more
    assert stored(lesson, "who")["right"] is False
    lesson.predict("plain", guess="yes")
    told = lesson.reveal("plain", "yes")
    assert told.good and told.words == "Right: yes." and told.more == ""


def test_choice_without_a_guess(lesson):
    assert lesson.reveal("who", "engine").words.startswith("No guess was made. It is: The engine.")


def test_static_text_tells_how_to_commit_from_a_cell(lesson, shown, monkeypatch):
    monkeypatch.setenv("SERVELAB_STATIC", "1")
    lesson.predict("who")._ipython_display_()
    bundle = shown[0]._repr_mimebundle_()
    assert 'lesson.predict("who", guess=...)' in bundle["text/plain"]
    assert "1  The framework in front" in bundle["text/plain"]
    assert "<b>Who decides which request joins the next step?</b>" in bundle["text/html"]


def test_widget_commits_what_is_typed_and_refuses_nonsense(lesson, shown):
    lesson.predict("knee")._ipython_display_()
    (ask,) = shown
    assert isinstance(ask, Ask) and "<code>vLLM</code>" in ask.question and ask.unit == "requests"
    ask._received(None, {"answer": "soon"}, [])
    assert "as a number" in ask.feedback and "knee" not in lesson.progress.notebook("1.3")["predictions"]
    ask._received(None, {"answer": "1,024"}, [])
    assert "1,024 requests" in ask.feedback
    assert stored(lesson, "knee")["guess"] == 1024


def test_widget_shows_the_stored_guess_and_closes_after_the_answer(lesson, shown):
    lesson.predict("who", guess=1)._ipython_display_()
    assert shown[-1].answer == "1" and not shown[-1].closed
    lesson.reveal("who", "engine")
    lesson.predict("who")._ipython_display_()
    assert shown[-1].closed


def test_reveal_displays_words_then_figure(lesson, shown):
    lesson.predict("knee", guess=8)
    lesson.reveal("knee", 8)._ipython_display_()
    words, figure = shown
    assert words.text == "Your guess of 8 requests is exactly right."
    assert figure.layout.xaxis.title.text == "requests"
