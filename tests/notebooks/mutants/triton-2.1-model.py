"""Plausible wrong answers to triton-2.1-model; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''from servelab.engines import triton


def start():
    """A running Triton with the model `sampler`: softmax with temperature, and the likeliest token."""
    config = """backend: "python"
max_batch_size: 4
input [
  { name: "LOGITS" data_type: TYPE_FP32 dims: [ -1 ] },
  { name: "TEMPERATURE" data_type: TYPE_FP32 dims: [ 1 ] optional: true }
]
output [
  { name: "PROBS" data_type: TYPE_FP32 dims: [ -1 ] },
  { name: "TOKEN" data_type: TYPE_INT64 dims: [ 1 ] }
]
instance_group [ { kind: KIND_CPU } ]
"""
    model = """import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            logits = pb.get_input_tensor_by_name(request, "LOGITS").as_numpy()
            warmth = pb.get_input_tensor_by_name(request, "TEMPERATURE")
            scaled = logits / (1.0 if warmth is None else warmth.as_numpy())
            odds = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
            odds = (odds / odds.sum(axis=-1, keepdims=True)).astype(np.float32)
            token = logits.argmax(axis=-1).astype(np.int64)[:, None]
            answers.append(pb.InferenceResponse([pb.Tensor("PROBS", odds), pb.Tensor("TOKEN", token)]))
        return answers
"""
    return triton(write({"sampler/config.pbtxt": config, "sampler/1/model.py": model}), progress=False)
'''


MUTANTS = {
    "lets large logits overflow": but(RIGHT, "scaled - scaled.max(axis=-1, keepdims=True)", "scaled"),
    "makes one softmax of the whole batch": but(RIGHT, "odds.sum(axis=-1, keepdims=True)", "odds.sum()"),
    "overlooks the temperature": but(RIGHT, "(1.0 if warmth is None else warmth.as_numpy())", "1.0"),
    "takes the first row's temperature for all": but(RIGHT, "else warmth.as_numpy())", "else warmth.as_numpy()[0, 0])"),
    "multiplies by the temperature": but(RIGHT, "logits / (1.0 if", "logits * (1.0 if"),
    "demands a temperature": but(RIGHT, " optional: true", ""),
    "takes eight rows": but(RIGHT, "max_batch_size: 4", "max_batch_size: 8"),
    "takes three logits only": but(
        RIGHT, '"LOGITS" data_type: TYPE_FP32 dims: [ -1 ]', '"LOGITS" data_type: TYPE_FP32 dims: [ 3 ]'
    ),
    "sends the token as a float": but(
        RIGHT.replace("TYPE_INT64", "TYPE_FP32"), "astype(np.int64)", "astype(np.float32)"
    ),
    "names the least likely token": but(RIGHT, "argmax", "argmin"),
    "returns the address": but(RIGHT, "progress=False)", "progress=False).url"),
}
