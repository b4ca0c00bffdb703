"""Plausible wrong answers to 3.1-newcomer."""

from tests.notebooks.variants import but

RIGHT = """
def newcomer(prompt, decoding, budget, f, e, p):
    room = budget - decoding
    pieces = -(-prompt // room)
    beside = f + e * decoding
    return pieces * beside + p * prompt, beside + p * min(prompt, room), beside + e
"""

MUTANTS = {
    "lets the prompt fill the budget": but(RIGHT, "budget - decoding", "budget"),
    "rounds the pieces down": but(RIGHT, "-(-prompt // room)", "max(1, prompt // room)"),
    "reads every prompt in one step": but(RIGHT, "-(-prompt // room)", "1"),
    "pays for whole pieces": but(RIGHT, "+ p * prompt,", "+ p * pieces * room,"),
    "forgets who writes beside": but(RIGHT, "pieces * beside", "pieces * f"),
    "holds the others up for the whole prompt": but(RIGHT, "p * min(prompt, room)", "p * prompt"),
    "fills the longest step always": but(RIGHT, "p * min(prompt, room)", "p * room"),
    "does not count the newcomer": but(RIGHT, "beside + e", "beside"),
    "adds one step more for the first token": but(RIGHT, "pieces * beside", "(pieces + 1) * beside"),
}
