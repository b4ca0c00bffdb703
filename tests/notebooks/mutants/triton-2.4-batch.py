"""Plausible wrong answers to triton-2.4-batch; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''def start():
    """A running Triton with `score`: batches that are one computation, and a bad id that fails alone."""
    execute = """    def execute(self, requests):
        inputs = [pb.get_input_tensor_by_name(request, "IDS").as_numpy() for request in requests]
        good = [bool(((ids >= 0) & (ids < 256)).all()) for ids in inputs]
        kept = [ids for ids, fine in zip(inputs, good) if fine]
        ends = np.cumsum([len(ids) for ids in kept])[:-1]
        scores = iter(np.split(self.score(np.concatenate(kept)), ends) if kept else [])
        return [
            pb.InferenceResponse([pb.Tensor("SCORE", next(scores))])
            if fine
            else pb.InferenceResponse(error=pb.TritonError("an id lies outside 0 ... 255"))
            for fine in good
        ]

"""
    model = MODEL[: MODEL.index("    def execute")] + execute + MODEL[MODEL.index("    def score") :]
    config = CONFIG.replace("size: 32", "size: 16") + "dynamic_batching { }"
    folder = write({"score/config.pbtxt": config, "score/1/model.py": model})
    return triton(folder, strict_model_config=True, progress=False)
'''


MUTANTS = {
    "works through the requests one by one": but(
        RIGHT,
        "iter(np.split(self.score(np.concatenate(kept)), ends) if kept else [])",
        "iter([self.score(ids) for ids in kept])",
    ),
    "switches dynamic batching on nowhere": but(RIGHT, '+ "dynamic_batching { }"', ""),
    "holds every request for others": but(
        RIGHT, '"dynamic_batching { }"', '"dynamic_batching { max_queue_delay_microseconds: 300000 }"'
    ),
    "gives each request one row": but(RIGHT, "np.cumsum([len(ids) for ids in kept])[:-1]", "np.arange(1, len(kept))"),
    "fails the whole batch for a bad id": but(
        RIGHT,
        "        kept = [",
        "        if not all(good):\n            raise ValueError('an id lies outside')\n        kept = [",
    ),
    "takes a negative id for a good one": but(RIGHT, "(ids >= 0) & (ids < 256)", "ids < 256"),
    "answers the good first, then the bad": but(
        RIGHT, "for fine in good\n", "for fine in sorted(good, reverse=True)\n"
    ),
    "lets two rows into a batch": but(RIGHT, '"size: 16"', '"size: 2"'),
}
