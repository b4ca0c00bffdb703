"""Plausible wrong answers to triton-2.2-door; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''from servelab.engines import triton


def start(experiment, share):
    """A running Triton with `who` in two versions and `door`, which gives a `share` of the users version 2."""
    door = f"""import hashlib
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb.get_input_tensor_by_name(request, "USER").as_numpy()[0]) for request in requests]

    def answer(self, user):
        digest = hashlib.sha256("{experiment}:".encode() + user).digest()
        asked = pb.InferenceRequest(
            model_name="who",
            model_version=2 if int.from_bytes(digest[:8], "big") / 2**64 < {share} else 1,
            requested_output_names=["VERSION"],
            inputs=[pb.Tensor("X", np.ones((1, 1), np.float32))],
        )
        said = asked.exec()
        if said.has_error():
            return pb.InferenceResponse(error=said.error())
        version = pb.get_output_tensor_by_name(said, "VERSION").as_numpy()
        return pb.InferenceResponse([pb.Tensor("VERSION", version[0])])
"""
    config = CONFIG.replace("size: 8", "size: 0").replace('"X" data_type: TYPE_FP32', '"USER" data_type: TYPE_STRING')
    files = {"door/config.pbtxt": config, "door/1/model.py": door, "who/1/model.py": WHO, "who/2/model.py": WHO}
    files["who/config.pbtxt"] = CONFIG + "version_policy: { all: {} }"
    return triton(write(files), strict_model_config=True, progress=False)
'''


MUTANTS = {
    "hashes as Python does, anew in each process": but(
        RIGHT, 'int.from_bytes(digest[:8], "big") / 2**64 <', "hash(user) % 10**6 / 10**6 <"
    ),
    "throws a coin for each request": but(RIGHT, 'int.from_bytes(digest[:8], "big") / 2**64 <', "np.random.random() <"),
    "deals every experiment alike": but(RIGHT, "{experiment}:", "all:"),
    "gives each version half": but(RIGHT, "< {share} else", "< 0.5 else"),
    "gives version 1 the share": but(RIGHT, "2 if int", "1 if int").replace("else 1,", "else 2,"),
    "says one version and asks another": but(
        RIGHT,
        'version = pb.get_output_tensor_by_name(said, "VERSION").as_numpy()',
        'version = np.array([[2 if int.from_bytes(digest[:8], "big") / 2**64 < {share} else 1]], np.float32)',
    ).replace('model_version=2 if int.from_bytes(digest[:8], "big") / 2**64 < {share} else 1', "model_version=-1"),
    "leaves one version unserved": but(RIGHT, 'CONFIG + "version_policy: { all: {} }"', "CONFIG"),
}
