"""Plausible wrong answers to vllm-2.2-tuned; each must lose points."""

from tests.notebooks.variants import but

RIGHT = """
def tuned():
    return {"max_num_seqs": 16, "max_num_batched_tokens": 256, "block_size": 32, "enable_prefix_caching": True}
"""

MUTANTS = {
    "keeps two seats": but(RIGHT, '"max_num_seqs": 16', '"max_num_seqs": 2'),
    "leaves the prefix cache off": but(RIGHT, "True", "False"),
    "keeps the tier's blocks": but(RIGHT, '"block_size": 32', '"block_size": 128'),
    "reads a document in one step": but(RIGHT, "256", "2048"),
    "takes a flag that is not its to take": but(RIGHT, '"block_size": 32', '"block_size": 32, "quantization": "awq"'),
    "takes more memory": but(RIGHT, '"block_size": 32', '"block_size": 32, "kv_cache_memory_bytes": 2**30'),
}
