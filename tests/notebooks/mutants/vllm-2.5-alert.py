"""Plausible wrong answers to vllm-2.5-alert; each must lose points."""

from tests.notebooks.variants import but

RIGHT = """
def burn_alert(slo, burn, long, short):
    def above(window):
        bad = f'sum(rate(service_requests_total{{status!="200"}}[{window}]))'
        return f"{bad} / sum(rate(service_requests_total[{window}])) > {burn} * (1 - {slo})"

    return f"{above(long)} and {above(short)}"
"""
AVERAGED = """
def burn_alert(slo, burn, long, short):
    def above(window):
        bad = f'sum by (instance) (rate(service_requests_total{{status!="200"}}[{window}]))'
        return f"avg({bad} / sum by (instance) (rate(service_requests_total[{window}]))) > {burn} * (1 - {slo})"

    return f"{above(long)} and {above(short)}"
"""
BOTH = 'return f"{above(long)} and {above(short)}"'
ALL = "/ sum(rate(service_requests_total["

MUTANTS = {
    "looks at the long window only": but(RIGHT, BOTH, "return above(long)"),
    "looks at the short window only": but(RIGHT, BOTH, "return above(short)"),
    "is content with either window": but(RIGHT, "} and {", "} or {"),
    "forgets the budget": but(RIGHT, "> {burn} * (1 - {slo})", "> {burn}"),
    "multiplies with the objective": but(RIGHT, "(1 - {slo})", "{slo}"),
    "forgets the burn rate": but(RIGHT, "> {burn} * ", "> "),
    "averages the replicas' shares": AVERAGED,
    "counts from the beginning": RIGHT.replace("rate(", "(").replace("[{window}]", ""),
    "has always a value": but(RIGHT, "> {burn}", "> bool {burn}"),
    "compares counts with a share": but(RIGHT, ALL + "{window}]))", ""),
}
