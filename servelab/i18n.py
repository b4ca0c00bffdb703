"""The course's languages: gettext catalogues read as they are, no compiled copies that could go stale.

English is the source. `assets/locale/<language>/servelab.po` holds the package's own strings;
`assets/locale/<language>/notebooks/<name>.po` one notebook's prose (keyed by cell id) and its lesson texts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache

import polib

from servelab.errors import ServelabError
from servelab.paths import LOCALE

SOURCE = "en"


def languages() -> list[str]:
    """The source language and every language that has a catalogue."""
    return [SOURCE, *sorted(p.name for p in LOCALE.iterdir() if (p / "servelab.po").exists())]


def language() -> str:
    """The learner's language, from `SERVELAB_LANGUAGE` (default `en`).

    Raises:
        ServelabError: a language the course does not have.
    """
    return check(os.environ.get("SERVELAB_LANGUAGE") or SOURCE)


def check(lang: str) -> str:
    """`lang` itself, if the course has it.

    Raises:
        ServelabError: a language the course does not have.
    """
    if lang != SOURCE and not (LOCALE / lang / "servelab.po").exists():
        raise ServelabError(f"The course has no language {lang!r}; choose one of: {', '.join(languages())}.")
    return lang


@lru_cache(maxsize=64)
def catalogue(lang: str, domain: str) -> dict[tuple[str | None, str], str]:
    """The current entries of one catalogue: {(context, source text): translation}; empty for the source."""
    path = LOCALE / lang / f"{domain}.po"
    if lang == SOURCE or not path.exists():
        return {}
    entries = polib.pofile(str(path))
    return {(e.msgctxt, e.msgid): e.msgstr for e in entries if e.msgstr and not e.obsolete and not e.fuzzy}


def translate(text: str, domain: str = "servelab", context: str | None = None, lang: str | None = None) -> str:
    """`text` in the learner's language, or itself where no translation stands."""
    return catalogue(lang or language(), domain).get((context, text), text)


def _(text: str) -> str:
    """A string of the package in the learner's language. Call it with a literal: extraction reads the source."""
    return translate(text)


def sentences(*texts: str) -> str:
    """Sentences in a row, with the gap that the learner's language puts between them (Chinese: none)."""
    return ("" if language() == "zh_TW" else " ").join(texts)


def listed(texts: Iterable[str]) -> str:
    """An enumeration, with the comma that the learner's language uses."""
    return ("、" if language() == "zh_TW" else ", ").join(texts)


@contextlib.contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Every sentence in `lang` while the block runs, whatever the learner's own language is."""
    before = os.environ.get("SERVELAB_LANGUAGE")
    os.environ["SERVELAB_LANGUAGE"] = check(lang)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("SERVELAB_LANGUAGE", None)
        else:
            os.environ["SERVELAB_LANGUAGE"] = before
