"""Plausible wrong answers to triton-2.2-shelf; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''import httpx
import numpy as np


class Shelf:
    """At most `room` models loaded in the Triton at `url`; the one asked for longest ago leaves."""

    def __init__(self, url, room):
        self.url, self.room, self.held = url, room, []

    def post(self, path, body):
        answer = httpx.post(f"{self.url}/v2/{path}", json=body, trust_env=False, timeout=30)
        if answer.is_error:
            raise ValueError(answer.json()["error"])
        return answer

    def ask(self, model, x):
        """Y of the model for X = x, as a nested list."""
        if model in self.held:
            self.held.remove(model)
        else:
            if len(self.held) == self.room:
                self.post(f"repository/models/{self.held.pop(0)}/unload", {})
            self.post(f"repository/models/{model}/load", {})
        self.held.append(model)
        tensor = {"name": "X", "shape": list(np.shape(x)), "datatype": "FP32", "data": np.ravel(x).tolist()}
        y = self.post(f"models/{model}/infer", {"inputs": [tensor]}).json()["outputs"][0]
        return np.reshape(y["data"], y["shape"]).tolist()
'''


MUTANTS = {
    "gives up who was loaded first": but(RIGHT, "            self.held.remove(model)\n", "            pass\n").replace(
        "        self.held.append(model)\n", "        self.held += [model] * (model not in self.held)\n"
    ),
    "gives up who was asked for last": but(RIGHT, "self.held.pop(0)", "self.held.pop()"),
    "makes room for one more than it has": but(RIGHT, "len(self.held) == self.room", "len(self.held) > self.room"),
    "never unloads": but(RIGHT, "len(self.held) == self.room", "False"),
    "keeps a place for a model that did not load": but(
        RIGHT,
        '            self.post(f"repository/models/{model}/load", {})\n',
        '            self.held.append(model)\n            self.post(f"repository/models/{model}/load", {})\n'
        "            self.held.remove(model)\n",
    ),
    "tells the status for the sentence": but(RIGHT, 'answer.json()["error"]', 'f"HTTP {answer.status_code}"'),
    "answers the first row only": but(RIGHT, 'y["shape"]).tolist()', 'y["shape"]).tolist()[:1]'),
}
