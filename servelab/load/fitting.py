"""Make the course's own trace: fit a public one's statistics, draw requests from them by a seed.

`python -m servelab.load.fitting FILE` writes assets/traces/course.json (statistics, source, licence) and course.jsonl
(the trace). The same FILE gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats

from servelab.load.traces import COURSE, Entry, read

KNOTS = np.linspace(0, 1, 21)


def fit(entries: list[Entry]) -> dict[str, Any]:
    """The statistics of a trace that `generate` needs, and a lognormal's parameters to read.

    Real lengths have several modes, which no lognormal has; they are kept as 21 quantiles, between which the logarithm
    of the length is linear. The two lengths are tied by a Gaussian copula (correlation of their normal scores,
    Nelsen 2006, sec. 2.3). Gaps between arrivals are gamma, by the method of moments.
    """
    prompt = np.array([e.prompt_tokens for e in entries], dtype=float)
    output = np.array([e.output_tokens for e in entries], dtype=float)
    gaps = np.diff([e.arrival_s for e in entries])
    scores = [special.ndtri(stats.rankdata(x) / (len(x) + 1)) for x in (prompt, output)]

    def length(x: np.ndarray) -> dict[str, Any]:
        log = np.log(x)
        return {
            "mean": round(float(x.mean()), 2),
            "lognormal": {"mu": round(float(log.mean()), 4), "sigma": round(float(log.std()), 4)},
            "quantiles": [round(float(v), 2) for v in np.quantile(x, KNOTS)],
        }

    return {
        "requests": len(entries),
        "prompt_tokens": length(prompt),
        "output_tokens": length(output),
        "copula_correlation": round(float(np.corrcoef(*scores)[0, 1]), 4),
        "gap_s": {"mean": round(float(gaps.mean()), 6), "cv": round(float(gaps.std() / gaps.mean()), 4)},
    }


def generate(
    fitted: dict[str, Any], n: int, seed: int, rate: float, prompt_scale: float, output_scale: float
) -> list[Entry]:
    """`n` entries drawn from fitted statistics at a mean `rate` (requests/s), lengths multiplied by the scales.

    Only uniform numbers are drawn and then transformed, so the outcome does not hang on a library's samplers.
    """
    u = np.random.default_rng(seed).random((3, n))
    rho = fitted["copula_correlation"]
    first = special.ndtri(u[0])
    second = rho * first + np.sqrt(1 - rho**2) * special.ndtri(u[1])

    def length(name: str, score: np.ndarray, scale: float) -> np.ndarray:
        logs = np.interp(special.ndtr(score), KNOTS, np.log(fitted[name]["quantiles"]))
        return np.maximum(1, np.rint(np.exp(logs) * scale)).astype(int)

    shape = 1 / fitted["gap_s"]["cv"] ** 2
    times = np.cumsum(special.gammaincinv(shape, u[2]) / (shape * rate))
    columns = (
        times - times[0],
        length("prompt_tokens", first, prompt_scale),
        length("output_tokens", second, output_scale),
    )
    return [Entry(round(float(t), 3), int(p), int(o)) for t, p, o in zip(*columns, strict=True)]


def to_jsonl(entries: list[Entry]) -> str:
    """Mooncake's form, one line an entry."""
    return "".join(
        json.dumps(
            {
                "timestamp": round(e.arrival_s * 1000),
                "input_length": e.prompt_tokens,
                "output_length": e.output_tokens,
            }
        )
        + "\n"
        for e in entries
    )


ABOUT = {
    "what": "The course's own trace: requests drawn by a seed from statistics fitted to the source.",
    "source": {
        "name": "Azure LLM inference trace 2023, conversation (AzureLLMInferenceTrace_conv.csv)",
        "publisher": "Microsoft, AzurePublicDataset",
        "licence": "CC-BY 4.0",
        "paper": "Patel et al., Splitwise: Efficient Generative LLM Inference Using Phase Splitting, ISCA 2024",
        "changes": "Only fitted statistics are kept; times and lengths are scaled to an engine of about 200 tokens/s.",
    },
    "drawn": {"n": 240, "seed": 2023, "rate": 1.0, "prompt_scale": 1 / 16, "output_scale": 1 / 8},
}


def make_course(source: Path, folder: Path = COURSE.parent) -> Path:
    """Fit `source`, write course.json (statistics, source, licence) and course.jsonl (the trace) into `folder`."""
    fitted = fit(read(source))
    text = to_jsonl(generate(fitted, **ABOUT["drawn"]))
    folder.mkdir(parents=True, exist_ok=True)
    about = {**ABOUT, "sha256": hashlib.sha256(text.encode()).hexdigest(), "fitted": fitted}
    (folder / "course.json").write_text(json.dumps(about, indent=1) + "\n")
    (folder / "course.jsonl").write_text(text)
    return folder / "course.jsonl"


def main(arguments: list[str] | None = None) -> None:
    """Make the course's trace from a public one."""
    parser = argparse.ArgumentParser(prog="python -m servelab.load.fitting", description=main.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--folder", type=Path, default=COURSE.parent)
    given = parser.parse_args(arguments)
    print(make_course(given.file, given.folder))


if __name__ == "__main__":
    main()
