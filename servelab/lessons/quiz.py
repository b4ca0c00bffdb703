"""A question whose every choice explains itself once it is answered."""

from __future__ import annotations

import html

from IPython.display import display

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.lessons import page, texts
from servelab.lessons.progress import Progress, now
from servelab.progress import is_static
from servelab.still import keeping


class Quiz:
    """One quiz question of one lesson. Displays itself: a form, or, without a frontend, choices to unfold."""

    def __init__(self, lesson: str, question: texts.Question, progress: Progress):
        self.lesson, self.question, self.progress = lesson, question, progress

    def answer(self, choice: int) -> bool:
        """Store an answer (the choice's position from 0) and tell whether it is right; the first one counts.

        Raises:
            ServelabError: there is no such choice.
        """
        choices = self.question.choices
        if not 0 <= choice < len(choices):
            raise ServelabError(_("Choose one of the answers, 0 to {last}.").format(last=len(choices) - 1))
        right = choices[choice].right
        with self.progress.change(self.lesson) as entry:
            stored = entry["quiz"].setdefault(self.question.id, {"first": choice, "right": right, "when": now()})
            stored.update(choice=choice, tries=stored.get("tries", 0) + 1)
        return right

    def explain(self, choice: int | None = None) -> str:
        """HTML: every choice with why it is right or wrong; `choice` is told as the learner's."""
        choices = [(texts.inline(c.text), texts.inline(c.why), c.right) for c in self.question.choices]
        return page.verdicts(choices, choice)

    def _answered(self, answer: str) -> tuple[str, bool]:
        if not answer:
            return f"<b>{html.escape(_('Choose an answer first.'))}</b>", False
        right = self.answer(int(answer))
        verdict = _("Right.") if right else _("Not quite.")
        return f"<b>{html.escape(verdict)}</b>{self.explain(int(answer))}", right

    def _ipython_display_(self) -> None:
        if is_static():
            display(self._standing())
            return
        from servelab.lessons.ask import Ask

        stored = self.progress.notebook(self.lesson)["quiz"].get(self.question.id)
        chosen = stored["choice"] if stored and stored["choice"] < len(self.question.choices) else None
        ask = Ask(
            self._answered,
            [texts.inline(choice.text) for choice in self.question.choices],
            name=self.question.id,
            question=texts.inline(self.question.question),
            button=_("Answer"),
            answer="" if chosen is None else str(chosen),
            feedback="" if chosen is None else self.explain(chosen),
            closed=chosen is not None and self.question.choices[chosen].right,
        )
        display(keeping(ask, lambda: [self._standing()]))

    def _standing(self) -> page.Shown:
        folded, plain = [], [self.question.question]
        for choice in self.question.choices:
            verdict = _("Right.") if choice.right else _("Not quite.")
            folded.append(
                f"<details><summary>{texts.inline(choice.text)}</summary>"
                f'<div style="padding:2px 0 6px 1.2em">{page.verdict(verdict, choice.right)} '
                f"{texts.inline(choice.why)}</div></details>"
            )
            plain += [f"  - {choice.text}", f"      {verdict} {choice.why.strip()}"]
        body = f'<div style="{page.TEXT}"><b>{texts.inline(self.question.question)}</b>{"".join(folded)}</div>'
        return page.Shown(body, "\n".join(plain))
