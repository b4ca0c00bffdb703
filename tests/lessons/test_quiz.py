import pytest

from servelab.errors import ServelabError


def test_the_first_answer_counts_and_tries_are_kept(lesson):
    quiz = lesson.quiz("when")
    assert quiz.answer(0) is False
    assert quiz.answer(1) is True
    entry = lesson.progress.notebook("1.3")["quiz"]["when"]
    assert (entry["first"], entry["right"], entry["choice"], entry["tries"]) == (0, False, 1, 2)


def test_no_such_choice(lesson):
    with pytest.raises(ServelabError, match="0 to 1"):
        lesson.quiz("when").answer(2)


def test_every_choice_is_explained_after_an_answer(lesson, shown):
    lesson.quiz("when")._ipython_display_()
    (ask,) = shown
    assert ask.feedback == "" and ask.choices[0] == "When someone reads &lt;along&gt;"
    ask._received(None, {"answer": ""}, [])
    assert ask.feedback == "<b>Choose an answer first.</b>"
    ask._received(None, {"answer": "0"}, [])
    assert "Not quite." in ask.feedback and not ask.closed
    assert "A reader waits." in ask.feedback and "Only the total counts." in ask.feedback
    ask._received(None, {"answer": "1"}, [])
    assert "Right." in ask.feedback and ask.closed


def test_reopened_it_shows_the_last_answer(lesson, shown):
    lesson.quiz("when").answer(1)
    lesson.quiz("when")._ipython_display_()
    assert shown[0].answer == "1" and shown[0].closed and "Only the total counts." in shown[0].feedback


def test_without_a_frontend_every_choice_unfolds(lesson, shown, monkeypatch):
    monkeypatch.setenv("SERVELAB_STATIC", "1")
    lesson.quiz("when")._ipython_display_()
    bundle = shown[0]._repr_mimebundle_()
    assert bundle["text/html"].count("<details>") == 2
    assert "&lt;along&gt;" in bundle["text/html"]
    assert "Right. Only the total counts." in bundle["text/plain"]
