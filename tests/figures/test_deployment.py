"""A start's stages follow each other; a health code is told in words."""

import pytest

from servelab.figures import deployment as figures


def test_stages_follow_each_other():
    fig = figures.startup({"imports": 10.0, "weights": 0.5, "warm-up": 2.0})
    assert [bar.base[0] for bar in fig.data] == pytest.approx([0, 10, 10.5])
    assert fig.data[1].text == ("0.5 s",)


def test_stages_are_read_from_the_log_even_at_midnight():
    lines = {
        "23:59:50": "non-default args: {}",
        "00:00:10": "Initializing a V1 LLM engine",
        "00:00:12": "Starting to load model",
        "00:00:13": "Loading weights took 0.75 seconds",
        "00:00:20": "Starting vLLM server on ...",
    }
    log = "\n".join(f"(pid=1) INFO 11-23 {clock} [core.py:1] {text}" for clock, text in lines.items())
    assert list(figures.stages(log, 36.0).values()) == pytest.approx([6, 20, 2, 0.75, 7.25])


def test_health_tells_codes_in_words():
    fig = figures.health([0, 1, 2, 3], [200, 503, 0, 418])
    assert [text.split(":")[0] for text in fig.data[0].y] == ["200", "503", "no answer", "418"]
    assert set(fig.data[0].y) == set(fig.layout.yaxis.categoryarray)
