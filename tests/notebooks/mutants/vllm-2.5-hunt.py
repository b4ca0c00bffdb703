"""Plausible wrong answers to vllm-2.5-hunt; each must lose points."""

from tests.notebooks.variants import but

RIGHT = """
def diagnose(now, usual):
    if now["gate_waiting"] > now["engine_running"] + now["engine_waiting"]:
        return "gate"
    if now["engine_waiting"] >= 1:
        return "memory" if now["kv_used"] >= 0.9 else "seats"
    if now["prefix_found"] < 0.5 * usual["prefix_found"]:
        return "prefix"
    if now["others_cpu"] >= 0.3 and now["step_s"] >= 1.5 * usual["step_s"]:
        return "neighbour"
    return "none"
"""

MUTANTS = {
    "calls everybody before the engine a crowd": but(RIGHT, '> now["engine_running"] + now["engine_waiting"]', "> 1"),
    "forgets who runs": but(RIGHT, 'now["engine_running"] + now["engine_waiting"]', 'now["engine_waiting"]'),
    "looks at the engine first": but(
        RIGHT, 'if now["gate_waiting"] >', 'if now["engine_waiting"] < 1 and now["gate_waiting"] >'
    ),
    "takes memory for seats": but(RIGHT, '"memory" if now["kv_used"] >= 0.9 else "seats"', '"seats"'),
    "takes seats for memory": but(RIGHT, '"memory" if now["kv_used"] >= 0.9 else "seats"', '"memory"'),
    "calls a full cache a fault": but(RIGHT, 'now["engine_waiting"] >= 1', 'now["kv_used"] >= 0.5'),
    "wants no hit at all": but(RIGHT, '< 0.5 * usual["prefix_found"]', "== 0"),
    "knows no usual share": but(RIGHT, '0.5 * usual["prefix_found"]', "0.3"),
    "blames whoever computes": but(RIGHT, ' and now["step_s"] >= 1.5 * usual["step_s"]', ""),
    "blames the neighbour for every slow step": but(RIGHT, 'now["others_cpu"] >= 0.3 and ', ""),
    "finds something always": but(RIGHT, 'return "none"', 'return "neighbour"'),
}
