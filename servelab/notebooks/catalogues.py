"""The translators' tools: what is to be translated, how far each catalogue is, and what is wrong in it.

Three sources feed the catalogues: a notebook's prose cells (context: the cell's id), its lesson's questions
(context: where the text stands in assets/lessons, e.g. `predict.knee.question`), and the package's `_("...")`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polib

from servelab import i18n
from servelab.errors import ServelabError
from servelab.lessons import texts
from servelab.notebooks import source as sources
from servelab.notebooks import typography
from servelab.paths import LOCALE, ROOT

PACKAGES = (ROOT / "servelab", ROOT / "autograder")

Key = tuple[str | None, str]
"""Context and English text; the package's strings have no context."""


@dataclass(frozen=True)
class Catalogue:
    """One catalogue of one language, held against what is to be translated.

    Attributes:
        name: e.g. `zh_TW/notebooks/1.3_batching_tradeoff`.
        wanted: every text there is now, by its place: a cell's id, a lesson text's key, or the text itself.
    """

    lang: str
    domain: str
    wanted: dict[str, Key]

    @property
    def name(self) -> str:
        """The catalogue's path without root and ending."""
        return f"{self.lang}/{self.domain}"

    @property
    def path(self) -> Path:
        """The file."""
        return LOCALE / self.lang / f"{self.domain}.po"

    @cached_property
    def entries(self) -> dict[str, polib.POEntry]:
        """The entries on file, by place.

        Raises:
            ServelabError: the file cannot be read, or has a place twice.
        """
        if not self.path.exists():
            return {}
        try:
            read = [e for e in polib.pofile(str(self.path)) if not e.obsolete]
        except (OSError, ValueError) as error:
            raise ServelabError(f"{self.name}.po cannot be read: {error}") from None
        places = [e.msgctxt or e.msgid for e in read]
        if twice := sorted({p for p in places if places.count(p) > 1}):
            raise ServelabError(f"{self.name}.po has an entry twice: {twice[0]!r}; keep one.")
        return dict(zip(places, read, strict=True))

    @property
    def missing(self) -> list[str]:
        """Places without a translation."""
        return [p for p in self.wanted if p not in self.entries or not self.entries[p].msgstr.strip()]

    @property
    def stale(self) -> list[str]:
        """Places whose English changed after it was translated."""
        return [
            p
            for p, (_, text) in self.wanted.items()
            if p in self.entries and self.entries[p].msgstr and (self.entries[p].msgid != text or self.entries[p].fuzzy)
        ]

    @property
    def left_over(self) -> list[str]:
        """Entries for which there is no text any more."""
        return [p for p in self.entries if p not in self.wanted]

    @property
    def translated(self) -> int:
        """How many texts have a current translation."""
        return len(self.wanted) - len(self.missing) - len(self.stale)

    def problems(self) -> list[str]:
        """Everything that keeps this catalogue from being finished."""
        found = [f"missing: {_short(p)}" for p in self.missing]
        found += [f"stale, the English changed: {_short(p)}" for p in self.stale]
        found += [f"left over, the English is gone: {_short(p)}" for p in self.left_over]
        for place, (_, text) in self.wanted.items():
            translation = self.entries[place].msgstr if place in self.entries else ""
            if translation:
                wrong = typography.lost(text, translation)
                wrong += typography.problems(translation) if self.lang == "zh_TW" else []
                found += [f"{_short(place)}: {w}" for w in wrong]
        return [f"{self.name}: {problem}" for problem in found]

    def update(self) -> tuple[int, int, int]:
        """Write the file anew: how many entries were added, became stale, went.

        A changed text keeps its old translation, marked fuzzy, with the old English beside it.
        """
        added = changed = 0
        file = polib.POFile(encoding="utf-8")
        file.metadata = {
            "Language": self.lang,
            "MIME-Version": "1.0",
            "Content-Type": "text/plain; charset=UTF-8",
            "Content-Transfer-Encoding": "8bit",
        }
        for place, (context, text) in self.wanted.items():
            entry = self.entries.get(place)
            if entry is None:
                entry = polib.POEntry(msgctxt=context, msgid=text)
                added += 1
            elif entry.msgid != text:
                entry.previous_msgid, entry.msgid = entry.msgid, text
                if entry.msgstr and not entry.fuzzy:
                    entry.flags.append("fuzzy")
                changed += 1
            file.append(entry)
        gone = len(self.left_over)
        if added or changed or gone or not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file.save(str(self.path))
        return added, changed, gone


def _short(place: str) -> str:
    return repr(place if len(place) <= 60 else place[:57] + "...")


def package_strings() -> dict[str, Key]:
    """Every literal the packages pass to `_`.

    Raises:
        ServelabError: `_` is called with something else than a literal, which no translator would ever see.
    """
    found: dict[str, Key] = {}
    for path in (path for folder in PACKAGES for path in sorted(folder.rglob("*.py"))):
        calls = [n for n in ast.walk(ast.parse(path.read_text(), str(path))) if isinstance(n, ast.Call)]
        for node in sorted(calls, key=lambda n: (n.lineno, n.col_offset)):
            if not (isinstance(node.func, ast.Name) and node.func.id == "_"):
                continue
            argument = node.args[0] if len(node.args) == 1 else None
            if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                raise ServelabError(
                    f"{path.parent.name}/{path.name}, line {node.lineno}: give `_` one string literal "
                    "(format the result, not the argument)."
                )
            found[argument.value] = (None, argument.value)
    return found


def notebook_texts(source: sources.Source) -> dict[str, Key]:
    """A notebook's prose, by cell id, and its lesson's questions, by where they stand in assets/lessons."""
    prose = {cell.id: cell.source for cell in source.notebook.cells if cell.cell_type == "markdown"}
    return {place: (place, text) for place, text in (prose | texts.contexts(source.texts)).items()}


def every() -> list[Catalogue]:
    """Every catalogue there should be: the package's and each ready notebook's, in every language."""
    package = package_strings()
    notebooks = {f"notebooks/{s.stem}": notebook_texts(s) for s in sources.ready() if s.path.exists()}
    return [
        Catalogue(lang, domain, wanted)
        for lang in i18n.languages()
        if lang != i18n.SOURCE
        for domain, wanted in {"servelab": package, **notebooks}.items()
    ]


def orphans() -> list[str]:
    """Catalogue files that belong to no notebook."""
    known = {c.path for c in every()}
    return sorted(str(p.relative_to(LOCALE)) for p in LOCALE.rglob("*.po") if p not in known)


def check() -> list[str]:
    """Everything that is wrong in the catalogues."""
    found = [problem for catalogue in every() for problem in catalogue.problems()]
    return found + [f"{path}: belongs to no notebook that is ready" for path in orphans()]


def extract() -> list[str]:
    """Bring every catalogue up to date with the English; one line for each that changed."""
    lines = []
    for catalogue in every():
        added, changed, gone = catalogue.update()
        if added or changed or gone:
            lines.append(f"{catalogue.name}: {added} new, {changed} changed, {gone} gone")
    return lines
