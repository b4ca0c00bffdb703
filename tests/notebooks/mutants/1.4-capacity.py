"""Plausible wrong answers to 1.4-capacity; each must lose points."""

HEAD = "def sequences_that_fit(memory_bytes, weight_bytes, model, number_bytes, length, block_size):\n"

MUTANTS = {
    "forgets that there is a key and a value": HEAD
    + "    each = model.layers * model.kv_heads * model.head_dim * number_bytes * block_size\n"
    "    return max(0, ((memory_bytes - weight_bytes) // each - 1) // -(-length // block_size))\n",
    "counts query heads": HEAD
    + "    each = 2 * model.layers * model.heads * model.head_dim * number_bytes * block_size\n"
    "    return max(0, ((memory_bytes - weight_bytes) // each - 1) // -(-length // block_size))\n",
    "forgets the layers, as the short form does": HEAD
    + "    each = 2 * model.heads * model.head_dim * number_bytes * block_size\n"
    "    return max(0, ((memory_bytes - weight_bytes) // each - 1) // -(-length // block_size))\n",
    "gives the reserved block away": HEAD
    + "    each = 2 * model.layers * model.kv_heads * model.head_dim * number_bytes * block_size\n"
    "    return max(0, (memory_bytes - weight_bytes) // each // -(-length // block_size))\n",
    "counts tokens instead of whole blocks": HEAD
    + "    each = 2 * model.layers * model.kv_heads * model.head_dim * number_bytes\n"
    "    return max(0, ((memory_bytes - weight_bytes) // each - block_size) // length)\n",
    "rounds a sequence's blocks down": HEAD
    + "    each = 2 * model.layers * model.kv_heads * model.head_dim * number_bytes * block_size\n"
    "    return max(0, ((memory_bytes - weight_bytes) // each - 1) // max(1, length // block_size))\n",
    "forgets the weights": HEAD
    + "    each = 2 * model.layers * model.kv_heads * model.head_dim * number_bytes * block_size\n"
    "    return max(0, (memory_bytes // each - 1) // -(-length // block_size))\n",
    "answers with a negative count": HEAD
    + "    each = 2 * model.layers * model.kv_heads * model.head_dim * number_bytes * block_size\n"
    "    return ((memory_bytes - weight_bytes) // each - 1) // -(-length // block_size)\n",
}
