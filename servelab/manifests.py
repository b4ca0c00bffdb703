"""Container file, compose file and Kubernetes objects, read as their tools read them, and asked what users would ask.

Without Docker or a cluster two things can be shown: that a file is valid (Kubernetes' own schemas, as the package
kubernetes-validate carries them; the Compose Specification, as compose-spec parses it), and that what it says keeps
the promises of a deployment (`inspect`). What a scheduler then does with it cannot be shown here.
"""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.paths import ASSETS

DEPLOY = ASSETS / "deploy"
KUBERNETES = "1.33"
"""The version whose schemas are asked."""
GPU = "nvidia.com/gpu"
Object = dict[str, Any]


def read(source: str | Path) -> list[Object]:
    """The objects of a YAML file or text, one a document.

    Raises:
        ServelabError: it is no YAML, or a document is no mapping.
    """
    import yaml

    text = Path(source).read_text() if isinstance(source, Path) else source
    try:
        found = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        raise ServelabError(_("It is no YAML: {error}").format(error=str(error).replace("\n", " ")[:200])) from None
    if not all(isinstance(one, dict) for one in found):
        raise ServelabError(_("Every document of a manifest is a mapping."))
    return found


def invalid(objects: Sequence[Any], version: str = KUBERNETES) -> list[str]:
    """What Kubernetes' API would refuse in these objects, unknown fields too; empty where it would take them all.

    Args:
        objects: as `read` gives them.
        version: of Kubernetes.
    """
    from jsonschema.exceptions import best_match

    found = []
    for one in objects:
        if not isinstance(one, dict) or not {"apiVersion", "kind"} <= set(one):
            found.append(_("an object has no apiVersion or no kind"))
            continue
        name = f"{one['kind']} {_get(one, 'metadata', 'name') or '?'}"
        try:
            error = best_match(_validator(str(one["kind"]), str(one["apiVersion"]), version).iter_errors(_plain(one)))
        except FileNotFoundError:
            found.append(_("{name}: Kubernetes {version} knows no such kind").format(name=name, version=version))
        except (TypeError, ValueError) as problem:
            found.append(f"{name}: {problem}"[:200])
        else:
            if error:
                at = ".".join(str(step) for step in error.absolute_path) or "."
                found.append(f"{name}: {at}: {str(error.message)[:160]}")
    return found


def _plain(one: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(one))


@lru_cache(maxsize=64)
def _validator(kind: str, api: str, version: str) -> Any:
    """A kind's schema, strict, from the package kubernetes-validate, ready to be asked.

    Raises:
        FileNotFoundError: there is no such kind.
    """
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    group = re.sub(r"^([^./]*)(?:[.][^/]*)?/", r"\1-", api)  # policy/v1 -> policy-v1, as the package names its files
    schema, definitions = _schema(f"{kind.lower()}-{group}", version)
    registry = Resource.from_contents(definitions) @ (Resource.from_contents(schema) @ Registry())
    return Draft202012Validator(schema, registry=registry)


def _schema(name: str, version: str) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kubernetes_validate import utils
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise FileNotFoundError(name)
    folder = next(v for v in reversed(utils.all_versions()) if utils.major_minor(v) == version)
    return tuple(
        utils.schema_contents(f"kubernetes-json-schema/v{folder}-local-strict/{one}.json", version)
        for one in (name, "_definitions")
    )


def invalid_compose(text: str) -> list[str]:
    """What the Compose Specification refuses in a compose file, references to what is not defined too.

    Raises:
        ServelabError: it is no YAML.
    """
    from compose_spec import PyCompose

    objects = read(text)  # with YAML's anchors and merges resolved, as Docker reads it
    try:
        PyCompose.from_json(json.dumps(objects[0] if objects else {})).validate()
    except ValueError as error:
        return [re.sub(r" at line \d+ column \d+", "", str(error))[:300]]  # of our JSON, not of the file
    return []


def unfit_container(text: str) -> list[str]:
    """What of a container file would hurt in production: no pinned base, root, a shell between the signal and us."""
    lines = [line.strip() for line in re.sub(r"\\\n", " ", text).splitlines()]
    said: dict[str, str] = {}
    for line in lines:
        if found := re.match(r"(FROM|USER|ENTRYPOINT|CMD|HEALTHCHECK)\s+(.*)", line, re.I):
            said[found[1].upper()] = found[2]
    found = []
    base = said.get("FROM", "")
    if not re.search(r"(:(?!latest\b)[\w.-]+|@sha256:\w+)( AS \w+)?$", base, re.I):
        found.append(_("the base image {image} is not pinned").format(image=base or "?"))
    if said.get("USER", "root").split(":")[0] in ("root", "0"):
        found.append(_("it runs as root"))
    if not (said.get("ENTRYPOINT") or said.get("CMD", "")).startswith("["):
        found.append(_("a shell starts it, and SIGTERM does not reach it"))
    if "HEALTHCHECK" not in said:
        found.append(_("it has no health check"))
    return found


# What users would ask of Kubernetes objects


def _get(one: Any, *path: str | int) -> Any:
    """The value at a path; None where it ends before."""
    for step in path:
        try:
            one = one[step]
        except (KeyError, IndexError, TypeError):
            return None
    return one


@dataclass(frozen=True)
class Pod:
    """What a pod is made of, and where its parts tell how they are.

    Attributes:
        service: the container that users reach; `engine`: the one that computes, which may be the same.
        ready, alive: paths of the service's health; `started`: of the engine's.
        queue: a metric to scale on has one of these words in its name.
    """

    service: str
    engine: str
    ready: str
    alive: str
    started: str
    queue: tuple[str, ...]


VLLM = Pod("service", "engine", "/ready", "/health", "/health", ("waiting",))
TRITON = Pod("triton", "triton", "/v2/health/ready", "/v2/health/live", "/v2/health/live", ("queue", "pending"))


class Objects:
    """The objects by their kind, and the pod that they describe.

    Attributes:
        start_s: how long a replica takes from its start until it is ready.
        longest_s: how long the longest answer takes.
        of: what the pod is made of.
    """

    def __init__(self, objects: Sequence[Any], start_s: float, longest_s: float, of: Pod = VLLM) -> None:
        self.all = [one for one in objects if isinstance(one, dict)]
        self.start_s, self.longest_s, self.of = start_s, longest_s, of
        self.deployment = self.kind("Deployment")
        self.pod = _get(self.deployment, "spec", "template", "spec") or {}
        self.labels = _get(self.deployment, "spec", "template", "metadata", "labels") or {}

    def kind(self, kind: str) -> Object:
        """The first of a kind; empty where there is none."""
        return next((one for one in self.all if one.get("kind") == kind), {})

    def container(self, name: str) -> Object:
        """The container of that name."""
        return next((c for c in self.pod.get("containers") or [] if _get(c, "name") == name), {})

    @property
    def service(self) -> Object:
        """The container that users reach."""
        return self.container(self.of.service)

    @property
    def engine(self) -> Object:
        """The container that computes."""
        return self.container(self.of.engine)

    def flag(self, name: str) -> str:
        """What the engine's command line says after `--name=`; empty where it does not say it."""
        words = [str(word) for key in ("command", "args") for word in self.engine.get(key) or []]
        line = " ".join(words).replace(f"--{name} ", f"--{name}=")
        return found[1] if (found := re.search(rf"--{name}=(\S+)", line)) else ""

    @property
    def containers(self) -> list[Object]:
        """All of the pod."""
        return [c for c in self.pod.get("containers") or [] if isinstance(c, dict)]

    def selects(self, selector: Any) -> bool:
        """Whether a selector picks the pods."""
        return isinstance(selector, dict) and bool(selector) and selector.items() <= self.labels.items()


def _path(probe: Any) -> str:
    return str(_get(probe, "httpGet", "path") or "")


def _patience(probe: Mapping[str, Any]) -> float:
    """How long a probe lets a container be unready, seconds; Kubernetes' own defaults where it says nothing."""
    return probe.get("initialDelaySeconds", 0) + probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)


def _valid(o: Objects) -> str:
    return next(iter(invalid(o.all)), "") if o.deployment else _("there is no Deployment")


def _images(o: Objects) -> str:
    for one in o.containers:
        image = str(one.get("image", ""))
        if not re.search(r":(?!latest$)[\w.-]+$|@sha256:", image):
            return _("the image {image} is not pinned").format(image=image)
    return "" if o.containers else _("there is no container")


def _ready(o: Objects) -> str:
    text = _("users are sent to a service that has not said {path}")
    return "" if _path(o.service.get("readinessProbe")) == o.of.ready else text.format(path=o.of.ready)


def _alive(o: Objects) -> str:
    text = _("the service is restarted for what it cannot help: ask {path}")
    return "" if _path(o.service.get("livenessProbe")) == o.of.alive else text.format(path=o.of.alive)


def _startup(o: Objects) -> str:
    probe = o.engine.get("startupProbe")
    if _path(probe) not in (o.of.started, o.of.ready):
        return _("the engine has no startup probe on {path}").format(path=o.of.started)
    patience = _patience(probe)
    if patience < o.start_s:
        text = _("the engine is killed after {seconds:g} s, and needs {start:g} s to start")
        return text.format(seconds=patience, start=o.start_s)
    if patience > 20 * o.start_s:
        return _("an engine that hangs at its start is noticed after {seconds:g} s").format(seconds=patience)
    return "" if _path(o.engine.get("livenessProbe")) == o.of.started else _("a hung engine is never noticed")


def _sleeps(container: Object) -> float:
    """Seconds that a container's preStop waits."""
    stop = _get(container, "lifecycle", "preStop")
    words = " ".join(map(str, _get(stop, "exec", "command") or []))
    return _get(stop, "sleep", "seconds") or (float(m[1]) if (m := re.search(r"sleep (\d+)", words)) else 0)


def _leaving(o: Objects) -> str:
    """Whether the service waits until nobody sends to it any more, and then long enough for what it has."""
    sleep, grace = _sleeps(o.service), o.pod.get("terminationGracePeriodSeconds", 30)
    if sleep < 5:
        return _("it is stopped while requests are still sent to it: wait in preStop, 5 s at least")
    if grace < sleep + o.longest_s:
        text = _("it is killed after {grace:g} s, {sleep:g} of which it waits; the longest answer takes {longest:g}")
        return text.format(grace=grace, sleep=sleep, longest=o.longest_s)
    return ""


def _drain(o: Objects) -> str:
    if why := _leaving(o):
        return why
    waits = _sleeps(o.engine)
    if waits < _sleeps(o.service) + o.longest_s:
        return _("the engine leaves before the service has finished: its preStop must wait longer")
    grace = o.pod.get("terminationGracePeriodSeconds", 30)
    return "" if waits <= grace else _("the engine's preStop waits longer than the pod may live")


def _exit(o: Objects) -> str:
    if why := _leaving(o):
        return why
    patience = o.flag("exit-timeout-secs")
    if float(patience or 30) >= o.longest_s:  # 30 is Triton's own
        return ""
    text = _("Triton gives up after {patience} s at its end; the longest answer takes {longest:g}: --exit-timeout-secs")
    return text.format(patience=patience or 30, longest=o.longest_s)


def _repository(o: Objects) -> str:
    path = o.flag("model-repository") or o.flag("model-store")
    mounts = [m for m in o.engine.get("volumeMounts") or [] if path and path.startswith(str(_get(m, "mountPath")))]
    if not mounts:
        return _("no volume is mounted where --model-repository looks")
    known = {_get(v, "name"): v for v in o.pod.get("volumes") or []}
    volume = known.get(mounts[0].get("name"))
    if volume is None:
        return _("the mounted volume {name} is not there").format(name=mounts[0].get("name"))
    if "emptyDir" in volume and not o.pod.get("initContainers"):
        return _("the repository is an empty folder that nobody fills")
    return "" if mounts[0].get("readOnly") is True else _("a server that can write its models can be made to: readOnly")


def _locked(o: Objects) -> str:
    if o.flag("model-control-mode") in ("", "none") or "model-repository" in o.flag("http-restricted-api"):
        return ""
    return _("whoever reaches the port may load and unload models: control mode none, or a restricted API")


def _rolling(o: Objects) -> str:
    how = _get(o.deployment, "spec", "strategy", "rollingUpdate") or {}
    kind = _get(o.deployment, "spec", "strategy", "type") or "RollingUpdate"
    if kind != "RollingUpdate" or str(how.get("maxUnavailable", "25%")) not in ("0", "0%"):
        return _("a replica is taken away before the new one is ready: maxUnavailable 0")
    return "" if str(how.get("maxSurge", "25%")) not in ("0", "0%") else _("with maxSurge 0 it never gets on")


def _gpu(o: Objects) -> str:
    limits = _get(o.engine, "resources", "limits") or {}
    count = limits.get(GPU)
    if not str(count).isdigit() or int(count) < 1:
        return _("the engine asks for no GPU: limits, nvidia.com/gpu, a whole number")
    return "" if "memory" in limits else _("the engine's memory has no limit")


def _budget(o: Objects) -> str:
    one, most = o.kind("PodDisruptionBudget"), _least(o)
    if not o.selects(_get(one, "spec", "selector", "matchLabels")):
        return _("no PodDisruptionBudget covers the pods")
    least, away = _get(one, "spec", "minAvailable"), _get(one, "spec", "maxUnavailable")
    with contextlib.suppress(ValueError):
        if least is not None and 1 <= int(least) < most or away is not None and 1 <= int(away) < most:
            return ""
    return _("it lets all go, or nobody, so that no node can ever be emptied")


def _least(o: Objects) -> int:
    """The fewest replicas there are."""
    least = _get(o.kind("HorizontalPodAutoscaler"), "spec", "minReplicas")
    return least if isinstance(least, int) else _get(o.deployment, "spec", "replicas") or 1


def _scaling(o: Objects) -> str:
    spec = o.kind("HorizontalPodAutoscaler").get("spec") or {}
    aim = spec.get("scaleTargetRef") or {}
    if (aim.get("kind"), aim.get("name")) != ("Deployment", _get(o.deployment, "metadata", "name")):
        return _("no autoscaler aims at the Deployment")
    if not (isinstance(spec.get("minReplicas"), int) and 2 <= spec["minReplicas"] < spec.get("maxReplicas", 0)):
        return _("fewer than two replicas, or no room to grow")
    metrics = spec.get("metrics") or []
    named = [(m, str(_get(m, "pods", "metric", "name") or "")) for m in metrics]
    queue = [m for m, name in named if any(word in name for word in o.of.queue)]
    if not queue or not _get(queue[0], "pods", "target", "averageValue"):
        return _("it does not scale on the queue: a Pods metric of who waits in the engine, with an averageValue")
    if any(m.get("type") == "Resource" for m in metrics):
        return _("the processor's use says nothing about a GPU's queue")
    slow = _get(spec, "behavior", "scaleDown", "stabilizationWindowSeconds")
    slow = 300 if slow is None else slow
    if slow < o.start_s:
        return _("it gives up a replica sooner than it could start one")
    return "" if "replicas" not in o.deployment.get("spec", {}) else _("spec.replicas undoes what the autoscaler did")


def _network(o: Objects) -> str:
    spec = o.kind("Service").get("spec") or {}
    if not o.selects(spec.get("selector")):
        return _("no Service leads to the pods")
    ports = o.service.get("ports") or []
    known = {v for p in ports for v in (p.get("name"), p.get("containerPort"))}
    aimed = [p.get("targetPort", p.get("port")) for p in spec.get("ports") or []]
    return "" if aimed and set(aimed) <= known else _("the Service leads to a port that nobody opens")


def _spread(o: Objects) -> str:
    rules = [
        r for r in o.pod.get("topologySpreadConstraints") or [] if o.selects(_get(r, "labelSelector", "matchLabels"))
    ]
    anti = _get(o.pod, "affinity", "podAntiAffinity") or {}
    terms = list(anti.get("requiredDuringSchedulingIgnoredDuringExecution") or [])
    terms += [t.get("podAffinityTerm", {}) for t in anti.get("preferredDuringSchedulingIgnoredDuringExecution") or []]
    keys = {r.get("topologyKey") for r in rules} | {
        t.get("topologyKey") for t in terms if o.selects(_get(t, "labelSelector", "matchLabels"))
    }
    return "" if "kubernetes.io/hostname" in keys else _("all replicas may stand on one machine, and fall with it")


def _secret(o: Objects) -> str:
    entries = {e.get("name"): e for c in o.containers for e in c.get("env") or [] if isinstance(e, dict)}
    one = entries.get("API_KEYS", {})
    if _get(one, "valueFrom", "secretKeyRef", "key"):
        return ""
    whole = any(_get(s, "secretRef", "name") for c in o.containers for s in c.get("envFrom") or [])
    return "" if whole and not one else _("the keys stand in the manifest, or nowhere: take them from a Secret")


CHECKS: dict[str, Callable[[Objects], str]] = {
    "valid": _valid,
    "images": _images,
    "secret": _secret,
    "ready": _ready,
    "alive": _alive,
    "startup": _startup,
    "drain": _drain,
    "rolling": _rolling,
    "gpu": _gpu,
    "budget": _budget,
    "scaling": _scaling,
    "network": _network,
    "spread": _spread,
}
OF_TRITON = {name: check for name, check in CHECKS.items() if name != "secret"} | {
    "drain": _exit,
    "models": _repository,
    "locked": _locked,
}


def inspect(objects: Any, start_s: float, longest_s: float, of: Pod = VLLM) -> dict[str, str]:
    """Whether Kubernetes objects keep what users are promised: {question: why not}, with an empty text where they do.

    The pod of `VLLM` has two containers, `service` (its door, /ready and /health) and `engine` (vLLM, /health); that of
    `TRITON` has one, `triton`.

    Args:
        objects: as `read` gives them.
        start_s: seconds from a replica's start until it is ready.
        longest_s: seconds of the longest answer.
        of: what the pod is made of.
    """
    checks = OF_TRITON if of is TRITON else CHECKS
    if not isinstance(objects, list | tuple):
        return dict.fromkeys(checks, _("it is no list of objects"))
    found, seen = {}, Objects(objects, start_s, longest_s, of)
    for name, check in checks.items():
        try:
            found[name] = check(seen)
        except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
            found[name] = _("it has another form than it should ({error})").format(error=repr(error)[:100])
    return found


def table(objects: Any, start_s: float, longest_s: float, of: Pod = VLLM) -> str:
    """`inspect` as lines to print."""
    said = inspect(objects, start_s, longest_s, of)
    return "\n".join(f"{'✗' if why else '✓'} {name:8} {why}".rstrip() for name, why in said.items())
