"""Plausible wrong answers to vllm-2.1-stream; each must lose points."""

from tests.notebooks.variants import but

RIGHT = """import time


def stream_chat(client, model, messages, max_tokens):
    began, first, pieces, tokens = time.perf_counter(), None, [], 0
    stream = client.chat.completions.create(
        model=model, messages=messages, max_tokens=max_tokens, temperature=0,
        stream=True, stream_options={"include_usage": True},
    )
    for piece in stream:
        if piece.usage:
            tokens = piece.usage.completion_tokens
        if piece.choices and piece.choices[0].delta.content:
            first = first if first is not None else time.perf_counter() - began
            pieces.append(piece.choices[0].delta.content)
    return "".join(pieces), first, tokens
"""


MUTANTS = {
    "counts pieces": but(RIGHT, "first, tokens\n", "first, len(pieces)\n"),
    "counts words": but(RIGHT, "first, tokens\n", 'first, len("".join(pieces).split())\n'),
    "counts the prompt too": but(RIGHT, "piece.usage.completion_tokens", "piece.usage.total_tokens"),
    "stops the clock at the role": but(
        RIGHT,
        "        if piece.choices and piece.choices[0].delta.content:\n            first = first if",
        "        first = first if first is not None else time.perf_counter() - began\n"
        "        if piece.choices and piece.choices[0].delta.content:\n            first = first if",
    ),
    "stops the clock at the last text": but(
        RIGHT,
        "first = first if first is not None else time.perf_counter() - began",
        "first = time.perf_counter() - began",
    ),
    "puts the pieces together with spaces": but(RIGHT, '"".join', '" ".join'),
    "looks for a choice in the last piece": but(RIGHT, "piece.choices and piece.choices", "piece.choices"),
    "always asks for 16 tokens": but(RIGHT, "max_tokens=max_tokens", "max_tokens=16"),
    "waits for the whole answer": but(RIGHT, "for piece in stream:", "for piece in list(stream):"),
}
