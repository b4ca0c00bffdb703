"""Plausible wrong answers to 2.1-choose."""

REFERENCE = """
import math


def recommend(need, engine, share=0.8):
    asked = need["requests_per_s"] * need["output_tokens"]
    engines = max(1, math.ceil(asked / (share * engine["full_tok_s"])))
    if need["prototype"]:
        return "gradio", engines
    if need["models"] > 1:
        return "triton", engines
    if not need["fits"]:
        return "quantise", engines
    if need["tpot_s"] < engine["alone_tpot_s"]:
        return "tensorrt-llm", engines
    if asked <= share * engine["alone_tok_s"]:
        return "api", engines
    return ("vllm" if asked <= share * engine["full_tok_s"] else "fleet"), engines
"""
BANDS = REFERENCE[REFERENCE.index("    if asked <=") :]
WISHES = REFERENCE[REFERENCE.index('    if need["prototype"]') : REFERENCE.index("    if asked <=")]


def mutant(old: str, new: str) -> str:
    assert old in REFERENCE, old
    return REFERENCE.replace(old, new)


MUTANTS = {
    "goes by requests/s, as the outline does": mutant(
        BANDS,
        """    rate = need["requests_per_s"]
    return ("api" if rate < 10 else "vllm" if rate <= 100 else "fleet"), engines
""",
    ),
    "plans with all of the engine": mutant("    asked =", "    share = 1.0\n    asked ="),
    "wants more than enough on a border": mutant("asked <= share", "asked < share"),
    "rounds the engines down": mutant("math.ceil", "math.floor"),
    "rounds the engines to the nearest": mutant("math.ceil", "round"),
    "always buys one more": mutant(
        'math.ceil(asked / (share * engine["full_tok_s"]))', '1 + int(asked / (share * engine["full_tok_s"]))'
    ),
    "counts engines that serve one at a time": mutant(
        '(share * engine["full_tok_s"])))', '(share * engine["alone_tok_s"])))'
    ),
    "asks for the load first": mutant(WISHES, "").replace(
        BANDS,
        BANDS.replace(
            "    return (",
            f'    if asked > share * engine["full_tok_s"]:\n        return "fleet", engines\n{WISHES}    return (',
        ),
    ),
    "asks for memory before models": mutant(
        """    if need["models"] > 1:
        return "triton", engines
    if not need["fits"]:
        return "quantise", engines
""",
        """    if not need["fits"]:
        return "quantise", engines
    if need["models"] > 1:
        return "triton", engines
""",
    ),
    "calls the engine's own pace too slow": mutant('need["tpot_s"] < engine', 'need["tpot_s"] <= engine'),
    "asks for the prototype last": mutant('    if need["prototype"]:\n        return "gradio", engines\n', "").replace(
        BANDS, '    if need["prototype"]:\n        return "gradio", engines\n' + BANDS
    ),
    "lets a single model go to Triton": mutant('need["models"] > 1', 'need["models"] >= 1'),
}
