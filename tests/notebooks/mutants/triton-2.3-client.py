"""Plausible wrong answers to triton-2.3-client; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''import json

import httpx


def ask(url, prompt, max_tokens, until=None, lora=None, **sampling):
    """The text of `vllm_model` at `url`, at most up to `until`."""
    told = {"max_tokens": max_tokens, **sampling} | ({"lora_name": lora} if lora else {})
    body = {"text_input": prompt, "stream": True, "sampling_parameters": json.dumps(told)}
    path, text = f"{url}/v2/models/vllm_model/generate_stream", ""
    with httpx.stream("POST", path, json=body, trust_env=False, timeout=60) as answer:
        for line in answer.iter_lines():
            if not line.strip():
                continue
            event = json.loads(line.removeprefix("data:"))
            if "error" in event:
                raise ValueError(event["error"])
            text += event["text_output"]
            if until and until in text:
                return text[: text.index(until) + len(until)]
    return text
'''


MUTANTS = {
    "does not ask for a stream": but(RIGHT, '"stream": True, ', ""),
    "sends the adapter beside the parameters": but(RIGHT, ' | ({"lora_name": lora} if lora else {})', "").replace(
        "json.dumps(told)}", 'json.dumps(told)} | ({"lora_name": lora} if lora else {})'
    ),
    "forgets how many tokens": but(RIGHT, '{"max_tokens": max_tokens, **sampling}', "{**sampling}"),
    "forgets the other parameters": but(RIGHT, ", **sampling} |", "} |"),
    "takes an error for the end": but(RIGHT, 'raise ValueError(event["error"])', "break"),
    "looks at the status only": but(
        RIGHT, '            if "error" in event:\n', "            if answer.is_error:\n"
    ).replace('event["text_output"]', 'event.get("text_output", "")'),
    "reads to the end first": but(RIGHT, "in answer.iter_lines()", "in list(answer.iter_lines())"),
    "returns what came after as well": but(RIGHT, "return text[: text.index(until) + len(until)]", "until = None"),
    "leaves `until` out": but(RIGHT, " + len(until)]", "]"),
    "tells nothing of why": but(RIGHT, 'ValueError(event["error"])', 'ValueError("failed")'),
}
