"""Plausible wrong answers to vllm-2.5-queries; each must lose points."""

from tests.notebooks.variants import but

RIGHT = """
def queries(window):
    ended = f"rate(service_requests_total[{window}])"
    bad = f'rate(service_requests_total{{status!="200"}}[{window}])'
    step = "vllm:inter_token_latency_seconds"
    return {
        "rate": f"sum by (status) ({ended})",
        "bad": f"sum({bad}) / sum({ended})",
        "p95": f"histogram_quantile(0.95, sum by (le) (rate(service_first_byte_seconds_bucket[{window}])))",
        "step": f"sum(rate({step}_sum[{window}])) / sum(rate({step}_count[{window}]))",
    }
"""
PER_REPLICA = "avg(histogram_quantile(0.95, rate(service_first_byte_seconds_bucket[{window}])))"
P95 = "histogram_quantile(0.95, sum by (le) (rate(service_first_byte_seconds_bucket[{window}])))"
STEP = "sum(rate({step}_sum[{window}])) / sum(rate({step}_count[{window}]))"

MUTANTS = {
    "counts instead of a rate": but(RIGHT, "sum by (status) ({ended})", "sum by (status) (increase({ended[5:]})"),
    "shows each replica alone": but(RIGHT, "sum by (status)", "sum by (status, instance)"),
    "ignores the window": but(RIGHT, "ended = f", 'window = "85s"; ended = f'),
    "looks at the last two scrapes": RIGHT.replace("rate(", "irate("),
    "counts one kind of failure": but(RIGHT, 'status!="200"', 'status="504"'),
    "averages the replicas' percentiles": but(RIGHT, P95, PER_REPLICA),
    "forgets the buckets' ends": but(RIGHT, "sum by (le)", "sum"),
    "takes the buckets since the beginning": but(RIGHT, P95, P95.replace("rate(", "(").replace("[{window}]", "")),
    "averages the replicas' means": but(RIGHT, STEP, "avg(rate({step}_sum[{window}]) / rate({step}_count[{window}]))"),
    "takes the step since the beginning": but(RIGHT, STEP, "sum({step}_sum) / sum({step}_count)"),
}
