"""Plausible wrong answers to triton-2.5-signals; each must lose points."""

from tests.notebooks.variants import but

RIGHT = """def queries(window):
    def each(name, by="model"):
        return f"sum by ({by}) (rate(nv_inference_{name}[{window}]))"

    place = "model, instance"
    ended = f"({each('request_success')} + {each('request_failure')})"
    moves = f"{each('request_success', place)} + {each('request_failure', place)}"
    return {
        "queue": f"{each('queue_duration_us')} / {each('request_success')} / 1e6",
        "batch": f"{each('count')} / {each('exec_count')}",
        "failed": f"{each('request_failure')} / {ended}",
        "stuck": f"sum by ({place}) (nv_inference_pending_request_count) > 0 unless {moves} > 0",
    }
"""

MUTANTS = {
    "tells the queue in microseconds": but(RIGHT, " / 1e6", ""),
    "averages the replicas' averages": but(
        RIGHT,
        '''f"{each('queue_duration_us')} / {each('request_success')} / 1e6"''',
        '''f"avg by (model) ({each('queue_duration_us', place)} / {each('request_success', place)}) / 1e6"''',
    ),
    "sums counters before their rate": but(
        RIGHT,
        'return f"sum by ({by}) (rate(nv_inference_{name}[{window}]))"',
        'return f"rate((sum by ({by}) (nv_inference_{name}))[{window}:1s])"',
    ),
    "divides failures by successes": but(RIGHT, "/ {ended}", "/ {each('request_success')}"),
    "looks for a stuck model over all replicas": but(RIGHT, 'place = "model, instance"', 'place = "model"'),
    "takes one whose requests all fail for stuck": but(
        RIGHT,
        "moves = f\"{each('request_success', place)} + {each('request_failure', place)}\"",
        "moves = each('request_success', place)",
    ),
    "takes one that nobody asks for stuck": but(
        RIGHT,
        'f"sum by ({place}) (nv_inference_pending_request_count) > 0 unless {moves} > 0"',
        'f"{moves} == 0"',
    ),
    "turns the batch upside down": but(
        RIGHT, "{each('count')} / {each('exec_count')}", "{each('exec_count')} / {each('count')}"
    ),
    "ignores the window": but(RIGHT, "[{window}]", "[1m]"),
}
