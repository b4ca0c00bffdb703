import json

import numpy as np
import triton_python_backend_utils as pb
from tokenizers import Tokenizer


class TritonPythonModel:
    def initialize(self, args):
        folder = json.loads(args["model_config"])["parameters"]["model"]["string_value"]
        self.tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")

    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "IDS").as_numpy()) for request in requests]

    def answer(self, ids):
        text = self.tokenizer.decode(ids.tolist())
        return pb.InferenceResponse([pb.Tensor("TEXT", np.array([text.encode()], object))])
