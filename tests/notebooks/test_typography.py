"""The rules for Traditional Chinese tell what is wrong, and nothing else."""

from __future__ import annotations

import pytest

from servelab import glossary
from servelab.notebooks import typography

GOOD = """## 批次大小的取捨

**先猜。** 每個 token 在 30 層的每一層、3 個 KV head 裡，各留下兩個向量（key 和 value）；`print("a,b")` 會印出它。
首個 token 延遲（TTFT）是 $T = a_1 + b$，詳見 [論文](https://example.org/a,b) 第 3 節：「1,024 個 token」。

- 吞吐量 (token/s)
- 2:1 的比例，1.5 倍
- 排程序列、連線程式、文字節點、國內存取、演算法

<details><summary>提示</summary>

先算 $x$。
</details>
"""


def test_good_chinese_passes():
    assert typography.problems(GOOD) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("记录", "characters not used in Taiwan: 录记"),
        ("內存", "write 記憶體"),
        ("緩存", "write 快取"),
        ("網絡", "write 網路"),
        ("默認值", "write 預設"),
        ("服務器", "write 伺服器"),
        ("程序", "write 程式"),
        ("數據", "write 資料"),
        ("隊列", "write 佇列"),
        ("線程", "write 執行緒"),
        ("字節", "write 位元組"),
        ("吞吐量,延遲", "half-width punctuation"),
        ("吞吐量: 延遲", "half-width punctuation"),
        ("結束.", "half-width punctuation"),
        ("延遲(秒)", "parenthesis"),
        ("**TTFT**是延遲", "no space"),
        ("第3節", "no space"),
        ("## 模型的\n", "ends in 的"),
        ("**先猜：**每個", "emphasis that Markdown does not see"),
        ("這是**「區塊」**嗎", "emphasis that Markdown does not see"),
    ],
)
def test_wrong_chinese_is_told(text, told):
    assert any(told in problem for problem in typography.problems(text))


@pytest.mark.parametrize(
    ("english", "chinese", "told"),
    [
        ("## A", "A", "headings"),
        ("run `a`", "執行 `b`", "code"),
        ("$x$", "$y$", "formulas"),
        ("[a](b.ipynb)", "[甲](c.ipynb)", "addresses"),
        ("{n} requests", "{m} 個請求", "fields"),
        ("<details>", "提示", "hints"),
        ("```\nx\n```", "```\ny\n```", "code blocks"),
    ],
)
def test_what_a_translation_must_keep(english, chinese, told):
    assert any(told in problem for problem in typography.lost(english, chinese))


def test_order_and_spaces_are_free():
    assert typography.lost("`a` then $x + y$ at {n:.1f}", "{n:.1f} 時 $x+y$，再 `a`") == []


def test_the_glossary_keeps_its_own_rules():
    terms = glossary.load()
    assert len({t.english for t in terms}) == len(terms) > 50
    chinese = [text for t in terms for text in (t.chinese, t.definition.zh_TW if t.definition else "")]
    assert [problem for text in chinese for problem in typography.problems(text)] == []
