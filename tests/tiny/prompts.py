"""The prompt set on which the tiny engine is held against others: short, long, repetitive, with a shared beginning."""

from __future__ import annotations

TALE = (
    "The lighthouse keeper wrote down every ship that passed: its name, its flag, the hour, and the weather. "
    "After forty years the book had nine thousand lines. One night a ship came by that was in the book already. "
)
TEXTS = (
    "The capital of France is",
    "def fibonacci(n):\n",
    "Count: 1, 2, 3, 4, 5, 6, 7,",
    TALE + "The keeper",
    TALE + "Nobody on board",
    TALE,
    "Q: What is 2 + 2?\nA: 4\nQ: What is 3 + 3?\nA: 6\nQ: What is 4 + 4?\nA:",
    "Once upon a time",
)
