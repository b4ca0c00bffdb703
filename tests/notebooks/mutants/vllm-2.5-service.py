"""Plausible wrong answers to vllm-2.5-service; each must lose points. All but the last two share one engine."""

from tests.notebooks.variants import but

RIGHT = """
def configuration():
    return {
        "engine": {"max_num_seqs": 16, "max_num_batched_tokens": 256, "block_size": 32, "enable_prefix_caching": True},
        "service": {"running": 16, "waiting": 12, "timeout_s": 60},
    }
"""

MUTANTS = {
    "keeps the narrow gate": but(RIGHT, '"running": 16', '"running": 2'),
    "lets nobody wait": but(RIGHT, '"running": 16, "waiting": 12', '"running": 8, "waiting": 0'),
    "refuses nobody": but(RIGHT, '"waiting": 12', '"waiting": 400'),
    "has no patience": but(RIGHT, '"timeout_s": 60', '"timeout_s": 0.2'),
    "lets the whole flood into the engine": but(RIGHT, '"running": 16', '"running": 100'),
    "takes more memory": but(RIGHT, '"block_size": 32', '"block_size": 32, "kv_cache_memory_bytes": 2**30'),
    "mixes the two parts up": but(RIGHT, '"waiting": 12', '"max_num_seqs": 12'),
}
