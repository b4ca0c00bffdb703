"""Plausible wrong answers to 1.2-targets."""

TEMPLATE = """
def check_targets(tokens_per_s, requests_per_s, ttft_s, itl_s, output_tokens):
    needed = {needed}
    return {{"tokens_needed": needed, "consistent": {consistent}, "in_flight": {in_flight}}}
"""


def mutant(
    needed: str = "requests_per_s * output_tokens",
    consistent: str = "tokens_per_s >= needed",
    in_flight: str = "requests_per_s * (ttft_s + (output_tokens - 1) * itl_s)",
) -> str:
    return TEMPLATE.format(needed=needed, consistent=consistent, in_flight=in_flight)


MUTANTS = {
    "counts a gap too many": mutant(in_flight="requests_per_s * (ttft_s + output_tokens * itl_s)"),
    "forgets the first token": mutant(in_flight="requests_per_s * (output_tokens - 1) * itl_s"),
    "takes tokens for requests in flight": mutant(in_flight="tokens_per_s * (ttft_s + (output_tokens - 1) * itl_s)"),
    "turns the comparison round": mutant(consistent="tokens_per_s <= needed"),
    "wants more than enough": mutant(consistent="tokens_per_s > needed"),
    "divides instead of multiplying": mutant(needed="tokens_per_s / requests_per_s"),
    "takes the larger of target and need": mutant(needed="max(tokens_per_s, requests_per_s * output_tokens)"),
    "leaves the arrival rate out": mutant(in_flight="ttft_s + (output_tokens - 1) * itl_s"),
}
