"""What a lesson asks and compares, from `assets/lessons/<id>.toml`, in the learner's language."""

from __future__ import annotations

import html
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from servelab.errors import ServelabError
from servelab.i18n import _, translate
from servelab.paths import ASSETS

FOLDER = ASSETS / "lessons"


class Part(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Option(Part):
    """One choice of a prediction: `value` is what `reveal` compares; `why` is told once the answer is known."""

    text: str
    value: str | int | float | bool | None = None
    why: str | None = None


class Prediction(Part):
    """What a learner commits to before a measurement: a number (with its unit), or one of several choices."""

    question: str
    kind: Literal["number", "choice"] = "number"
    unit: str = ""
    log: bool = False
    hint: str | None = None
    choices: tuple[Option, ...] = ()

    @field_validator("choices", mode="before")
    @classmethod
    def _plain(cls, value):
        options = [{"text": c} if isinstance(c, str) else c for c in value]
        return [{"value": c.get("text"), **c} for c in options]


class Choice(Part):
    """One answer to a quiz question and why it is right or wrong."""

    text: str
    right: bool = False
    why: str


class Question(Part):
    """A quiz question; every choice explains itself."""

    id: str
    question: str
    choices: tuple[Choice, ...]

    @field_validator("choices")
    @classmethod
    def _one_right(cls, value):
        if sum(c.right for c in value) != 1:
            raise ValueError("exactly one choice must be right")
        return value


class Comparison(Part):
    """A model that is held against a measurement: its name, the unit of both numbers, and where it is true."""

    model: str
    unit: str = ""
    domain: str


class Texts(Part):
    """All of one lesson."""

    predict: dict[str, Prediction] = {}
    quiz: tuple[Question, ...] = ()
    compare: dict[str, Comparison] = {}

    def prediction(self, key: str) -> Prediction:
        """Raises: ServelabError: the lesson has no such prediction."""
        if key not in self.predict:
            raise ServelabError(_unknown(_("prediction"), key, self.predict))
        return self.predict[key]

    def question(self, id: str) -> Question:
        """Raises: ServelabError: the lesson has no such question."""
        found = {q.id: q for q in self.quiz}
        if id not in found:
            raise ServelabError(_unknown(_("quiz question"), id, found))
        return found[id]

    def comparison(self, key: str) -> Comparison:
        """Raises: ServelabError: the lesson has no such comparison."""
        if key not in self.compare:
            raise ServelabError(_unknown(_("comparison"), key, self.compare))
        return self.compare[key]


def _unknown(kind: str, name: str, known) -> str:
    return _("This lesson has no {kind} {name!r}; choose one of: {known}.").format(
        kind=kind, name=name, known=", ".join(known) or _("none")
    )


@lru_cache(maxsize=128)
def source(id: str, folder: Path = FOLDER) -> Texts:
    """The English texts of lesson `id`; empty where the lesson asks nothing.

    Raises:
        ServelabError: the file is not what it should be.
    """
    path = folder / f"{id}.toml"
    if not path.exists():
        return Texts()
    try:
        return Texts.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise ServelabError(
        _("{file} is not a lesson's text ({reason}); correct it.").format(file=path.name, reason=reason)
    )


def contexts(texts: Texts) -> dict[str, str]:
    """{message context: English text} of everything in a lesson that is translated."""
    found: dict[str, str] = {}
    for key, spec in texts.predict.items():
        found[f"predict.{key}.question"] = spec.question
        if spec.unit:
            found[f"predict.{key}.unit"] = spec.unit
        if spec.hint:
            found[f"predict.{key}.hint"] = spec.hint
        for number, option in enumerate(spec.choices):
            found[f"predict.{key}.choices.{number}"] = option.text
            if option.why:
                found[f"predict.{key}.choices.{number}.why"] = option.why
    for question in texts.quiz:
        found[f"quiz.{question.id}.question"] = question.question
        for number, choice in enumerate(question.choices):
            found[f"quiz.{question.id}.{number}.text"] = choice.text
            found[f"quiz.{question.id}.{number}.why"] = choice.why
    for key, row in texts.compare.items():
        found |= {f"compare.{key}.{part}": text for part, text in row.model_dump().items() if text}
    return found


def load(id: str, stem: str, folder: Path = FOLDER) -> Texts:
    """The texts of lesson `id` in the learner's language; `stem` names the notebook's file and its catalogue."""
    english = source(id, folder)

    def said(text: str | None, context: str) -> str | None:
        return text and translate(text, domain=f"notebooks/{stem}", context=context)

    predict = {
        key: spec.model_copy(
            update={
                "question": said(spec.question, f"predict.{key}.question"),
                "unit": said(spec.unit, f"predict.{key}.unit"),
                "hint": said(spec.hint, f"predict.{key}.hint"),
                "choices": tuple(
                    option.model_copy(
                        update={
                            "text": said(option.text, f"predict.{key}.choices.{n}"),
                            "why": said(option.why, f"predict.{key}.choices.{n}.why"),
                        }
                    )
                    for n, option in enumerate(spec.choices)
                ),
            }
        )
        for key, spec in english.predict.items()
    }
    quiz = tuple(
        question.model_copy(
            update={
                "question": said(question.question, f"quiz.{question.id}.question"),
                "choices": tuple(
                    choice.model_copy(
                        update={
                            "text": said(choice.text, f"quiz.{question.id}.{n}.text"),
                            "why": said(choice.why, f"quiz.{question.id}.{n}.why"),
                        }
                    )
                    for n, choice in enumerate(question.choices)
                ),
            }
        )
        for question in english.quiz
    )
    compare = {
        key: row.model_copy(
            update={part: said(text, f"compare.{key}.{part}") for part, text in row.model_dump().items()}
        )
        for key, row in english.compare.items()
    }
    return Texts(predict=predict, quiz=quiz, compare=compare)


def inline(text: str) -> str:
    """`text` as HTML: escaped, with `code`, **bold** and paragraphs."""
    safe = html.escape(text.strip(), quote=False)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", safe)
    return re.sub(r"\n\s*\n", "<br><br>", safe)
