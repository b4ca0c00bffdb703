"""Every ready notebook on its real engines: the source passes, the learner's copy fails only where unsolved.

One execution proves both (see `proof.proving`), and serves both languages, for the code is the same in them; the
language alternates so that the package's texts are seen in each. The servers are shared and stay warm in between.

That wrong answers lose takes minutes where a server judges them. So it is tried again only where the exercise, its
wrong answers or the modules that they name have changed since they were last proven (`make bench NAME=proofs`).
"""

from __future__ import annotations

import psutil
import pytest

from autograder import proof, proven
from servelab import i18n
from servelab.notebooks import execute, html, translate
from servelab.notebooks import source as sources

pytestmark = pytest.mark.engine
READY = sources.ready()
LANGUAGES = {source.stem: i18n.languages()[n % 2] for n, source in enumerate(READY)}


def place(source: sources.Source) -> str:
    """The notebook as a test's name has it: `labs/vllm/2.1_deployment`; tests/conftest.py reads the track from it."""
    return source.entry.path.removesuffix(".ipynb")


@pytest.fixture(scope="module")
def workspace(own_home):
    with execute.session() as folder:
        yield folder


@pytest.fixture(autouse=True)
def room():
    """Warm servers are kept for the next notebook only while half of the memory is left: another worker needs some."""
    yield
    memory = psutil.virtual_memory()
    if memory.available < memory.total / 2:
        execute.stop_owned()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("source", READY, ids=place)
def test_the_source_passes_and_the_learners_copy_fails_only_where_unsolved(source, workspace, record_property):
    lang, exercises = LANGUAGES[source.stem], source.exercises()
    nb, must_raise = proof.proving(translate.apply(source.notebook, source.stem, lang), exercises)
    env = execute.environment(lang, "ci", workspace)
    run = execute.execute(nb, source.path, env=env, cwd=source.path.parent)
    took = f"{run.seconds:.0f} s, {run.cells} cells, {run.peak_bytes / 2**20:.0f} MiB"
    record_property("notebook", f"{source.stem}: {took}")
    raised = {failure.cell: str(failure) for failure in run.failures}
    may_raise = {f"released-{e.answer.id}" for e in exercises}
    assert set(raised) - may_raise == must_raise, raised
    assert run.exercises == len(exercises)
    assert html.remote(html.page(run.notebook, source.stem, lang)) == []


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("source", "exercise"), [pytest.param(s, e, id=f"{place(s)}-{e.name}") for s, e in proven.exercises()]
)
def test_an_exercise_on_a_running_server_proves_itself(source, exercise, workspace, headless):
    if day := proven.day(source, exercise):
        pytest.skip(f"proven on {day} and the same since, as assets/records/proofs.json says")
    assert proof.lasting(source, exercise) == []
