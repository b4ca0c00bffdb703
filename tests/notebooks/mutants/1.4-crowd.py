"""Plausible wrong answers to 1.4-crowd; each must lose points."""

HEAD = "def tokens_before_preemption(prompts, num_blocks, block_size):\n"

MUTANTS = {
    "gives the reserved block away": HEAD + "    k = 0\n"
    "    while sum(-(-(p + k) // block_size) for p in prompts) <= num_blocks:\n"
    "        k += 1\n"
    "    return k or None\n",
    "caches the newest token at once": HEAD + "    k = 0\n"
    "    while sum(-(-(p + k + 1) // block_size) for p in prompts) <= num_blocks - 1:\n"
    "        k += 1\n"
    "    return k or None\n",
    "names the step that fails": HEAD + "    k = 0\n"
    "    while sum(-(-(p + k) // block_size) for p in prompts) <= num_blocks - 1:\n"
    "        k += 1\n"
    "    return k + 1 if k else None\n",
    "shares the last blocks": HEAD + "    k = 0\n"
    "    while -(-sum(p + k for p in prompts) // block_size) <= num_blocks - 1:\n"
    "        k += 1\n"
    "    return k or None\n",
    "gives 0 where there is no room": HEAD + "    k = 0\n"
    "    while sum(-(-(p + k) // block_size) for p in prompts) <= num_blocks - 1:\n"
    "        k += 1\n"
    "    return k\n",
    "looks at the longest request only": HEAD + "    share = (num_blocks - 1) // len(prompts)\n"
    "    k = share * block_size - max(prompts) + 1\n"
    "    return k if k > 0 else None\n",
    "rounds down": HEAD + "    k = 0\n"
    "    while sum((p + k) // block_size for p in prompts) <= num_blocks - 1:\n"
    "        k += 1\n"
    "    return k or None\n",
}
