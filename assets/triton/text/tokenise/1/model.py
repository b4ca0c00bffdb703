import json

import numpy as np
import triton_python_backend_utils as pb
from tokenizers import Tokenizer

WINDOW = None  # the model reads so many of the last tokens; None: all


class TritonPythonModel:
    def initialize(self, args):
        folder = json.loads(args["model_config"])["parameters"]["model"]["string_value"]
        self.tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")

    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "TEXT").as_numpy()) for request in requests]

    def answer(self, text):
        ids = self.tokenizer.encode(text[0].decode()).ids
        if not ids:
            return pb.InferenceResponse(error=pb.TritonError("TEXT is empty"))
        return pb.InferenceResponse([pb.Tensor("IDS", np.array(ids[-WINDOW:] if WINDOW else ids, np.int64))])
