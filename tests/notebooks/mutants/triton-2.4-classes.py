"""Plausible wrong answers to triton-2.4-classes; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''from servelab.engines import triton


def start():
    """A running Triton with `score`: paid requests are never refused, free ones wait in a short line."""
    batcher = """dynamic_batching {
  priority_levels: 2
  default_priority_level: 2
  priority_queue_policy [ {
    key: 2 value { timeout_action: REJECT default_timeout_microseconds: 100000 max_queue_size: 12 }
  } ]
}
"""
    config = CONFIG.replace("size: 32", "size: 16") + batcher
    folder = write({"score/config.pbtxt": config, "score/1/model.py": MODEL})
    return triton(folder, strict_model_config=True, progress=False)
'''


MUTANTS = {
    "takes those who name no priority for paid": but(RIGHT, "default_priority_level: 2", "default_priority_level: 1"),
    "has one policy for all": but(
        RIGHT,
        """  priority_queue_policy [ {
    key: 2 value { timeout_action: REJECT default_timeout_microseconds: 100000 max_queue_size: 12 }
  } ]
""",
        """  default_queue_policy {
    timeout_action: REJECT default_timeout_microseconds: 100000 max_queue_size: 12
  }
""",
    ),
    "refuses the paid ones": but(RIGHT, "key: 2", "key: 1"),
    "serves the late last instead of refusing them": but(RIGHT, "REJECT", "DELAY"),
    "has no end to the line": but(RIGHT, " max_queue_size: 12", ""),
    "counts in nanoseconds": but(RIGHT, "100000 max", "100 max"),
    "never loses patience": but(RIGHT, " default_timeout_microseconds: 100000", ""),
}
