"""vLLM's asynchronous engine on a thread of its own; each request is a task there that sends what comes.

Beside 1/model.json, 1/multi_lora.json may name adapters, {name: folder}: a request chooses one by the sampling
parameter `lora_name`. With the parameter REPORT_CUSTOM_METRICS "yes" Triton tells vLLM's own metrics next to its own.
"""

import asyncio
import json
import multiprocessing
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb

FINAL = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        parameters = json.loads(args["model_config"])["parameters"]
        told = {name: value["string_value"] for name, value in parameters.items()}
        python = told["python"] if os.path.exists(told["python"]) else shutil.which("python3")  # in a container
        multiprocessing.set_executable(python)  # the engine's process is no copy of this, no interpreter
        os.environ.pop("PYTHONHOME", None)
        options = json.loads((folder / "model.json").read_text())
        os.environ.update({name: str(value) for name, value in options.pop("environment", {}).items()})
        adapters = folder / "multi_lora.json"
        self.adapters = json.loads(adapters.read_text()) if adapters.exists() else {}
        self.mirror = Mirror(args["model_name"]) if told.get("REPORT_CUSTOM_METRICS") == "yes" else None
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.number = 0
        self.engine = self.wait(self.started(options))

    async def started(self, options):
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        return AsyncLLM.from_engine_args(AsyncEngineArgs(**options))

    def wait(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def execute(self, requests):
        for request in requests:
            self.number += 1
            asyncio.run_coroutine_threadsafe(self.answer(request, str(self.number)), self.loop)

    async def answer(self, request, number):
        sender = request.get_response_sender()
        try:
            await self.generate(request, sender, number)
        except Exception as error:
            failed = pb.TritonError(f"Error generating stream: {error}")
            sender.send(pb.InferenceResponse(error=failed), flags=FINAL)

    async def generate(self, request, sender, number):
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        prompt, stream = read(request, "text_input", ""), read(request, "stream", False)
        told = json.loads(read(request, "sampling_parameters", request.parameters() or "{}"))
        adapter = self.adapter(told.pop("lora_name", None))
        wanted = SamplingParams(**told)
        wanted.output_kind = RequestOutputKind.DELTA if stream else RequestOutputKind.FINAL_ONLY
        before = "" if stream or read(request, "exclude_input_in_output", False) else prompt
        async for output in self.engine.generate(prompt, wanted, number, lora_request=adapter):
            if sender.is_cancelled():
                await self.engine.abort(number)
                break
            if output.finished and self.mirror:
                self.mirror.update()
            sender.send(pb.InferenceResponse(tensors(request, output, before)))
        sender.send(flags=FINAL)

    def adapter(self, name):
        from vllm.lora.request import LoRARequest

        if name is None:
            return None
        if name not in self.adapters:
            raise ValueError(f"LoRA {name} is not supported, we currently support {list(self.adapters)}")
        return LoRARequest(name, 1 + list(self.adapters).index(name), self.adapters[name])

    def finalize(self):
        self.engine.shutdown()
        self.loop.call_soon_threadsafe(self.loop.stop)


class Mirror:
    """vLLM counts in its own process, which is this one; what stands there is copied to where Triton tells metrics."""

    def __init__(self, model):
        self.model, self.metrics, self.families = model, {}, {}

    def update(self):
        from prometheus_client import REGISTRY

        for family in REGISTRY.collect():
            if family.name.startswith("vllm:") and family.type in ("counter", "gauge", "histogram"):
                for sample in family.samples:
                    if not sample.name.endswith(("_created", "_bucket", "_info")):
                        self.metric(family, sample).set(sample.value)

    def metric(self, family, sample):
        labels = {**sample.labels, "model": self.model}
        key = (sample.name, *sorted(labels.items()))
        if sample.name not in self.families:
            self.families[sample.name] = pb.MetricFamily(
                name=sample.name, description=family.documentation, kind=pb.MetricFamily.GAUGE
            )
        if key not in self.metrics:
            self.metrics[key] = self.families[sample.name].Metric(labels=labels)
        return self.metrics[key]


def read(request, name, default):
    tensor = pb.get_input_tensor_by_name(request, name)
    if tensor is None:
        return default
    value = tensor.as_numpy().ravel()[0]
    return value.decode() if isinstance(value, bytes) else bool(value)


def tensors(request, output, before):
    """The outputs that the request asks for; the first four are lists over its sequences."""
    said = output.outputs
    made = {"text_output": np.array([(before + one.text).encode() for one in said], object)}
    if read(request, "return_finish_reason", False):
        made["finish_reason"] = np.array([str(one.finish_reason).encode() for one in said], object)
    if read(request, "return_cumulative_logprob", False):
        made["cumulative_logprob"] = np.array([one.cumulative_logprob or 0 for one in said], np.float32)
    if read(request, "return_num_output_tokens", False):
        made["num_output_tokens"] = np.array([len(one.token_ids) for one in said], np.uint32)
    if read(request, "return_num_input_tokens", False):
        made["num_input_tokens"] = np.array([len(output.prompt_token_ids)], np.uint32)
    return [pb.Tensor(name, value) for name, value in made.items()]
