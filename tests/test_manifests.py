"""Manifests: what is valid, and what keeps promises; each question is lost by the change that it asks about."""

from __future__ import annotations

import copy
import runpy

import pytest

from servelab import manifests
from servelab.errors import ServelabError
from servelab.paths import ROOT

START_S, LONGEST_S = 40.0, 60.0


@pytest.fixture(scope="module")
def naive():
    return manifests.read(manifests.DEPLOY / "kubernetes.yaml")


def reference():
    """The notebook's own answer, as its mutants carry it."""
    names: dict = {}
    exec(runpy.run_path(str(ROOT / "tests/notebooks/mutants/vllm-2.4-manifests.py"))["RIGHT"], names)
    return names["production"]


@pytest.fixture
def right(naive):
    return reference()(copy.deepcopy(naive), START_S, LONGEST_S, 1)


def why(objects):
    said = manifests.inspect(objects, START_S, LONGEST_S)
    return {name for name, reason in said.items() if reason}


def test_what_the_learner_starts_from_is_valid_and_not_fit(naive):
    assert why(naive) == set(manifests.CHECKS) - {"valid", "network"}
    assert "✗ ready" in manifests.table(naive, START_S, LONGEST_S)


def test_the_reference_keeps_every_promise(right):
    assert why(right) == set()
    assert manifests.invalid(right) == []


def change(objects, path, value):
    """The objects with another value at a path; `...` takes it away."""
    one = objects
    for step in path[:-1]:
        one = one[step]
    if value is ...:
        del one[path[-1]]
    else:
        one[path[-1]] = value
    return objects


POD = (0, "spec", "template", "spec")
WEB, ENGINE = (*POD, "containers", 0), (*POD, "containers", 1)
CHANGES = [
    ("valid", (0, "spec", "replica"), 3),
    ("images", (*ENGINE, "image"), "vllm/vllm-openai"),
    ("secret", (*WEB, "env", 1), {"name": "API_KEYS", "value": "taipei-101"}),
    ("ready", (*WEB, "readinessProbe", "httpGet", "path"), "/health"),
    ("alive", (*WEB, "livenessProbe", "httpGet", "path"), "/ready"),
    ("startup", (*ENGINE, "startupProbe", "failureThreshold"), 3),
    ("startup", (*ENGINE, "startupProbe", "failureThreshold"), 10_000),
    ("startup", (*ENGINE, "livenessProbe"), ...),
    ("drain", (*POD, "terminationGracePeriodSeconds"), 30),
    ("drain", (*WEB, "lifecycle"), ...),
    ("drain", (*ENGINE, "lifecycle"), ...),
    ("rolling", (0, "spec", "strategy", "rollingUpdate", "maxUnavailable"), 1),
    ("rolling", (0, "spec", "strategy"), {"type": "Recreate"}),
    ("rolling", (0, "spec", "strategy", "rollingUpdate", "maxSurge"), 0),
    ("gpu", (*ENGINE, "resources", "limits", manifests.GPU), "0"),
    ("gpu", (*ENGINE, "resources", "limits", "memory"), ...),
    ("budget", (2, "spec", "minAvailable"), 2),
    ("budget", (2, "spec", "selector", "matchLabels"), {"app": "other"}),
    ("scaling", (3, "spec", "minReplicas"), 1),
    ("scaling", (3, "spec", "metrics", 0, "pods", "metric", "name"), "cpu"),
    ("scaling", (3, "spec", "behavior", "scaleDown", "stabilizationWindowSeconds"), 0),
    ("scaling", (0, "spec", "replicas"), 3),
    ("network", (1, "spec", "ports", 0, "targetPort"), "door"),
    ("spread", (*POD, "topologySpreadConstraints"), ...),
]


@pytest.mark.parametrize(("question", "path", "value"), CHANGES, ids=lambda v: v if isinstance(v, str) else None)
def test_each_question_is_lost_by_the_change_it_asks_about(right, question, path, value):
    assert question in why(change(right, path, value))


def test_a_shell_s_sleep_and_an_affinity_are_as_good(right):
    change(right, (*WEB, "lifecycle", "preStop"), {"exec": {"command": ["sh", "-c", "sleep 10"]}})
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "completions"}}}
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    change(right, (*POD, "topologySpreadConstraints"), ...)
    change(right, (*POD, "affinity"), {"podAntiAffinity": rule})
    assert why(right) == set()


@pytest.mark.parametrize("nonsense", [None, "text", [], [1], [{}], [{"kind": "Deployment", "spec": 3}]])
def test_nonsense_holds_nothing_and_breaks_nothing(nonsense):
    said = manifests.inspect(nonsense, START_S, LONGEST_S)
    assert set(said) == set(manifests.CHECKS) and sum(bool(reason) for reason in said.values()) >= 11


def test_yaml_is_read_with_a_reason():
    with pytest.raises(ServelabError, match="no YAML"):
        manifests.read("a: [1")
    with pytest.raises(ServelabError, match="mapping"):
        manifests.read("- 1\n---\n")


def test_the_course_s_own_files_are_valid():
    assert manifests.invalid_compose((manifests.DEPLOY / "compose.yaml").read_text()) == []
    assert manifests.unfit_container((manifests.DEPLOY / "Containerfile").read_text()) == []


def test_what_is_wrong_in_a_compose_or_container_file_is_told():
    assert "restrat" in manifests.invalid_compose("services:\n  a:\n    image: x\n    restrat: always\n")[0]
    assert "q" in manifests.invalid_compose("services:\n  a:\n    image: x\n    networks: [q]\n")[0]
    assert len(manifests.unfit_container("FROM python\nCMD uvicorn service:app\n")) == 4


def test_the_course_s_engine_version_is_the_one_in_its_files():
    from servelab import course

    version = course.load().versions.vllm
    for name in ("Containerfile", "compose.yaml"):
        assert f"vllm-openai:v{version}" in (manifests.DEPLOY / name).read_text()
    assert f"image: {course.load().versions.triton_image}\n" in (manifests.DEPLOY / "triton.yaml").read_text()


TRITON_START_S = 60.0


def triton_why(text):
    said = manifests.inspect(manifests.read(text), TRITON_START_S, LONGEST_S, manifests.TRITON)
    return {name for name, reason in said.items() if reason}


def test_the_triton_that_is_shipped_keeps_every_promise():
    objects = manifests.read(manifests.DEPLOY / "triton.yaml")
    assert manifests.invalid(objects) == []
    told = manifests.inspect(objects, TRITON_START_S, LONGEST_S, manifests.TRITON)
    assert set(told) == set(manifests.OF_TRITON) and not any(told.values()), told
    assert "secret" not in told and {"models", "locked"} <= set(told)


TRITON_CHANGES = [
    ("drain", "sleep: { seconds: 10 }", "sleep: { seconds: 0 }"),
    ("drain", "--exit-timeout-secs=60 ", "--exit-timeout-secs=20 "),
    ("drain", "- --exit-timeout-secs=60 ", "- --log-verbose=0 "),
    ("drain", "terminationGracePeriodSeconds: 90", "terminationGracePeriodSeconds: 60"),
    ("startup", "failureThreshold: 60", "failureThreshold: 6"),
    ("startup", "failureThreshold: 60", "failureThreshold: 6000"),
    ("ready", "path: /v2/health/ready", "path: /v2/health/live"),
    (
        "alive",
        "path: /v2/health/live, port: http }\n            periodSeconds: 10",
        "path: /v2/health/ready, port: http }",
    ),
    ("locked", "--model-control-mode=none", "--model-control-mode=explicit"),
    ("models", "mountPath: /models, readOnly: true", "mountPath: /models"),
    ("models", "mountPath: /models,", "mountPath: /elsewhere,"),
    ("models", "- name: models\n          persistentVolumeClaim", "- name: others\n          persistentVolumeClaim"),
    ("models", "persistentVolumeClaim: { claimName: models, readOnly: true }", "emptyDir: {}"),
    ("scaling", "triton_pending_requests }", "nv_cpu_utilization }"),
    ("rolling", "maxUnavailable: 0", "maxUnavailable: 1"),
    ("gpu", "nvidia.com/gpu: 1, ", ""),
    ("budget", "minAvailable: 1", "minAvailable: 100%"),
    ("network", "targetPort: grpc", "targetPort: door"),
    ("images", "tritonserver:24.10-py3", "tritonserver:latest"),
]


@pytest.mark.parametrize(("question", "old", "new"), TRITON_CHANGES)
def test_each_hasty_change_to_triton_is_told(question, old, new):
    text = (manifests.DEPLOY / "triton.yaml").read_text()
    assert old in text
    assert question in triton_why(text.replace(old, new))


def test_a_lock_on_the_repository_is_as_good_as_no_loading():
    text = (manifests.DEPLOY / "triton.yaml").read_text()
    key = "--model-control-mode=explicit --http-restricted-api=model-repository:admin=key"
    assert triton_why(text.replace("--model-control-mode=none", key)) == set()
