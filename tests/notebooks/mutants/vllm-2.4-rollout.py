"""Plausible wrong answers to vllm-2.4-rollout."""

from tests.notebooks.variants import but

RIGHT = '''
def step(replicas, wanted):
    """The next thing to do: (action, replica)."""
    for name, one in replicas.items():
        if one["admitted"] and not one["ready"]:
            return "drain", name
    for name, one in replicas.items():
        if one["ready"] and not one["admitted"] and one["version"] == wanted:
            return "admit", name
    for name, one in replicas.items():
        if not one["running"]:
            return ("halt", name) if one["failed"] >= 3 else ("start", name)
    for name, one in replicas.items():
        if not one["admitted"]:  # on its way: it drains, or it starts
            idle = one["version"] != wanted and one["open"] == 0
            return ("stop" if idle else "wait"), name
    for name, one in replicas.items():
        if one["version"] != wanted:
            return ("drain" if len(replicas) > 1 else "wait"), name
    return "done", ""
'''

ON_ITS_WAY = '    for name, one in replicas.items():\n        if not one["admitted"]:  # on'
ALL_AT_ONCE = """    for name, one in replicas.items():
        if one["admitted"] and one["version"] != wanted:
            return "drain", name
"""

MUTANTS = {
    "stops what still answers": but(RIGHT, ' and one["open"] == 0', ""),
    "stops without draining": but(RIGHT, '("drain" if len(replicas) > 1 else "wait"), name', '"stop", name'),
    "admits whoever is running": but(
        RIGHT, 'if one["ready"] and not one["admitted"]', 'if one["running"] and not one["admitted"]'
    ),
    "leaves who cannot serve before the users": but(RIGHT, 'if one["admitted"] and not one["ready"]:', "if False:"),
    "drains all at once": but(RIGHT, ON_ITS_WAY, ALL_AT_ONCE + ON_ITS_WAY),
    "starts what does not start for ever": but(
        RIGHT, '("halt", name) if one["failed"] >= 3 else ("start", name)', '"start", name'
    ),
    "gives up at the first failure": but(RIGHT, 'one["failed"] >= 3', 'one["failed"] >= 1'),
    "restarts what is right": but(
        RIGHT, 'if one["version"] != wanted:\n            return ("drain"', 'if True:\n            return ("drain"'
    ),
    "is done when the versions are right": but(
        RIGHT,
        '    for name, one in replicas.items():\n        if one["admitted"] and',
        '    if all(one["version"] == wanted for one in replicas.values()):\n        return "done", ""\n'
        '    for name, one in replicas.items():\n        if one["admitted"] and',
    ),
}
