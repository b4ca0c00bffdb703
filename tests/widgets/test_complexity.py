"""The complexity explorer: where attention overtakes, what the vocabulary does, and when measured points are shown."""

from servelab.widgets.complexity import complexity


def test_a_prompt_twice_as_long_is_little_more_than_twice_the_work():
    said = complexity().say("smollm2-135m", "prefill", 512, 1, 1)
    assert "2.15 times the FLOPs" in said and "6,144 tokens attention" in said


def test_a_context_twice_as_long_is_hardly_more_work_for_a_token():
    explorer = complexity(phase="decode")
    assert "1.21 times" in explorer.say("smollm2-135m", "decode", 1024, 1, 1)
    assert "1.03 times" in explorer.say("smollm2-135m", "decode", 128, 1, 1)


def test_the_vocabulary_moves_no_crossover():
    explorer = complexity()
    assert explorer.say("smollm2-135m", "prefill", 512, 4, 1).endswith(
        explorer.say("smollm2-135m", "prefill", 512, 1, 1).split(". ")[-1]
    )


def test_measured_points_stand_over_their_own_model_and_pass_only():
    explorer = complexity(measured={"prefill": {512: 1e11}})

    def measured(**changes):
        return [t for t in explorer.figures(**changes)[0].data if "(measured)" in t.name]

    assert measured()[0].y == (1e11,)
    for change in ({"phase": "decode"}, {"model": "qwen2.5-7b"}, {"layers": 2}):
        assert measured(**change) == []
