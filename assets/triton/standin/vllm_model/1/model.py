"""Takes and gives what vLLM inside Triton does, without an engine: each piece it sends is a word of the prompt.

First it says what it was told, sampling parameters as JSON with sorted keys. A temperature below 0 is an error, and so
is the word `break`, after the words before it. It stops when the client has left, and counts the pieces it has sent.
"""

import json
import threading
import time

import numpy as np
import triton_python_backend_utils as pb

FINAL = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args):
        self.one = threading.Lock()  # two threads in a metric at once bring Triton 24.10 down
        counter = pb.MetricFamily.COUNTER
        self.family = pb.MetricFamily(name="standin_pieces_total", description="pieces sent", kind=counter)
        self.sent = self.family.Metric(labels={"model": args["model_name"]})

    def execute(self, requests):
        for request in requests:
            threading.Thread(target=self.answer, args=(request, request.get_response_sender())).start()

    def answer(self, request, sender):
        prompt, stream = read(request, "text_input"), read(request, "stream")
        told = read(request, "sampling_parameters")
        try:
            told = json.loads(told or "{}")
            words = prompt.split()[: told.get("max_tokens", 16)]
            if told.get("temperature", 1) < 0:
                raise ValueError("temperature must be non-negative")
        except Exception as error:
            return self.fail(sender, error)
        said = [json.dumps(told, sort_keys=True), *(" " + word for word in words)]
        for piece in said if stream else ["".join(said)]:
            if sender.is_cancelled():
                break
            if piece == " break":
                return self.fail(sender, "the engine broke")
            with self.one:
                self.sent.increment(1)
            sender.send(pb.InferenceResponse([pb.Tensor("text_output", np.array([piece.encode()], object))]))
            time.sleep(0.03)
        sender.send(flags=FINAL)

    def fail(self, sender, why):
        failed = pb.TritonError(f"Error generating stream: {why}")
        sender.send(pb.InferenceResponse(error=failed), flags=FINAL)


def read(request, name):
    tensor = pb.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    value = tensor.as_numpy().ravel()[0]
    return value.decode() if isinstance(value, bytes) else bool(value)
