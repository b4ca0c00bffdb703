"""Plausible wrong answers to vllm-2.4-manifests."""

from tests.notebooks.variants import but

RIGHT = """
import copy
import math


def production(objects, start_s, longest_s, gpus):
    deployment, service = copy.deepcopy(objects)
    name = deployment["metadata"]["name"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    pod = deployment["spec"]["template"]["spec"]
    web, engine = pod["containers"]
    health = {"path": "/health", "port": "engine"}
    web["image"], engine["image"] = "images.example/completions:1.0", "vllm/vllm-openai:v0.32.0"
    web["env"][1] = {"name": "API_KEYS", "valueFrom": {"secretKeyRef": {"name": "completions", "key": "keys"}}}
    web["readinessProbe"] = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 2}
    web["livenessProbe"] = {"httpGet": {"path": "/health", "port": "http"}}
    engine["startupProbe"] = {"httpGet": health, "periodSeconds": 5, "failureThreshold": math.ceil(start_s * 3 / 5)}
    wait, finish = 10, math.ceil(longest_s) + 5
    web["lifecycle"] = {"preStop": {"sleep": {"seconds": wait}}}
    engine["lifecycle"] = {"preStop": {"sleep": {"seconds": wait + finish}}}
    pod["terminationGracePeriodSeconds"] = wait + finish + 5
    engine["resources"] = {"limits": {"nvidia.com/gpu": gpus, "memory": "32Gi"}, "requests": {"memory": "32Gi"}}
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    pod["topologySpreadConstraints"] = [{**spread, "labelSelector": {"matchLabels": labels}}]
    deployment["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    budget = {"minAvailable": 1, "selector": {"matchLabels": labels}}
    queue = {"metric": {"name": "vllm_num_requests_waiting"}, "target": {"type": "AverageValue", "averageValue": "4"}}
    scaling = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": 2,
        "maxReplicas": 8,
        "metrics": [{"type": "Pods", "pods": queue}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": max(300, math.ceil(3 * start_s))}},
    }
    kinds = [("policy/v1", "PodDisruptionBudget", budget), ("autoscaling/v2", "HorizontalPodAutoscaler", scaling)]
    more = [{"apiVersion": v, "kind": k, "metadata": {"name": name}, "spec": s} for v, k, s in kinds]
    return [deployment, service, *more]
"""

BUDGET = '{"minAvailable": 1, "selector": {"matchLabels": {"app": "completions"}}}'
CPU = '{"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}'
PROCESSOR = f'[{{"type": "Resource", "resource": {CPU}}}]'
ALIVE, READY = '{"path": "/health", "port": "http"}', '{"path": "/ready", "port": "http"}'

MUTANTS = {
    "asks the wrong question whether it lives": but(
        RIGHT, '{"path": "/health", "port": "http"}', '{"path": "/ready", "port": "http"}'
    ),
    "sends users to whatever lives": but(
        RIGHT, '{"path": "/ready", "port": "http"}', '{"path": "/health", "port": "http"}'
    ),
    "leaves the engine half a minute, however long it takes": but(RIGHT, "math.ceil(start_s * 3 / 5)", "6"),
    "forgets that the longest answer comes after the wait": but(RIGHT, "wait + finish + 5", "finish"),
    "lets the engine go with the service": but(
        RIGHT, '    engine["lifecycle"] = {"preStop": {"sleep": {"seconds": wait + finish}}}\n', ""
    ),
    "scales on the processor": but(
        RIGHT,
        '[{"type": "Pods", "pods": queue}]',
        PROCESSOR,
    ),
    "lets nobody go": but(RIGHT, '"minAvailable": 1', '"minAvailable": 2'),
    "always asks for one GPU": but(RIGHT, '"nvidia.com/gpu": gpus', '"nvidia.com/gpu": 1'),
    "selects pods of its own invention": but(
        RIGHT,
        '{"minAvailable": 1, "selector": {"matchLabels": labels}}',
        '{"minAvailable": 1, "selector": {"matchLabels": {"app": "completions"}}}',
    ),
    "changes what it was given": but(RIGHT, "copy.deepcopy(objects)", "objects"),
}
