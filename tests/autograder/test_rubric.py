"""The rubric's arithmetic against hand-made cases, and the course's own cells and sheets against its rules."""

from html import escape

import numpy as np
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from autograder import rubric
from autograder.results import Judgement, Mark
from autograder.rubric import Result, Share, Task
from servelab import course
from servelab.errors import ServelabError
from servelab.notebooks import html, source, typography

PLAN = course.load()
TASKS = (
    Task("1.1-a", "1.1", "level-1", "metrics", 2),
    Task("1.2-b", "1.2", "level-1", "metrics", 6),
    Task("1.3-c", "1.3", "level-1", "batching", 4),
    Task("2.4-d", "2.4", "level-2", "bottlenecks", 4),
    Task("5.8-e", "5.8", "level-5", "propose", 12, manual=True),
)


def judged(notebook, *marks):
    return Judgement(notebook, "en", 1, tuple(Mark(*mark) for mark in marks))


def result(exercise, earned):
    task = next(t for t in TASKS if t.exercise == exercise)
    mark = None if earned is None else Mark(exercise, task.item, task.points, earned)
    return Result(exercise, task.notebook, task.item, task.points, mark)


# ---------------------------------------------------------------------------------------------------------------
# The course's own.


def test_twelve_items_weigh_forty_thirty_twenty_ten():
    assert len(PLAN.items) == 12 and [g.weight for g in PLAN.groups] == [40, 30, 20, 10]


def test_every_graded_cell_is_bound_to_an_item():
    assert rubric.tasks() and rubric.problems() == []


def test_tasks_are_the_exercises_of_the_notebooks():
    for one in source.ready():
        held = [t for t in rubric.tasks_of(one) if not t.manual]
        assert [(t.exercise, t.item, t.points) for t in held] == [(e.name, e.item, e.points) for e in one.exercises()]
        assert all((t.notebook, t.part) == (one.entry.id, one.entry.part) for t in held)


def test_a_cell_without_item_or_sheet_is_told():
    told = rubric.problems(
        [Task("1.1-a", "1.1", "level-1", "", 2), Task("1.1-b", "1.1", "level-1", "propose", 2, True)]
    )
    assert "1.1-a is bound to no assessment item" in told[0]
    assert "add assets/rubrics/1.1-b.toml" in told[1]
    wrong = Task("5.8-dossier-proposal", "5.8", "level-5", "explore", 12, True)
    assert "disagree" in rubric.problems([wrong])[0]


# ---------------------------------------------------------------------------------------------------------------
# Standing.


def test_mastery_by_item_part_and_both():
    stand = rubric.standing([result("1.1-a", 2), result("1.2-b", 3), result("1.3-c", 1)], TASKS)
    assert stand.items["metrics"] == Share(5, 8, 8) and stand.items["metrics"].mastery == 5 / 8
    assert stand.items["bottlenecks"] == Share(0, 0, 4) and stand.items["bottlenecks"].mastery is None
    assert stand.parts["level-1"] == Share(6, 12, 12) and stand.parts["vllm"] == Share()
    assert stand.cells["batching", "level-1"] == Share(1, 4, 4) and ("batching", "level-2") not in stand.cells


def test_the_mark_weighs_graded_items_only_and_says_so():
    stand = rubric.standing([result("1.1-a", 2), result("1.2-b", 3), result("1.3-c", 1)], TASKS)
    assert stand.counted == 25  # metrics 15, batching 10
    assert stand.mark == pytest.approx(100 * (15 * 5 / 8 + 10 * 1 / 4) / 25)
    assert stand.groups == {"basics": 5 / 8, "optimization": 1 / 4, "architecture": None, "innovation": None}
    assert set(stand.ungraded) == {"bottlenecks", "propose"} and "fastapi" in stand.unwritten
    assert not set(stand.unwritten) & {"metrics", "batching", "bottlenecks", "propose"}


def test_nothing_graded_is_no_mark():
    stand = rubric.standing([], TASKS)
    assert stand.mark is None and stand.counted == 0


def test_all_and_nothing():
    assert rubric.standing([result(t.exercise, t.points) for t in TASKS], TASKS).mark == 100
    assert rubric.standing([result(t.exercise, 0) for t in TASKS], TASKS).mark == 0


def test_what_others_handed_in_counts_as_missing():
    graded = {
        "level-1": {
            "ada": [judged("1.1", ("1.1-a", "metrics", 2, 2)), judged("1.2", ("1.2-b", "metrics", 6, 6))],
            "bo": [judged("1.1", ("1.1-a", "metrics", 2, 1))],
        }
    }
    assert [(r.exercise, r.earned, r.mark is None) for r in rubric.results_of(graded, "bo")] == [
        ("1.1-a", 1, False),
        ("1.2-b", 0, True),
    ]
    assert all(r.mark is None for r in rubric.results_of(graded, "new"))
    assert rubric.standing(rubric.results_of(graded, "bo"), TASKS).items["metrics"] == Share(1, 8, 8)


def test_what_waits_for_a_hand_is_left_out():
    graded = {"level-5": {"ada": [judged("5.8", ("5.8-e", "propose", 12, 9))], "bo": [judged("5.8")]}}
    assert rubric.results_of(graded, "bo") == ()
    assert rubric.pending(graded["level-5"]["bo"], TASKS) == ("5.8-e",)
    assert rubric.pending(graded["level-5"]["ada"], TASKS) == ()


def test_of_two_marks_the_better_counts():
    first, second = judged("1.1", ("1.1-a", "metrics", 2, 2)), judged("1.1", ("1.1-a", "metrics", 2, 1))
    for order in ((first, second), (second, first)):
        graded = {"a": {"ada": [order[0]]}, "b": {"ada": [order[1]]}}
        assert [r.earned for r in rubric.results_of(graded, "ada")] == [2]


def test_parts_have_short_names_in_both_languages():
    assert list(rubric.parts(PLAN).values())[0] == "Intuition" and rubric.parts(PLAN)["triton"] == "Triton"
    with rubric.speaking("zh_TW"):
        assert rubric.parts(PLAN)["level-1"] == "直覺層" and rubric.parts(PLAN)["vllm"] == "vLLM"


def test_speaking_leaves_the_language_as_it_was(monkeypatch):
    monkeypatch.setenv("SERVELAB_LANGUAGE", "zh_TW")
    with pytest.raises(RuntimeError), rubric.speaking("en"):
        raise RuntimeError
    assert rubric.parts(PLAN)["level-1"] == "直覺層"


# ---------------------------------------------------------------------------------------------------------------
# What to do next.


def test_advice_goes_by_weight_times_what_is_missing():
    results = [result("1.1-a", 1), result("1.2-b", 3), result("1.3-c", 0), result("2.4-d", 4)]
    told = rubric.advice(results, rubric.standing(results, TASKS))
    assert [a.item for a in told] == ["batching", "metrics"]  # 10 x 1 before 15 x 1/2; bottlenecks is mastered
    assert told[0].gain == pytest.approx(100 * 10 / 32) and told[0].notebooks == ("1.3",)
    assert told[1].exercises == ("1.2-b", "1.1-a") and told[1].notebooks == ("1.2", "1.1")


def test_full_mastery_of_the_advised_gains_what_it_promised():
    before = [result("1.1-a", 1), result("1.2-b", 3), result("1.3-c", 0)]
    after = [result("1.1-a", 1), result("1.2-b", 3), result("1.3-c", 4)]
    gain = rubric.standing(after, TASKS).mark - rubric.standing(before, TASKS).mark
    assert rubric.advice(before, rubric.standing(before, TASKS))[0].gain == pytest.approx(gain)


def test_advice_is_a_sentence_with_item_exercise_and_notebook():
    results = [result("1.3-c", 1)]
    told = rubric.tell(rubric.advice(results, rubric.standing(results, TASKS))[0])
    for part in ("batching", "25 %", "1.3-c", "Batching: throughput against latency", "75.0"):
        assert part in told


def test_onward_is_the_next_notebook_nothing_is_graded_of():
    assert "1.3" in rubric.onward([result("1.1-a", 2), result("1.2-b", 1)], TASKS)
    assert "Every notebook" in rubric.onward([result(t.exercise, 0) for t in TASKS], TASKS)


# ---------------------------------------------------------------------------------------------------------------
# How exercises behave.


def test_discrimination_is_the_correlation_with_the_rest():
    one, rest = [0.0, 0.5, 1.0, 1.0, 0.25], [3.0, 5.0, 9.0, 8.0, 6.0]
    assert rubric.discrimination(one, rest) == pytest.approx(np.corrcoef(one, rest)[0, 1])
    assert rubric.discrimination(one, [-x for x in rest]) == pytest.approx(-np.corrcoef(one, rest)[0, 1])
    assert rubric.discrimination([1, 1, 1], [1, 2, 3]) is None
    assert rubric.discrimination([0, 1], [1, 2]) is None


def test_an_exercise_is_held_against_all_but_itself():
    earned = {"a": (2, 0), "b": (1, 6), "c": (0, 3), "d": (2, 2)}
    results = {s: [result("1.1-a", x), result("1.2-b", y)] for s, (x, y) in earned.items()}
    first, second = rubric.behaviours(results)
    expected = np.corrcoef(*zip(*earned.values(), strict=True))[0, 1]
    assert first.discrimination == second.discrimination == pytest.approx(expected)
    assert (first.handed_in, first.mean, first.full, first.none) == (4, 5 / 8, 2, 1)


def test_who_did_not_hand_in_says_nothing_about_the_exercise():
    results = {"a": [result("1.1-a", 2)], "b": [result("1.1-a", None)], "c": [result("1.2-b", None)]}
    (only,) = rubric.behaviours(results)
    assert (only.exercise, only.handed_in, only.mean, only.discrimination) == ("1.1-a", 1, 1.0, None)


# ---------------------------------------------------------------------------------------------------------------
# Marked by hand.


def test_the_dossier_covers_proposing_and_exploring():
    assert {s.item for s in rubric.sheets()} == {"propose", "explore"}
    for marked in rubric.sheets():
        assert marked.exercise.startswith("5.8-dossier-") and marked.points == 12
        assert {marked.item} <= set(PLAN.notebook("5.8").items)


def test_every_sheet_is_one_table_a_criterion_in_both_languages():
    for marked in rubric.sheets():
        for lang in ("en", "zh_TW"):
            text = rubric.markdown(marked, lang)
            page = html.markdown(text)
            assert page.count("<table>") == len(marked.criteria)
            assert page.count("<td") == 2 * sum(len(c.steps) for c in marked.criteria)
            assert all(step.text.get(lang) in text for c in marked.criteria for step in c.steps)


def test_formgrader_shows_the_sheet_before_the_field_for_points():
    from nbconvert import HTMLExporter
    from nbgrader.server_extensions.formgrader.handlers import template_path

    cells = [new_markdown_cell(rubric.markdown(marked)) for marked in rubric.sheets()]
    for number, marked in enumerate(rubric.sheets()):
        meta = {"grade": True, "solution": True, "locked": False, "task": False, "points": marked.points}
        meta |= {"grade_id": marked.exercise.replace(".", "-"), "schema_version": 3, "cell_type": "markdown"}
        cells.insert(2 * number + 1, new_markdown_cell("An answer.", metadata={"nbgrader": meta}))
    exporter = HTMLExporter(template_name="formgrade", extra_template_basedirs=[template_path])
    resources = {"base_url": "", "index": 0, "total": 1, "notebook_id": "5.8", "submission_id": "x"}
    page, _resources = exporter.from_notebook_node(new_notebook(cells=cells), resources=resources)
    for marked in rubric.sheets():
        field = page.index(f'id="{marked.exercise.replace(".", "-")}"')
        places = [page.index(escape(step.text.en, quote=False)) for c in marked.criteria for step in c.steps]
        assert max(places) < field and f"/ {marked.points}" in page[field:]


def test_the_chinese_of_the_sheets_is_real():
    for marked in rubric.sheets():
        texts = [marked.title, marked.task]
        texts += [t for c in marked.criteria for t in (c.title, c.asks, *(s.text for s in c.steps))]
        assert [p for t in texts for p in typography.problems(t.zh_TW)] == []


SHEET = """
exercise = "1.1-essay"
item = "propose"
title = { en = "An essay", zh_TW = "短文" }
task = { en = "Write.", zh_TW = "寫。" }
[[criteria]]
id = "clear"
title = { en = "Clear", zh_TW = "清楚" }
asks = { en = "is it?", zh_TW = "清楚嗎？" }
steps = [
  { points = 2, text = { en = "yes", zh_TW = "是" } },
  { points = 0, text = { en = "no", zh_TW = "否" } },
]
"""


def test_a_sheet_is_read(tmp_path):
    (tmp_path / "1.1-essay.toml").write_text(SHEET)
    assert rubric.sheet("1.1-essay", tmp_path).points == 2


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"propose"', '"prose"', "there is no assessment item 'prose'"),
        ("points = 0", "points = 1", "must go down to 0"),
        ("points = 2", "points = 0", "must go down to 0"),
        (', zh_TW = "短文"', "", "title.zh_TW"),
        ("[[criteria]]", "[[criterion]]", "criteria"),
        ('"1.1-essay"', '"1.1-other"', "it is for 1.1-other"),
        ("steps = [", "steps = [[", "is wrong"),
    ],
)
def test_a_wrong_sheet_is_refused_with_the_reason(tmp_path, old, new, reason):
    (tmp_path / "1.1-essay.toml").write_text(SHEET.replace(old, new))
    with pytest.raises(ServelabError, match=r"^1\.1-essay\.toml is wrong \(.*correct it\.$") as refused:
        rubric.sheet("1.1-essay", tmp_path)
    assert reason in str(refused.value)
