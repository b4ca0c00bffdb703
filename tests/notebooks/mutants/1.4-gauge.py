"""Plausible wrong answers to 1.4-gauge; each must lose points."""

HEAD = """from prometheus_client.parser import text_string_to_metric_families


def read_pool(text):
    samples = {s.name: s for family in text_string_to_metric_families(text) for s in family.samples}
    labels = samples["vllm:cache_config_info"].labels
    block_size, num_blocks = int(labels["block_size"]), int(labels["num_gpu_blocks"])
    usage = samples["vllm:kv_cache_usage_perc"].value
"""
TAIL = '    return {"block_size": block_size, "num_blocks": num_blocks, "held": held, "free_tokens": free}\n'

MUTANTS = {
    "counts the reserved block": HEAD
    + "    held = round(usage * num_blocks)\n    free = (num_blocks - held) * block_size\n"
    + TAIL,
    "takes the share for a percentage": HEAD
    + "    held = round(usage / 100 * (num_blocks - 1))\n    free = (num_blocks - 1 - held) * block_size\n"
    + TAIL,
    "cuts instead of rounding": HEAD
    + "    held = int(usage * (num_blocks - 1))\n    free = (num_blocks - 1 - held) * block_size\n"
    + TAIL,
    "tells free blocks instead of tokens": HEAD
    + "    held = round(usage * (num_blocks - 1))\n    free = num_blocks - 1 - held\n"
    + TAIL,
    "tells the reserved block as free": HEAD
    + "    held = round(usage * (num_blocks - 1))\n    free = (num_blocks - held) * block_size\n"
    + TAIL,
    "takes 32-token blocks for granted": HEAD + "    block_size = 32\n    held = round(usage * (num_blocks - 1))\n"
    "    free = (num_blocks - 1 - held) * block_size\n" + TAIL,
}
