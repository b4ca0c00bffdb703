"""Plausible wrong answers to vllm-2.1-stream; each must lose points."""

RIGHT = '''import time


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
'''


def _but(old: str, new: str) -> str:
    assert old in RIGHT
    return RIGHT.replace(old, new)


MUTANTS = {
    "counts pieces": _but("first, tokens\n", "first, len(pieces)\n"),
    "counts words": _but("first, tokens\n", 'first, len("".join(pieces).split())\n'),
    "counts the prompt too": _but("piece.usage.completion_tokens", "piece.usage.total_tokens"),
    "stops the clock at the role": _but(
        "        if piece.choices and piece.choices[0].delta.content:\n            first = first if",
        "        first = first if first is not None else time.perf_counter() - began\n"
        "        if piece.choices and piece.choices[0].delta.content:\n            first = first if",
    ),
    "stops the clock at the last text": _but(
        "first = first if first is not None else time.perf_counter() - began", "first = time.perf_counter() - began"
    ),
    "puts the pieces together with spaces": _but('"".join', '" ".join'),
    "looks for a choice in the last piece": _but("piece.choices and piece.choices", "piece.choices"),
    "always asks for 16 tokens": _but("max_tokens=max_tokens", "max_tokens=16"),
    "waits for the whole answer": _but("for piece in stream:", "for piece in list(stream):"),
}
