import json

import numpy as np
import torch
import triton_python_backend_utils as pb
from transformers import AutoModelForCausalLM


class TritonPythonModel:
    def initialize(self, args):
        folder = json.loads(args["model_config"])["parameters"]["model"]["string_value"]
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "IDS").as_numpy()) for request in requests]

    @torch.inference_mode()
    def answer(self, ids):
        logits = self.model(torch.tensor([ids.tolist()]), logits_to_keep=1).logits
        return pb.InferenceResponse([pb.Tensor("NEXT", np.array([int(logits[0, -1].argmax())], np.int64))])
