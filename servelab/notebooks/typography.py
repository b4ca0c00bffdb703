"""What can be told by rule about a Traditional Chinese text: characters, terms, punctuation, and what it must keep.

Only rules that do not err are here; whether a sentence is good Chinese is for a reader to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from markdown_it import MarkdownIt

from servelab import glossary

_CJK = "\u3400-\u4dbf\u4e00-\u9fff"
_GAP = "\ue000"  # stands for something that is neither Chinese nor Latin: code, a formula, an address

_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)|<(?:code|pre)\b.*?</(?:code|pre)>", re.DOTALL)
_MATH = re.compile(r"(?<!\\)\$\$.+?\$\$|(?<![\\$\w])\$(?![\s$])[^$\n]+?(?<![\s\\])\$(?![\w$])", re.DOTALL)
_ADDRESS = re.compile(r"(?<=\])\([^)\s]*\)|<?https?://[^\s)>」）]+>?")
_FIELD = re.compile(r"\{\w*(?:![rsa])?(?::[^{}]*)?\}")
_BLOCK_TAG = re.compile(r"</?(?!(?:a|b|i|u|em|strong|span|kbd|small|mark)\b)[a-z][^>]*>|<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"</?[a-z][^>]*>")

_TYPOGRAPHY = (
    (re.compile(rf"[{_CJK}] ?[,;:!?]|[,;:!?] ?[{_CJK}]|[{_CJK}]\.(?!\w)"), "half-width punctuation beside Chinese"),
    (re.compile(rf"[{_CJK}][()]|[()][{_CJK}]"), "half-width parenthesis beside Chinese"),
    (re.compile(rf"[{_CJK}][A-Za-z0-9]|[A-Za-z0-9][{_CJK}]"), "no space between Chinese and Latin"),
    (re.compile(r"^#+ .*的\s*$", re.MULTILINE), "a heading that ends in 的"),
)


def prose(text: str) -> str:
    """`text` without what is not prose: code, formulas, addresses, fields, tags, emphasis marks."""
    for pattern in (_FENCE, _CODE, _MATH, _ADDRESS, _FIELD):
        text = pattern.sub(_GAP, text)
    text = _TAG.sub("", _BLOCK_TAG.sub("\n", text))
    return text.replace("*", "").replace("![", "[")


def unrendered(text: str) -> list[str]:
    """Emphasis marks that Markdown leaves standing, as in `**模型：**每`: a mark between punctuation and a letter.

    The remedy is to put the punctuation outside the marks.
    """
    tokens = MarkdownIt().parse(_MATH.sub(_GAP, text))
    words = [c.content for t in tokens for c in t.children or () if c.type == "text"]
    return [w[max(m.start() - 8, 0) : m.end() + 8] for w in words if (m := re.search(r"\*\*|\*\S|\S\*", w))]


def problems(translation: str) -> list[str]:
    """Everything in a Traditional Chinese text that breaks a rule."""
    text, found = prose(translation), []
    if simplified := sorted({c for c in re.findall(f"[{_CJK}]", text) if not _traditional(c)}):
        found.append(f"characters not used in Taiwan: {''.join(simplified)}")
    found += [f"emphasis that Markdown does not see: {part}" for part in unrendered(translation)]
    for term in glossary.load():
        if term.avoid and (hit := term.avoid.search(text)):
            found.append(f"{hit.group()} is not used here; write {term.chinese} ({term.english})")
    for pattern, what in _TYPOGRAPHY:
        if hit := pattern.search(text):
            around = text[max(hit.start() - 6, 0) : hit.end() + 6].replace("\n", " ").replace(_GAP, "…")
            found.append(f"{what}: {around.strip()}")
    return found


def _traditional(character: str) -> bool:
    """Whether the character is in Big5, Taiwan's own set, which lacks the simplified forms."""
    try:
        character.encode("cp950")
    except UnicodeEncodeError:
        return False
    return True


def _formulas(text: str) -> list[str]:
    return ["".join(f.split()) for f in _MATH.findall(_CODE.sub(_GAP, _FENCE.sub(_GAP, text))) if "\\text" not in f]


_KEPT: tuple[tuple[str, Callable[[str], list[str]]], ...] = (
    ("code blocks", lambda t: [m.group() for m in _FENCE.finditer(t)]),
    ("code", lambda t: [m.group() for m in _CODE.finditer(_FENCE.sub("", t))]),
    ("formulas", _formulas),
    ("addresses", lambda t: re.findall(r"(?<=\]\()[^)\s]+|https?://[^\s)>」）]+", t)),
    ("fields", lambda t: _FIELD.findall(_CODE.sub("", _MATH.sub("", _FENCE.sub("", t))))),
)


def lost(source: str, translation: str) -> list[str]:
    """What a translation must keep as it is and does not: headings, code, formulas, addresses, fields."""
    found = []
    if re.findall(r"^#+(?= )", source, re.MULTILINE) != re.findall(r"^#+(?= )", translation, re.MULTILINE):
        found.append("other headings than the English")
    if source.count("<details") != translation.count("<details"):
        found.append("another number of hints than the English")
    for what, parts in _KEPT:
        if differing := set(parts(source)) ^ set(parts(translation)):
            found.append(f"other {what} than the English: {', '.join(sorted(differing))[:120]}")
    return found
