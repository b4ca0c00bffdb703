"""The field's terms in the course's two languages: what the start page explains and the translations follow."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from servelab.course import Text
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.paths import LOCALE

FILE = LOCALE / "glossary.csv"
COLUMNS = ("english", "zh_TW", "avoid", "note", "definition", "definition_zh_TW")


@dataclass(frozen=True)
class Term:
    """One term: its English, the Chinese the course uses, and a pattern of what a Chinese text never says.

    `definition` explains a term of the field; it is None for an ordinary word, which is here for its Chinese.
    """

    english: str
    chinese: str
    avoid: re.Pattern[str] | None
    note: str
    definition: Text | None

    def __str__(self) -> str:
        return str(Text(en=self.english, zh_TW=self.chinese))


@lru_cache(maxsize=4)
def load(path: Path = FILE) -> tuple[Term, ...]:
    """Every term, those of the field first.

    Raises:
        ServelabError: the file is missing, or a line is wrong; the sentence names the line.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            return tuple(_term(row, f"{Path(path).name}, line {lines.line_num}") for row in lines)
    except OSError as error:
        raise ServelabError(
            _("{file} cannot be read ({reason}); restore it, for example with git.").format(
                file=path, reason=error.strerror
            )
        ) from None


def explained() -> tuple[Term, ...]:
    """The terms that have a definition, in the order of the file."""
    return tuple(term for term in load() if term.definition)


def _term(row: dict[str, str], where: str) -> Term:
    problem = _("{where}: {reason}.")
    if tuple(row) != COLUMNS or None in row.values():
        reason = _("a line has these columns: {columns}").format(columns=", ".join(COLUMNS))
        raise ServelabError(problem.format(where=where, reason=reason))
    if not row["english"] or not row["zh_TW"]:
        raise ServelabError(problem.format(where=where, reason=_("a term needs its English and its Chinese")))
    if bool(row["definition"]) != bool(row["definition_zh_TW"]):
        raise ServelabError(problem.format(where=where, reason=_("a definition stands in both languages or in none")))
    try:
        avoid = re.compile(row["avoid"]) if row["avoid"] else None
    except re.error as error:
        reason = _("`avoid` is no valid pattern ({error})").format(error=error)
        raise ServelabError(problem.format(where=where, reason=reason)) from None
    text = Text(en=row["definition"], zh_TW=row["definition_zh_TW"]) if row["definition"] else None
    return Term(row["english"], row["zh_TW"], avoid, row["note"], text)
