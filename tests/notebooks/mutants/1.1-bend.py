"""Plausible wrong answers to 1.1-bend."""

HEAD = "from math import ceil, floor\n\n\ndef tokens_to_fill(peak, bandwidth, bytes_per_weight):\n    return "

MUTANTS = {
    "forgets the two operations": HEAD + "max(1, ceil(peak * bytes_per_weight / bandwidth))\n",
    "rounds down": HEAD + "max(1, floor(peak * bytes_per_weight / (2 * bandwidth)))\n",
    "rounds to the nearest": HEAD + "max(1, round(peak * bytes_per_weight / (2 * bandwidth)))\n",
    "always adds one": HEAD + "floor(peak * bytes_per_weight / (2 * bandwidth)) + 1\n",
    "turns peak and bandwidth round": HEAD + "max(1, ceil(bandwidth * bytes_per_weight / (2 * peak)))\n",
    "divides by the bytes": HEAD + "max(1, ceil(peak / (2 * bandwidth * bytes_per_weight)))\n",
    "gives the machine balance": HEAD + "max(1, ceil(peak / bandwidth))\n",
    "returns a fraction": HEAD + "peak * bytes_per_weight / (2 * bandwidth)\n",
}
