"""Commit to a guess, then see it beside the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from IPython.display import HTML, display

from servelab.errors import ServelabError
from servelab.figures import lessons as figures
from servelab.i18n import _
from servelab.lessons import page, texts
from servelab.lessons.progress import Progress, now
from servelab.progress import is_static
from servelab.still import keeping

CLOSE = 1.1
SUFFIXES = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "%": 1e-2}


def parse(text: str, percent: bool = False) -> float:
    """A number as people write it: `1,200`, `1 200`, `1.2k`, `3e4`, `15 %` (0.15, or 15 where the unit is %).

    Raises:
        ServelabError: it is not a finite number.
    """
    plain = text.strip().replace(",", "").replace(" ", "").replace("_", "")
    factor = 1.0
    if plain[-1:] in SUFFIXES:
        factor = 1.0 if plain[-1] == "%" and percent else SUFFIXES[plain[-1]]
        plain = plain[:-1]
    try:
        value = float(plain) * factor
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ServelabError(_("Write your guess as a number, such as 12, 0.5 or 3e4."))
    return value


def score(guess: float, measured: float) -> tuple[float | None, str]:
    """How far a guess is off: guess / measured (None where that says nothing), and the same in words."""
    if guess == measured:
        return 1.0, _("exactly right")
    if guess * measured <= 0:
        return None, _("off by {difference:.3g}").format(difference=abs(guess - measured))
    ratio = guess / measured
    factor = max(ratio, 1 / ratio)
    if factor <= CLOSE:
        return ratio, _("within 10 %")
    if factor < 2:
        high, low = _("{percent:.0f} % too high"), _("{percent:.0f} % too low")
        return ratio, (high if ratio > 1 else low).format(percent=100 * abs(ratio - 1))
    high, low = _("{factor:.3g}x too high"), _("{factor:.3g}x too low")
    return ratio, (high if ratio > 1 else low).format(factor=factor)


class Predict:
    """One prediction of one lesson: asks for the guess and keeps it. Displays itself."""

    def __init__(self, lesson: str, key: str, spec: texts.Prediction, progress: Progress, unit: str | None = None):
        self.lesson, self.key, self.spec, self.progress = lesson, key, spec, progress
        self.unit = spec.unit if unit is None else unit

    @property
    def entry(self) -> dict[str, Any]:
        """What is stored: `guess`, `when`, and after the answer `revealed`, `measured`, `ratio`."""
        return self.progress.notebook(self.lesson)["predictions"].get(self.key, {})

    def commit(self, guess: Any) -> str:
        """Store a guess (a number or its text; a choice's value, position or text) and say so.

        The first guess stays once the answer was shown.

        Raises:
            ServelabError: it is no number, or none of the choices.
        """
        value = self._value(guess)
        with self.progress.change(self.lesson) as entry:
            stored = entry["predictions"].setdefault(self.key, {})
            if "revealed" in stored and "guess" in stored:
                return _("You have seen the answer; your guess stays: {guess}.").format(
                    guess=self._text(stored["guess"])
                )
            late = {"late": True} if "revealed" in stored else {}
            stored.update(guess=value, when=now(), **late)
        return _("Saved: {guess}. You may change it until the answer is shown.").format(guess=self._text(value))

    def _value(self, guess: Any) -> Any:
        if self.spec.kind == "number":
            return parse(str(guess), percent=self.unit == "%")
        return self.spec.choices[self.position(guess)].value

    def position(self, answer: Any) -> int:
        """Which choice `answer` is: its value, its text in either language, or its position from 0.

        Raises:
            ServelabError: it is none of them.
        """
        choices = self.spec.choices
        for number, option in enumerate(choices):
            if answer in (option.value, option.text) and not isinstance(answer, bool) ^ isinstance(option.value, bool):
                return number
        number = int(answer) if str(answer).isdigit() else -1
        if 0 <= number < len(choices) and not isinstance(answer, bool):
            return number
        shown = "; ".join(f"{n} = {option.text}" for n, option in enumerate(choices))
        raise ServelabError(_("Choose one by its number: {choices}.").format(choices=shown))

    def _text(self, value: Any) -> str:
        if self.spec.kind == "choice":
            return self.spec.choices[self.position(value)].text
        return figures.quantity(value, self.unit)

    def _answer(self, answer: str) -> tuple[str, bool]:
        try:
            return texts.inline(self.commit(answer)), False
        except ServelabError as error:
            return f"<b>{texts.inline(str(error))}</b>", False

    def _ipython_display_(self) -> None:
        entry = self.entry
        state = _("Your guess: {guess}.").format(guess=self._text(entry["guess"])) if "guess" in entry else ""
        if is_static():
            code = f'`lesson.predict("{self.key}", guess=...)`'
            display(self._standing(state or _("No guess yet: write one with {code}.").format(code=code)))
            return
        from servelab.lessons.ask import Ask

        numbers = self.spec.kind == "number"
        answer = "" if "guess" not in entry else entry["guess"] if numbers else self.position(entry["guess"])
        ask = Ask(
            self._answer,
            [] if numbers else [texts.inline(o.text) for o in self.spec.choices],
            name=self.key,
            question=texts.inline(self.spec.question),
            hint=texts.inline(self.spec.hint or ""),
            unit=self.unit,
            button=_("Commit"),
            answer=f"{answer:g}" if isinstance(answer, float) else str(answer),
            feedback=texts.inline(state),
            closed="revealed" in entry and "guess" in entry,
        )
        display(keeping(ask, lambda: [self._standing("")]))

    def _standing(self, state: str) -> page.Shown:
        choices = [option.text for option in self.spec.choices]
        listed = "".join(f"<li>{texts.inline(text)}</li>" for text in choices)
        hint = f'<div style="opacity:.8">{texts.inline(self.spec.hint)}</div>' if self.spec.hint else ""
        body = (
            f'<div style="{page.TEXT}"><b>{texts.inline(self.spec.question)}</b>'
            f"{hint}{f'<ol start=0>{listed}</ol>' if choices else ''}<div>{texts.inline(state)}</div></div>"
        )
        plain = [self.spec.question, *(f"  {n}  {text}" for n, text in enumerate(choices)), state]
        return page.Shown(body, "\n".join(plain).rstrip())


class Reveal:
    """A guess beside the truth: `words`, `figure` (None for a choice), `ratio` (guess / measured). Displays itself."""

    def __init__(self, words: str, good: bool | None, ratio: float | None, figure: go.Figure | None, more: str = ""):
        self.words, self.good, self.ratio, self.figure, self.more = words, good, ratio, figure, more

    def _ipython_display_(self) -> None:
        display(page.Shown(page.sentence(self.words, self.good), self.words))
        if self.figure is not None:
            display(self.figure)
        if self.more:
            display(HTML(f'<div style="{page.TEXT}">{self.more}</div>'))


def reveal(asked: Predict, measured: float | str | Mapping[str, float], kind: str = "measured") -> Reveal:
    """Hold the stored guess against what was measured, and store how far off it was.

    Args:
        asked: the prediction.
        measured: one number, several named ones, or the choice that came out right.
        kind: measured, modelled or simulated.
    """
    maker = _reveal_choice if asked.spec.kind == "choice" else _reveal_number
    return maker(asked, measured, kind)


def _reveal_number(asked: Predict, measured: float | Mapping[str, float], kind: str) -> Reveal:
    named = {k: float(v) for k, v in measured.items()} if isinstance(measured, Mapping) else {"": float(measured)}
    if not named or not all(math.isfinite(v) for v in named.values()):
        raise ServelabError(_("There is no measured value to show: run the cell that measures it first."))
    entry = asked.entry
    guess, late = entry.get("guess"), entry.get("late", False)
    ratio, good = None, None
    if guess is None:
        words = _("No guess was made, so only the measured value is shown. Next time, commit first: it pays.")
    else:
        scores = {name: score(guess, value) for name, value in named.items()}
        ratio = next(iter(scores.values()))[0]
        good = any(r is not None and 1 / CLOSE <= r <= CLOSE for r, _words in scores.values())
        told = "; ".join(f"{name}: {text}" if name else text for name, (_r, text) in scores.items())
        words = _("Your guess of {guess} is {score}.").format(guess=asked._text(guess), score=told)
        if late:
            words += " " + _("(It was made after the answer was shown.)")
    result = {"measured": named.get("", named), "ratio": ratio}
    _store(asked, **result)
    drawn = figures.prediction(named, guess, asked.unit, log=asked.spec.log, kind=kind)
    return Reveal(words, good, ratio, drawn)


def _reveal_choice(asked: Predict, measured: Any, _kind: str) -> Reveal:
    right = asked.position(measured)
    choices = [
        (texts.inline(option.text), texts.inline(option.why or ""), number == right)
        for number, option in enumerate(asked.spec.choices)
    ]
    guess = asked.entry.get("guess")
    answer = asked.spec.choices[right].text.rstrip(".。")
    if guess is None:
        chosen, good = None, None
        words = _("No guess was made. It is: {answer}. Next time, commit first: it pays.").format(answer=answer)
    else:
        chosen = asked.position(guess)
        good = chosen == right
        told = _("Right: {answer}.") if good else _("You said: {guess}. It is: {answer}.")
        words = told.format(answer=answer, guess=asked.spec.choices[chosen].text.rstrip(".。"))
    _store(asked, measured=asked.spec.choices[right].value, right=good)
    reasons = any(option.why for option in asked.spec.choices)
    return Reveal(words, good, None, None, page.verdicts(choices, chosen) if reasons else "")


def _store(asked: Predict, **result: Any) -> None:
    with asked.progress.change(asked.lesson) as entry:
        stored = entry["predictions"].setdefault(asked.key, {})
        stored.setdefault("revealed", now())
        stored.update(result)
