"""Plausible wrong answers to triton-2.1-client; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''import httpx
import numpy as np


def call(url, model, values):
    """{output: nested list} of one inference; ValueError with Triton's sentence where it refuses."""
    def told(answer):
        if answer.is_error:
            raise ValueError(answer.json()["error"])
        return answer.json()

    with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        types = {one["name"]: one["datatype"] for one in told(http.get(f"/v2/models/{model}"))["inputs"]}
        inputs = [
            {"name": name, "shape": list(np.shape(value)), "datatype": types.get(name, "FP32"),
             "data": np.ravel(value).tolist()}
            for name, value in values.items()
        ]
        outputs = told(http.post(f"/v2/models/{model}/infer", json={"inputs": inputs}))["outputs"]
    return {one["name"]: np.reshape(one["data"], one["shape"]).tolist() for one in outputs}
'''


MUTANTS = {
    "guesses the type of numbers": but(RIGHT, 'types.get(name, "FP32")', '"FP64"'),
    "takes everything for FP32": but(RIGHT, 'types.get(name, "FP32")', '"FP32"'),
    "sends flat shapes": but(RIGHT, "list(np.shape(value))", "[np.size(value)]"),
    "returns flat lists": but(RIGHT, 'np.reshape(one["data"], one["shape"]).tolist()', 'one["data"]'),
    "adds a batch that nobody asked for": but(RIGHT, "list(np.shape(value))", "[1, *np.shape(value)]"),
    "keeps the first output only": but(RIGHT, "in outputs}", "in outputs[:1]}"),
    "tells the status for the sentence": but(
        RIGHT, 'ValueError(answer.json()["error"])', 'ValueError(f"HTTP {answer.status_code}")'
    ),
    "raises httpx's error": but(RIGHT, 'raise ValueError(answer.json()["error"])', "answer.raise_for_status()"),
    "asks for types that a wrong name does not have": but(RIGHT, 'types.get(name, "FP32")', "types[name]"),
}
