"""Judging one submission: fair to what stands before and after a bad cell, deaf to constants, the same every time."""

from __future__ import annotations

import json

import pytest

from autograder import intake, judge, proof, sandbox
from autograder.evidence import Evidence
from servelab.notebooks import source as sources

pytestmark = [
    pytest.mark.skipif(sandbox._found() is None, reason="no sandbox on this machine: install bubblewrap"),
    pytest.mark.timeout(120),
]
READY = [s for s in sources.ready() if s.exercises()]
FIRST = next(s for s in READY if s.entry.id == "1.1")
COMPUTED = [(s, e) for s in READY for e in s.exercises() if not e.engine]


@pytest.fixture
def mark(tmp_path):
    """The judgement of a notebook answered by the reference, but for some answers and cells."""

    def judged(id="1.1", answers=None, before=None, seed=5, **given):
        source = next(s for s in READY if s.entry.id == id)
        nb = json.loads(json.dumps(intake.released(source, "en")))
        cells = []
        for cell in nb["cells"]:
            if cell["id"].endswith("-answer"):
                for text in (before or {}).get(cell["id"], []):
                    cells.append({"cell_type": "code", "source": text, "metadata": {}})
                cell["source"] = (answers or {}).get(cell["id"], source.cells[cell["id"]].source)
            cells.append(cell)
        path = tmp_path / source.path.name
        path.write_text(json.dumps(nb | {"cells": cells}))
        return judge.judge(source, intake.read(path, source), seed=seed, isolation=sandbox.isolation(), **given)

    return judged


def earned(judgement) -> list[float]:
    return [m.earned for m in judgement.marks]


def test_the_reference_earns_everything_and_the_same_seed_the_same(mark):
    one, two = mark(), mark()
    assert one.earned == one.points == 7 and all(m.cause is None for m in one.marks)
    assert [m.properties for m in one.marks] == [m.properties for m in two.marks] and one.digest == two.digest


def test_part_of_the_properties_earns_part(mark):
    got = mark(answers={"1-1-bend-answer": FIRST.cells["1-1-bend-answer"].source.replace("max(1, ceil(", "(1 + int(")})
    assert 0 < got.mark("1.1-bend").earned < 2 and earned(got)[0::2] == [2, 3]


@pytest.mark.parametrize(
    "bad",
    [
        "import os\nos._exit(0)",
        "while True: pass",
        "def decode_ceiling(*a, **k):\n    while True: pass",
        "import os\ndef decode_ceiling(*a, **k): os._exit(0)",
        "decode_ceiling = " + "[" * 80 + "]" * 80,
        "raise ValueError('no')",
        "this is no Python",
    ],
)
def test_a_bad_answer_costs_itself_alone(mark, monkeypatch, bad):
    monkeypatch.setattr(judge, "CALL_SECONDS", 2.0)
    got = mark(answers={"1-1-ceiling-answer": bad})
    assert earned(got) == [0, 2, 3] and got.marks[0].cause


def test_own_cells_may_help_and_may_fail(mark):
    answers = {"1-1-ceiling-answer": FIRST.cells["1-1-ceiling-answer"].source.replace("return", "return one *")}
    before = {"1-1-ceiling-answer": ["1 / 0", "one = 1"], "1-1-bend-answer": ["import os\nos._exit(0)", "input()"]}
    assert mark(answers=answers, before=before).earned == 7


def test_many_own_cells_that_end_the_process_are_given_up(mark, monkeypatch):
    opened = []
    real = sandbox.Isolation.open
    monkeypatch.setattr(sandbox.Isolation, "open", lambda self, *a: opened.append(1) or real(self, *a))
    monkeypatch.setattr(judge, "OWN_SECONDS_IN_ALL", 4.0)
    got = mark(before={"1-1-ceiling-answer": ["import os\nos._exit(0)"] * 100})
    assert got.earned == 7 and len(opened) < 10


def test_a_list_of_a_kind_of_its_own_is_a_list(mark):
    lazy = FIRST.cells["1-1-line-answer"].source.replace("return waited", "return Lazy(waited)")
    lazy = "class Lazy(list):\n    pass\n" + lazy
    assert mark(answers={"1-1-line-answer": lazy}).earned == 7


def test_ipython_is_understood(mark):
    magic = "%time x = 1\n" + FIRST.cells["1-1-ceiling-answer"].source
    assert mark(answers={"1-1-ceiling-answer": magic}).earned == 7


def test_a_text_in_an_error_of_a_hidden_check_is_not_shown(mark):
    leak = "n = []\ndef waits(a, s):\n    n.append(1)\n    if len(n) > 3:\n        raise ValueError(f'SEEN {a}')\n"
    shown = leak + "    return {0: [0, 0, 0], 2: [0, 2, 5], 4: [0, 3, 0]}[0]\n"
    got = mark(answers={"1-1-line-answer": shown}).mark("1.1-line")
    assert got.earned == 0 and "SEEN" not in (got.cause or "") and "ValueError" in got.cause
    own = shown.replace("ValueError", "type(f'SEEN{a}', (Exception,), {})")
    assert "SEEN" not in mark(answers={"1-1-line-answer": own}).mark("1.1-line").cause


def test_an_array_that_broadcasts_to_nothing_is_not_close(mark):
    source = next(s for s in READY if s.entry.id == "1.2")
    empty = source.cells["1-2-clocks-answer"].source.replace("return {", "import numpy as np\n    return {")
    start = empty.index('"itl_s": ')
    empty = empty[:start] + '"itl_s": np.zeros((n - 1, 0, 1)),\n    }\n'
    got = mark("1.2", answers={"1-2-clocks-answer": empty}).mark("1.2-clocks")
    assert not [p for p in got.properties if p.message == "There are n - 1 gaps."][0].held


@pytest.mark.parametrize(("source", "exercise"), COMPUTED, ids=[e.name for _s, e in COMPUTED])
def test_no_constant_earns_anything(source, exercise):
    values = ["None", "0", "1", "2", "10**9", "-10**9", "1e-9", "1e300", "0.5", "True", "[]", "[0.0]", "(0,)", "{}"]
    values += ["float('nan')", "''", "'x'", "set()", "{'tokens_needed': 1, 'consistent': True, 'in_flight': 1.0}"]
    values += ["{'ttft_s': 0.0, 'tpot_s': float('nan'), 'e2e_s': 0.0, 'itl_s': []}"]
    for value in values:
        for name in judge.defined(exercise.answer.source):
            answer = f"def {name}(*args, **kwargs):\n    return {value}\n"
            got = proof.judge(source, exercise, answer, exercise.test.source, seed=3)
            assert got.earned == 0, (value, got.outcomes)


def test_a_blank_notebook_opens_no_sandbox(tmp_path):
    source = FIRST
    way = sandbox.Isolation("none", lambda sockets, limits: ["false"])
    got = judge.judge(source, intake.read(tmp_path / "none.ipynb", source), seed=1, isolation=way)
    assert got.earned == 0 and {m.cause for m in got.marks} == {"Nothing was answered."}


def test_a_sandbox_that_does_not_start_is_said_and_costs_no_cell(mark, monkeypatch):
    broken = sandbox.Isolation("none", lambda sockets, limits: ["false"])
    monkeypatch.setattr(sandbox, "isolation", lambda: broken)
    assert all("sandbox did not start" in m.cause for m in mark().marks)


def test_without_engines_only_a_trace_is_judged(mark, tmp_path):
    lab = next(s for s in READY if any(e.engine for e in s.exercises()))
    changed = {c.id: c.source + "\n# mine" for c in (e.answer for e in lab.exercises())}
    got = mark(lab.entry.id, answers=changed, evidence=Evidence(tmp_path / "evidence", b"k" * 32))
    assert got.earned == 0 and all("running server" in m.cause for m in got.marks if "server" in (m.cause or ""))
