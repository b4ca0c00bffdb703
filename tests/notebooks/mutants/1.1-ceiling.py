"""Plausible wrong answers to 1.1-ceiling."""

HEAD = "def decode_ceiling(weights, bytes_per_weight, bandwidth, batch=1, kv_bytes=0):\n    return "

MUTANTS = {
    "forgets the batch": HEAD + "bandwidth / (weights * bytes_per_weight + batch * kv_bytes)\n",
    "forgets the bytes of a weight": HEAD + "batch * bandwidth / (weights + batch * kv_bytes)\n",
    "fetches one cache for the whole batch": HEAD + "batch * bandwidth / (weights * bytes_per_weight + kv_bytes)\n",
    "leaves the cache out": HEAD + "batch * bandwidth / (weights * bytes_per_weight)\n",
    "fetches the weights for each sequence": HEAD + "bandwidth / (weights * bytes_per_weight + kv_bytes)\n",
    "gives seconds instead of tokens per second": HEAD
    + "(weights * bytes_per_weight + batch * kv_bytes) / (batch * bandwidth)\n",
    "counts bits": HEAD + "batch * bandwidth / (8 * (weights * bytes_per_weight + batch * kv_bytes))\n",
    "counts two operations instead of bytes": HEAD + "batch * bandwidth / (2 * weights + batch * kv_bytes)\n",
}
