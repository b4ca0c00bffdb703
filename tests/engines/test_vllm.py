"""The launch and its failures, without an engine."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from servelab import cli, course, hardware
from servelab.cli import engines as commands
from servelab.engines import vllm
from servelab.engines.vllm import arguments, check_flags, explain, known_flags, launch, mend_command
from servelab.errors import ServelabError

TIERS = [tier.id for tier in course.load().tiers]


def words(command: list[str], flag: str) -> str | None:
    return command[command.index(flag) + 1] if flag in command else None


@pytest.mark.parametrize("tier_id", TIERS)
@pytest.mark.parametrize("like", ["fast", "defaults"])
def test_every_tier_has_a_launch(tier_id, like):
    tier = course.load().tier(tier_id)
    plan = launch(tier, like=like)
    assert words(plan.command, "serve") and words(plan.command, "--host") == "127.0.0.1"
    assert words(plan.command, "--served-model-name") == tier.model
    assert words(plan.command, "--max-model-len") == str(tier.max_model_len)
    assert words(plan.command, "--dtype") == (tier.dtype if like == "fast" else None)
    if tier.kind == "cuda":
        assert any(plan.model.origin in word for word in plan.command)
        assert words(plan.command, "--gpu-memory-utilization") == str(tier.gpu_memory_utilization)
        parallel = str(tier.tensor_parallel) if tier.tensor_parallel > 1 else None
        assert words(plan.command, "--tensor-parallel-size") == parallel
        assert "LD_PRELOAD" not in plan.env and "--enforce-eager" not in plan.command
        assert plan.model.heads % tier.tensor_parallel == 0
    else:
        assert plan.need_bytes > plan.model.bytes + tier.kv_cache_gib * 2**30
        assert ("OMP_NUM_THREADS" in plan.env) == (like == "fast")


@pytest.mark.parametrize("tier_id", TIERS)
def test_dry_run_prints_the_launch_and_invents_nothing(tier_id, monkeypatch):
    monkeypatch.setattr(commands, "measured", lambda tier: None)
    cli._register()
    result = CliRunner().invoke(cli.app, ["serve", "vllm", "--tier", tier_id, "--dry-run", "--max-num-seqs", "5"])
    assert result.exit_code == 0, result.output
    tier = course.load().tier(tier_id)
    assert f"tier: {tier_id}" in result.output and tier.model in result.output
    assert f"{tier.max_model_len} tokens" in result.output and tier.dtype in result.output
    assert "not measured yet" in result.output and "--max-num-seqs 5" in result.output
    assert "vllm serve " in result.output


def test_a_figure_is_shown_only_on_the_tier_it_was_measured_on(monkeypatch):
    record = {
        "tier": "cpu",
        "stamp": {"hardware": {"cpu": "A CPU"}, "date": "2026-01-02T03:04:05"},
        "figures": [{"name": "fast-32", "value": 200.4, "unit": "tok/s"}],
    }
    monkeypatch.setattr("servelab.records.load", lambda name: record)
    assert commands.measured("cpu") == "200 tok/s at concurrency 32 (A CPU, 2026-01-02)"
    assert commands.measured("rtx4090") is None


def test_flags_win_over_the_preset():
    plan = launch(course.load().tier("cpu"), flags={"max_num_seqs": 4, "dtype": "bfloat16", "enforce_eager": False})
    assert words(plan.command, "--max-num-seqs") == "4" and plan.dtype == "bfloat16"
    assert "--no-enforce-eager" in plan.command and "--enforce-eager" not in plan.command


def test_a_cache_in_bytes_wins_over_the_tier_s():
    """On a CPU vLLM lets VLLM_CPU_KVCACHE_SPACE win over the flag, so it must not be there."""
    tier = course.load().tier("cpu")
    usual, plan = launch(tier), launch(tier, flags={"kv_cache_memory_bytes": 300_000_000})
    assert usual.env["VLLM_CPU_KVCACHE_SPACE"] == str(tier.kv_cache_gib)
    assert "VLLM_CPU_KVCACHE_SPACE" not in plan.env
    assert words(plan.command, "--kv-cache-memory-bytes") == "300000000"
    assert usual.need_bytes - plan.need_bytes == tier.kv_cache_gib * 2**30 - 300_000_000


def test_flags_as_words():
    flags = {"max_num_seqs": 8, "a_b": True, "c": False, "d": None, "e": {"x": 1}, "f": ["p", 2]}
    assert arguments(flags) == ["--max-num-seqs", "8", "--a-b", "--no-c", "--e", '{"x": 1}', "--f", "p", "2"]


def test_words_as_flags():
    line = ["--max-num-seqs", "8", "--enforce-eager", "--no-enable-prefix-caching", "--x=1.5", "--y", "a", "b"]
    assert commands.engine_flags(line) == {
        "max_num_seqs": 8, "enforce_eager": True, "enable_prefix_caching": False, "x": 1.5, "y": ["a", "b"],
    }  # fmt: skip
    assert commands.engine_flags(["--e", '{"x": 1}', "--seed", "0"]) == {"e": {"x": 1}, "seed": 0}
    with pytest.raises(ServelabError, match="8 is not an option"):
        commands.engine_flags(["8"])


def test_wrong_flags_are_told_before_the_engine_starts():
    check_flags({"max_num_seqs": 8, "no_enable_prefix_caching": True, "compilation_config.mode": 0})
    with pytest.raises(ServelabError, match="no flag max_num_seq; did you mean max_num_seqs"):
        vllm(max_num_seq=8, progress=False)
    with pytest.raises(ServelabError, match="no flag zzzzqqq"):
        check_flags({"zzzzqqq": 1})


def test_known_flags_hold_the_ones_the_course_uses():
    limits = {"max_num_seqs", "block_size", "max_num_batched_tokens", "num_gpu_blocks_override"}
    features = {"enable_prefix_caching", "speculative_config", "enable_lora", "scheduling_policy", "enforce_eager"}
    assert limits | features | {"api_key", "port", "uds"} <= known_flags()


def test_wrong_preset_model_and_processor(monkeypatch, tmp_path):
    with pytest.raises(ServelabError, match="no preset quick"):
        vllm(like="quick", model=None, progress=False)
    with pytest.raises(ServelabError, match="no model gpt-9"):
        vllm(model="gpt-9", progress=False)
    with pytest.raises(ServelabError, match="does not exist"):
        vllm(model=tmp_path / "nowhere", progress=False)
    bare = hardware.Hardware(2, 2**33, frozenset({"sse2"}), (), "Linux", "x86_64")
    monkeypatch.setattr(hardware, "probe", lambda: bare)
    with pytest.raises(ServelabError, match="no AVX2"):
        vllm(progress=False)


@pytest.mark.parametrize(
    "log, reason",
    [
        ("usage: vllm\nvllm serve: error: unrecognized arguments: --foo 3\n", "does not know the arguments --foo 3"),
        ("vllm serve: error: argument --dtype: invalid choice: 'x'", "value of --dtype is wrong (invalid choice: 'x')"),
        ("(EngineCore pid=7) ERROR 11-23 02:00:00 [core.py:1] RuntimeError: boom here. And more", "boom here"),
        ("RuntimeError: Engine core initialization failed. See root cause above.", None),
        ("[Errno 98] Address already in use", "port was taken"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried", "not enough memory"),
        (
            "(APIServer pid=1)   Value error, User-specified max_model_len (99999) is greater than the derived "
            "max_model_len (max_position_embeddings=8192.0 or model_max_length=None in model's config.json). To allow",
            "max_model_len=99999 is more than the 8192 tokens the model was made for",
        ),
        (
            "ValueError: To serve at least one request with the model's max seq len (1024), (0.04 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (0.01 GiB). Based on the available memory",
            "one request of 1024 tokens needs 0.04 GiB of KV cache and 0.01 GiB are there: lower max_model_len",
        ),
        (
            "ValueError: Available memory on node 0 (1.5/8.0 GiB) on kv cache allocation is less than requested "
            "memory for kv (4.0 GiB). Decrease --kv-cache-memory-bytes",
            "no memory for a KV cache of 4.0 GiB",
        ),
        ("  Value error, Unknown quantization method: x. Must be one of [type=value_error, input", "Unknown quantiz"),
        ("safetensors_rust.SafetensorError: Error while deserializing header: too large", "weight file is damaged"),
        ("all is well", None),
    ],
)
def test_the_engine_s_own_reason(log, reason):
    said = explain(log)
    assert said is None if reason is None else reason in said


def test_the_vllm_command_is_mended():
    try:
        build = importlib.metadata.version("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the GPU build needs no mending")
    mend_command()
    assert mend_command() is False
    code = "import importlib.metadata as m; print(m.version('vllm'))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert said.startswith(build) and "cpu" in said


def test_commands_without_servers(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    cli._register()
    runner = CliRunner()
    assert "No server runs" in runner.invoke(cli.app, ["ps"]).output
    assert "No server runs" in runner.invoke(cli.app, ["stop", "--all"]).output
    for line in (["stop"], ["stop", "x", "--all"], ["stop", "x"], ["logs", "x"], ["serve", "sglang"],
                 ["serve", "vllm", "--tier", "cpu"], ["serve", "vllm", "--tier", "x", "--dry-run"]):  # fmt: skip
        assert isinstance(runner.invoke(cli.app, line).exception, ServelabError), line


def test_doctor_names_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    cli._register()
    result = CliRunner().invoke(cli.app, ["doctor", "--quick"], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    for word in ("tier", "cores", "memory", "disk", "nginx", "redis-server", "bubblewrap", "NVIDIA GPU"):
        assert word in result.output
