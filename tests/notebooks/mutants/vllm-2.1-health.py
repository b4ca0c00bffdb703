"""Plausible wrong answers to vllm-2.1-health; each must lose points."""

from tests.notebooks.variants import but

RIGHT = """import httpx
from servelab.engines import Metrics


def health_report(url):
    try:
        alive = httpx.get(f"{url}/health", trust_env=False, timeout=5).status_code == 200
        metrics = Metrics(httpx.get(f"{url}/metrics", trust_env=False, timeout=5).text)
    except httpx.HTTPError:
        return {"alive": False}
    first, answers = (metrics.value(f"vllm:time_to_first_token_seconds_{part}") for part in ("sum", "count"))
    return {
        "alive": alive,
        "running": metrics.value("vllm:num_requests_running"),
        "waiting": metrics.value("vllm:num_requests_waiting"),
        "kv_used": metrics.value("vllm:kv_cache_usage_perc"),
        "finished": metrics.value("vllm:request_success_total"),
        "mean_ttft_s": first / answers if answers else None,
    }
"""


MUTANTS = {
    "lets a refused connection through": but(RIGHT, "except httpx.HTTPError:", "except KeyError:"),
    "counts answers that ended by themselves only": but(
        RIGHT, '"vllm:request_success_total")', '"vllm:request_success_total", finished_reason="stop")'
    ),
    "reports who runs as who waits": but(RIGHT, '"vllm:num_requests_waiting"', '"vllm:num_requests_running"'),
    "reports who waits as who runs": but(RIGHT, '"vllm:num_requests_running"', '"vllm:num_requests_waiting"'),
    "makes a percentage of the share": but(
        RIGHT, 'metrics.value("vllm:kv_cache_usage_perc")', '100 * metrics.value("vllm:kv_cache_usage_perc")'
    ),
    "takes the whole answer's time for the first token's": but(
        RIGHT, "vllm:time_to_first_token_seconds_", "vllm:e2e_request_latency_seconds_"
    ),
    "tells the sum for the mean": but(RIGHT, "first / answers if answers else None", "first"),
    "adds no alive key to the dead": but(RIGHT, 'return {"alive": False}', "return {}"),
}
