"""Plausible wrong answers to triton-2.2-cascade; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''from servelab.engines import triton


def start():
    """A running Triton with `small`, `big` and `cascade`."""
    cascade = """import triton_python_backend_utils as pb

def call(model, x, *outputs):
    asked = pb.InferenceRequest(
        model_name=model, requested_output_names=list(outputs), inputs=[pb.Tensor("X", x)]
    )
    said = asked.exec()
    if said.has_error():
        raise pb.TritonModelException(said.error().message())
    return [pb.get_output_tensor_by_name(said, name).as_numpy() for name in outputs]

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "X").as_numpy()) for request in requests]

    def answer(self, x):
        label, sure = call("small", x, "LABEL", "SURE")
        label, unsure = label.copy(), sure[:, 0] < 0.5
        if unsure.any():
            label[unsure] = call("big", x[unsure], "LABEL")[0]
        return pb.InferenceResponse([pb.Tensor("LABEL", label)])
"""
    folder = shipped("pair")
    config = (folder / "big" / "config.pbtxt").read_text()
    write({"cascade/config.pbtxt": config, "cascade/1/model.py": cascade}, folder)
    return triton(folder, strict_model_config=True, progress=False)
'''


MUTANTS = {
    "always asks big": but(RIGHT, "if unsure.any():", "unsure |= True\n        if True:"),
    "never asks big": but(RIGHT, "if unsure.any():", "if False:"),
    "sends all rows to big where one is not sure": but(
        RIGHT, 'label[unsure] = call("big", x[unsure], "LABEL")[0]', 'label = call("big", x, "LABEL")[0]'
    ),
    "computes all rows and keeps the unsure": but(
        RIGHT, 'call("big", x[unsure], "LABEL")[0]', 'call("big", x, "LABEL")[0][unsure]'
    ),
    "asks big row by row": but(
        RIGHT,
        'label[unsure] = call("big", x[unsure], "LABEL")[0]',
        'for n in unsure.nonzero()[0]:\n                label[n] = call("big", x[n : n + 1], "LABEL")[0][0]',
    ),
    "asks small twice": but(
        RIGHT,
        'label, sure = call("small", x, "LABEL", "SURE")',
        'label, sure = call("small", x, "LABEL")[0], call("small", x, "SURE")[0]',
    ),
    "takes sure for unsure": but(RIGHT, "sure[:, 0] < 0.5", "sure[:, 0] >= 0.5"),
    "swallows big's error": but(
        RIGHT, "            label[unsure] = call", "            try:\n                label[unsure] = call"
    ).replace('"LABEL")[0]\n', '"LABEL")[0]\n            except Exception:\n                pass\n', 1),
    "tells an error of its own": but(
        RIGHT, "pb.TritonModelException(said.error().message())", 'ValueError("no label")'
    ),
}
