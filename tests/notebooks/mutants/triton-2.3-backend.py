"""Plausible wrong answers to triton-2.3-backend; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''from servelab.engines import triton


def start():
    """A running Triton with the model `count`."""
    config = CONFIG.replace('"text_input" data_type: TYPE_STRING', '"N" data_type: TYPE_INT32')
    config = config.replace('"text_output" data_type: TYPE_STRING', '"VALUE" data_type: TYPE_INT32')
    head = HEAD.replace("words_total", "count_sent_total").replace("words sent", "numbers sent")
    model = """
    def execute(self, requests):
        for request in requests:
            threading.Thread(target=self.answer, args=(request, request.get_response_sender())).start()

    def answer(self, request, sender):
        n = int(pb.get_input_tensor_by_name(request, "N").as_numpy()[0])
        if n < 0:
            failed = pb.TritonError("N is negative")
            return sender.send(pb.InferenceResponse(error=failed), flags=FINAL)
        for value in range(n, 0, -1):
            if sender.is_cancelled():
                break
            sender.send(pb.InferenceResponse([pb.Tensor("VALUE", np.array([value], np.int32))]))
            with self.one:
                self.sent.increment(1)
            time.sleep(0.02)
        sender.send(flags=FINAL)
"""
    return triton(write({"count/config.pbtxt": config, "count/1/model.py": head + model}), progress=False)
'''


MUTANTS = {
    "works in execute, one request after the other": but(
        RIGHT,
        "threading.Thread(target=self.answer, args=(request, request.get_response_sender())).start()",
        "self.answer(request, request.get_response_sender())",
    ),
    "goes on for nobody": but(RIGHT, "if sender.is_cancelled():", "if False:"),
    "never says that it is done": but(RIGHT, "        sender.send(flags=FINAL)\n", ""),
    "counts upwards": but(RIGHT, "range(n, 0, -1)", "range(1, n + 1)"),
    "forgets the last number": but(RIGHT, "range(n, 0, -1)", "range(n, 1, -1)"),
    "counts requests, not numbers": but(
        RIGHT, "            with self.one:\n                self.sent.increment(1)\n", ""
    ).replace("        if n < 0:\n", "        with self.one:\n            self.sent.increment(1)\n        if n < 0:\n"),
    "sends the error as no error": but(
        RIGHT, "return sender.send(pb.InferenceResponse(error=failed), flags=FINAL)", "return sender.send(flags=FINAL)"
    ),
    "keeps all back until the end": but(
        RIGHT,
        "        for value in range(n, 0, -1):\n",
        "        time.sleep(0.02 * n)\n        for value in range(n, 0, -1):\n",
    ).replace("            time.sleep(0.02)\n", ""),
    "tells the error in its own words": but(RIGHT, '"N is negative"', '"wrong input"'),
}
