"""Plausible wrong answers to triton-2.5-duo; each must lose points."""

from tests.notebooks.variants import but

RIGHT = '''
def configuration():
    chat = """max_batch_size: 8
instance_group [ { kind: KIND_CPU count: 1 } ]
dynamic_batching { }
"""
    bulk = """max_batch_size: 12
instance_group [ { kind: KIND_CPU count: 1 } ]
dynamic_batching { default_queue_policy { max_queue_size: 96 } }
"""
    return {"chat": chat, "bulk": bulk}
'''
BOUND = "{ default_queue_policy { max_queue_size: 96 } }"

MUTANTS = {
    "holds chat for company": but(
        RIGHT, "dynamic_batching { }", "dynamic_batching { max_queue_delay_microseconds: 100000 }"
    ),
    "lets the batches of bulk grow": but(RIGHT, "max_batch_size: 12", "max_batch_size: 64"),
    "makes no batches of documents": but(RIGHT, f"dynamic_batching {BOUND}\n", ""),
    "refuses nobody": but(RIGHT, BOUND, "{ }"),
    "refuses on a usual day": but(RIGHT, "max_queue_size: 96", "max_queue_size: 2"),
    "copies what does not fit": but(
        RIGHT, "count: 1 } ]\ndynamic_batching { default", "count: 3 } ]\ndynamic_batching { default"
    ),
    "loses patience by day": but(
        RIGHT, "max_queue_size: 96", "max_queue_size: 96 default_timeout_microseconds: 20000 timeout_action: REJECT"
    ),
}
