import functools
import textwrap

import pytest

from servelab.lessons import lesson as lesson_module
from servelab.lessons import texts

TEXTS = """
[predict.knee]
question = "At what concurrency does `vLLM` reach half of its best?"
unit = "requests"
log = true
hint = "Weights are read **once** a step."

[predict.share]
question = "Which share of the time goes to prefill?"
unit = "%"

[predict.who]
question = "Who decides which request joins the next step?"
kind = "choice"
choices = [
    { text = "The engine", value = "engine", why = "Its scheduler does, before every step." },
    { text = "The framework in front", value = "server", why = "It only forwards." },
]

[predict.plain]
question = "Does it pay?"
kind = "choice"
choices = ["yes", "no"]

[[quiz]]
id = "when"
question = "When is it right to give up latency?"
[[quiz.choices]]
text = "When someone reads <along>"
why = "A reader waits."
[[quiz.choices]]
text = "Overnight"
right = true
why = "Only the total counts."
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A workspace."""
    monkeypatch.setenv("SERVELAB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SERVELAB_TIER", "cpu")
    for name in ("SERVELAB_STATIC", "SERVELAB_EFFORT", "SERVELAB_LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Lesson texts of the tests' own, under the id 1.3."""
    where = tmp_path / "texts"
    where.mkdir()
    (where / "1.3.toml").write_text(textwrap.dedent(TEXTS))
    read, load = texts.source.__wrapped__, texts.load
    source = functools.lru_cache(lambda id, folder=where: read(id, where))
    monkeypatch.setattr(texts, "source", source)
    monkeypatch.setattr(texts, "load", lambda id, stem, folder=where: load(id, stem, where))
    return where


@pytest.fixture
def lesson(folder, asked):
    """Lesson 1.3 in a workspace."""
    return lesson_module.Lesson("1.3", folder)


@pytest.fixture
def shown(monkeypatch):
    """What the lesson layer displays, in order."""
    from servelab.lessons import predict, quiz

    found = []
    for module in (predict, quiz):
        monkeypatch.setattr(module, "display", found.append)
    return found
