"""Questions leave their words in the notebook for the time when their kernel is gone."""

from servelab.lessons import predict, quiz
from servelab.still import MIME


def test_questions_keep_their_words(lesson, monkeypatch):
    shown = []
    for module in (predict, quiz):
        monkeypatch.setattr(module, "display", shown.append)
    lesson.predict("knee")._ipython_display_()
    lesson.quiz("when")._ipython_display_()
    for asked in shown:
        data, *_metadata = asked._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in data
        assert asked.question in data[MIME]["shown"][0]["text/html"]
