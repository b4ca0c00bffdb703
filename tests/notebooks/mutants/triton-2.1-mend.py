"""Plausible wrong answers to triton-2.1-mend; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''from servelab.engines import triton


def mended():
    """A running Triton over the four models, mended."""
    files = dict(LEFT)
    files["double/config.pbtxt"] = files["double/config.pbtxt"].replace("TYPE_FLOAT32", "TYPE_FP32")
    files["square/config.pbtxt"] = files["square/config.pbtxt"].replace('"squared"', '"square"')
    files["square/1/model.py"] = files["square/1/model.py"].replace("tyme", "time")
    files["negate/1/model.py"] = files.pop("negate/v1/model.py")
    files["half/1/model.py"] = files["half/1/model.py"].replace('"HALF"', '"Y"')
    return triton(write(files), progress=False)
'''


MUTANTS = {
    "leaves them as they are": "from servelab.engines import triton\n\n\ndef mended():\n"
    "    return triton(write(LEFT), progress=False)\n",
    "lets the server start over the broken ones": "from servelab.engines import triton\n\n\ndef mended():\n"
    "    return triton(write(LEFT), exit_on_error=False, progress=False)\n",
    "believes the one that is ready": but(RIGHT, ".replace('\"HALF\"', '\"Y\"')", ""),
    "takes the wrong one away": but(
        RIGHT,
        'files["negate/1/model.py"] = files.pop("negate/v1/model.py")',
        'files = {k: v for k, v in files.items() if "negate" not in k}',
    ),
    "mends the name and not the import": but(RIGHT, '.replace("tyme", "time")', ""),
    "mends one type with another": but(
        RIGHT, '.replace("TYPE_FLOAT32", "TYPE_FP32")', '.replace("TYPE_FLOAT32", "TYPE_FP64")'
    ),
    "turns the batch off": but(
        RIGHT, "triton(write(files)", 'triton(write({k: v.replace("size: 8", "size: 0") for k, v in files.items()})'
    ),
    "puts double in every folder": but(
        RIGHT, "triton(write(files)", 'triton(write({k: v.replace("x * x", "2 * x") for k, v in files.items()})'
    ),
}
