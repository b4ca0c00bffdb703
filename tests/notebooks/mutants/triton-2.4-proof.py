"""Plausible wrong answers to triton-2.4-proof; each must lose points."""

from tests.notebooks.variants import but

RIGHT = r'''def proof(server, model, row, crowd, request_rows):
    """{batch, gain, verdict}: does dynamic batching work for this model under this load?"""
    def books():
        told = server.statistics(model)
        spent = sum(size["compute_infer"]["ns"] for size in told["batch_stats"])
        return np.array([told["inference_count"], told["execution_count"], spent], float)

    start = books()
    for _lone in range(16):
        server.infer(model, row)
    between = books()
    crowd()
    alone, together = between - start, books() - between
    batch = together[0] / together[1]
    gain = (together[0] / together[2]) / (alone[0] / alone[2])
    verdict = "off" if batch < 1.5 * request_rows else "useless" if gain < 2.5 else "works"
    return {"batch": batch, "gain": gain, "verdict": verdict}
'''


MUTANTS = {
    "reads the counters since the server's start": but(RIGHT, "books() - between\n", "books()\n"),
    "counts requests, not rows": but(RIGHT, 'told["inference_count"]', 'told["inference_stats"]["success"]["count"]'),
    "takes the time that each request has in the books": but(
        RIGHT,
        'sum(size["compute_infer"]["ns"] for size in told["batch_stats"])',
        'told["inference_stats"]["compute_infer"]["ns"]',
    ),
    "compares executions, not rows": but(
        RIGHT,
        "(together[0] / together[2]) / (alone[0] / alone[2])",
        "(together[1] / together[2]) / (alone[1] / alone[2])",
    ),
    "believes in every batch": but(RIGHT, ' else "useless" if gain < 2.5', ""),
    "forgets the rows of a request": but(RIGHT, "1.5 * request_rows", "1.5"),
    "holds the gain the wrong way round": but(
        RIGHT,
        "(together[0] / together[2]) / (alone[0] / alone[2])",
        "(alone[0] / alone[2]) / (together[0] / together[2])",
    ),
}
