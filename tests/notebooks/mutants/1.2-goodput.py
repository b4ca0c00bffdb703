"""Plausible wrong answers to 1.2-goodput."""

TEMPLATE = """
def goodput(requests, duration_s, ttft_s, tpot_s):
    def met(r):
        return {met}
    return {rate}
"""


def mutant(
    met: str = 'r["ok"] and r["ttft_s"] <= ttft_s and (r["tpot_s"] is None or r["tpot_s"] <= tpot_s)',
    rate: str = "sum(met(r) for r in requests) / duration_s",
) -> str:
    return TEMPLATE.format(met=met, rate=rate)


MUTANTS = {
    "counts failed requests": mutant('r["ttft_s"] <= ttft_s and (r["tpot_s"] is None or r["tpot_s"] <= tpot_s)'),
    "forgets TTFT": mutant('r["ok"] and (r["tpot_s"] is None or r["tpot_s"] <= tpot_s)'),
    "forgets TPOT": mutant('r["ok"] and r["ttft_s"] <= ttft_s'),
    "takes one bound for enough": mutant(
        'r["ok"] and (r["ttft_s"] <= ttft_s or (r["tpot_s"] is None or r["tpot_s"] <= tpot_s))'
    ),
    "fails an answer of one token": mutant(
        'r["ok"] and r["ttft_s"] <= ttft_s and r["tpot_s"] is not None and r["tpot_s"] <= tpot_s'
    ),
    "refuses a value equal to its bound": mutant(
        'r["ok"] and r["ttft_s"] < ttft_s and (r["tpot_s"] is None or r["tpot_s"] < tpot_s)'
    ),
    "returns the attainment": mutant(rate="sum(met(r) for r in requests) / max(len(requests), 1)"),
    "returns a count": mutant(rate="sum(met(r) for r in requests)"),
}
