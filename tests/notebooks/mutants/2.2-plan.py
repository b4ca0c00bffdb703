"""Plausible wrong answers to 2.2-plan."""

from tests.notebooks.variants import but

RIGHT = """
def plan(prompts, budget, decoding):
    steps, todo, writing = [], list(enumerate(prompts)), decoding
    while todo:
        room, step = budget - writing, []
        while todo and room:
            index, left = todo[0]
            taken = min(left, room)
            step.append((index, taken))
            room -= taken
            todo[0] = (index, left - taken)
            if taken == left:
                todo.pop(0)
                writing += 1
        steps.append(step)
    return steps
"""

SHARES = """
def plan(prompts, budget, decoding):
    left, steps = list(prompts), []
    while any(left):
        waiting = [i for i, n in enumerate(left) if n]
        room = budget - decoding - (len(left) - len(waiting))
        step = [(i, min(left[i], max(1, room // len(waiting)))) for i in waiting]
        for i, n in step:
            left[i] -= n
        steps.append(step)
    return steps
"""

MUTANTS = {
    "forgets the readers": but(RIGHT, "budget - writing", "budget"),
    "forgets that a complete prompt writes": but(RIGHT, "writing += 1", "pass"),
    "lets it write in the same step": but(
        RIGHT, "writing += 1", "writing += 1\n                room = max(0, room - 1)"
    ),
    "reads one prompt a step": but(RIGHT, "while todo and room:", "while todo and room and not step:"),
    "never cuts a prompt that fits a step of its own": but(
        RIGHT,
        "taken = min(left, room)",
        "taken = min(left, room)\n            if step and left > room:\n                break",
    ),
    "serves the shortest first": but(
        RIGHT, "list(enumerate(prompts))", "sorted(enumerate(prompts), key=lambda p: p[1])"
    ),
    "shares the step equally": SHARES,
    "gives each prompt the whole budget": but(RIGHT, "room -= taken", "pass"),
    "begins the cut prompt anew": but(RIGHT, "step.append((index, taken))", "step.append((index, prompts[index]))"),
}
