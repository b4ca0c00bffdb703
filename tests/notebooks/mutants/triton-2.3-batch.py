"""Plausible wrong answers to triton-2.3-batch; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''import shutil

from servelab.engines import triton


def serve(file):
    """A running Triton with `net`, read from `file`, that works on all requests of a list at once."""
    model = """import torch
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        self.net = torch.export.load(f"{args['model_repository']}/{args['model_version']}/model.pt2").module()

    def execute(self, requests):
        inputs = [torch.from_numpy(pb.get_input_tensor_by_name(request, "X").as_numpy()) for request in requests]
        counts = [len(x) for x in inputs]
        y, rows = self.net(torch.cat(inputs))
        parts = zip(torch.split(y.detach(), counts), torch.split(rows, counts))
        return [
            pb.InferenceResponse([pb.Tensor("Y", a.numpy()), pb.Tensor("ROWS", b.numpy())]) for a, b in parts
        ]
"""
    config = NET_CONFIG + "dynamic_batching { max_queue_delay_microseconds: 300000 }\n"
    folder = write({"net/config.pbtxt": config, "net/1/model.py": model})
    shutil.copy(file, folder / "net/1/model.pt2")
    return triton(folder, strict_model_config=True, progress=False)
'''


MUTANTS = {
    "asks the network once a request": but(
        RIGHT,
        "        y, rows = self.net(torch.cat(inputs))\n",
        "        y, rows = (torch.cat(part) for part in zip(*[self.net(x) for x in inputs]))\n",
    ),
    "lets nobody wait for others": but(
        RIGHT, 'NET_CONFIG + "dynamic_batching { max_queue_delay_microseconds: 300000 }\\n"', "NET_CONFIG"
    ),
    "takes all requests for equally long": but(
        RIGHT, "counts = [len(x) for x in inputs]", "counts = -(-sum(map(len, inputs)) // len(inputs))"
    ),
    "gives each the rows of another": but(
        RIGHT, "zip(torch.split(y.detach(), counts)", "zip(torch.split(y.detach().flip(0), counts)"
    ),
    "answers everybody with everything": but(
        RIGHT,
        "parts = zip(torch.split(y.detach(), counts), torch.split(rows, counts))",
        "parts = [(y.detach(), rows) for x in inputs]",
    ),
    "answers the first request only": but(RIGHT, "in parts\n", "in list(parts)[:1]\n"),
    "takes eight rows at most": but(RIGHT, "config = NET_CONFIG +", 'config = NET_CONFIG.replace("16", "8") +'),
}
