import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "X").as_numpy()) for request in requests]

    def answer(self, x):
        if x.max() > 99:
            return pb.InferenceResponse(error=pb.TritonError("that is too large for me"))
        return pb.InferenceResponse([pb.Tensor("LABEL", 10 + x.argmin(axis=1, keepdims=True).astype(np.int64))])
