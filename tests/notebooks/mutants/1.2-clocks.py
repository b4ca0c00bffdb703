"""Plausible wrong answers to 1.2-clocks."""

TEMPLATE = """
def clocks(sent_s, token_times_s):
    first, last, n = token_times_s[0], token_times_s[-1], len(token_times_s)
    ttft, e2e = {ttft}, {e2e}
    tpot = {tpot} if n > 1 else {alone}
    return {{"ttft_s": ttft, "tpot_s": tpot, "e2e_s": e2e, "itl_s": {itl}}}
"""


def mutant(**changes: str) -> str:
    right = {
        "ttft": "first - sent_s",
        "e2e": "last - sent_s",
        "tpot": "(last - first) / (n - 1)",
        "alone": 'float("nan")',
        "itl": "[b - a for a, b in zip(token_times_s, token_times_s[1:])]",
    }
    return TEMPLATE.format(**{**right, **changes})


MUTANTS = {
    "divides by the tokens, not by the gaps": mutant(tpot="(last - first) / n"),
    "counts the first token into TPOT": mutant(tpot="(last - sent_s) / n"),
    "starts E2E at the first token": mutant(e2e="last - first"),
    "takes the clock's zero for the sending": mutant(ttft="first"),
    "gives a lone token a TPOT of zero": mutant(alone="0.0"),
    "puts TTFT among the gaps": mutant(itl="[b - a for a, b in zip([sent_s, *token_times_s], token_times_s)]"),
    "gives every gap the mean": mutant(itl="[(last - first) / (n - 1)] * (n - 1) if n > 1 else []"),
    "takes the median gap for TPOT": mutant(
        tpot="sorted(b - a for a, b in zip(token_times_s, token_times_s[1:]))[(n - 1) // 2]"
    ),
}
