"""Triton's own protocols as endpoints of a load: streamed generation over HTTP and gRPC, and one inference a request.

The records are those of any engine. Where a model tells `num_output_tokens` with each answer, as NVIDIA's vLLM backend
does when asked, tokens are exact; else every answer with text counts as one token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.metrics import Record
from servelab.load.protocols import Capture, begun, events
from servelab.load.workload import Request

COUNTS = ("num_input_tokens", "num_output_tokens", "finish_reason")


@dataclass(frozen=True)
class Generate:
    """/v2/models/MODEL/generate_stream: one event an answer.

    Args:
        model: the model, `version` its version.
        sampling: sampling parameters of every request, next to `max_tokens`.
        counts: ask for token counts and the reason of the end, which a model must know (`return_num_output_tokens`).
        decode_ids: from token ids to text, for requests whose prompts are ids (`synthetic`).
    """

    model: str
    version: str = ""
    sampling: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0})
    counts: bool = False
    decode_ids: Callable[[list[int]], str] | None = None

    def path(self, request: Request) -> str:
        """Where to POST."""
        version = f"/versions/{self.version}" if self.version else ""
        return f"/v2/models/{self.model}{version}/generate_stream"

    def text(self, request: Request) -> str:
        """The prompt as text: Triton's text models take no token ids.

        Raises:
            ServelabError: it is ids and there is no `decode_ids`, or it is chat messages.
        """
        if isinstance(request.prompt, str):
            return request.prompt
        if request.chat or self.decode_ids is None:
            raise ServelabError(_("Triton's text models take text: use `texts`, or give `decode_ids`."))
        return self.decode_ids(request.prompt)

    def wanted(self, request: Request) -> dict[str, Any]:
        """The sampling parameters of one request."""
        exact = {"ignore_eos": True} if request.ignore_eos else {}
        extra = {key: value for key, value in request.extra.items() if key != "session"}
        return {"max_tokens": request.output_tokens, **exact, **self.sampling, **extra}

    def encode(self, request: Request, model: str) -> bytes:
        """The JSON body."""
        body: dict[str, Any] = {"text_input": self.text(request), "stream": True, "exclude_input_in_output": True}
        body["sampling_parameters"] = json.dumps(self.wanted(request))
        body |= {f"return_{name}": True for name in COUNTS} if self.counts else {}
        return json.dumps(body).encode()

    def answers(self, capture: Capture) -> Iterator[tuple[float, dict[str, Any]]]:
        """(time, answer) of every answer: its outputs by name, or `error`."""
        for now, data in events(capture.reads):
            try:
                yield now, json.loads(data)
            except ValueError:
                yield now, {"error": _("unreadable event: {data}").format(data=data[:100])}

    def decode(self, capture: Capture) -> Record:
        """Tokens, their times and the answer's text."""
        request, record = capture.request, begun(capture)
        if not record.ok:
            return record
        record.token_check = "unknown"
        parts: list[str] = []
        for now, answer in self.answers(capture):
            if "error" in answer:
                record.status, record.error = "cut" if record.token_times_s else "refused", str(answer["error"])
                break
            text = _one(answer.get("text_output", ""))
            told = answer.get("num_output_tokens")
            count = int(_one(told)) if told is not None else int(bool(text))
            record.token_check = "ok" if told is not None else record.token_check
            record.token_times_s += [now] * count
            record.prompt_tokens = int(_one(answer.get("num_input_tokens", record.prompt_tokens)))
            reason = str(_one(answer.get("finish_reason", "")))
            record.finish_reason = reason if reason not in ("", "None") else record.finish_reason
            parts.append(str(text))
        record.text, record.output_tokens = "".join(parts), len(record.token_times_s)
        if record.token_times_s:
            record.first_token_s = record.token_times_s[0]
        if request.ignore_eos and record.token_check == "ok" and record.output_tokens != request.output_tokens:
            record.token_check = "mismatch"
        if capture.failure:
            record.status, record.error = capture.failure, capture.error
        elif record.ok and not record.token_times_s:
            record.status, record.error = "cut", _("the stream ended before the answer was complete")
        return record


def _one(value: Any) -> Any:
    while isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    return value


@dataclass(frozen=True)
class Stream(Generate):
    """The same model over gRPC (ModelStreamInfer): one stream a request, one message an answer.

    `address` is the server's `grpc_url`. What is kept while the load runs is bytes, as over HTTP.
    """

    address: str = ""
    grpc: str = "/inference.GRPCInferenceService/ModelStreamInfer"

    def encode(self, request: Request, model: str) -> bytes:
        """A serialized ModelInferRequest."""
        import numpy as np
        from tritonclient.grpc import InferInput, service_pb2

        texts = {"text_input": self.text(request), "sampling_parameters": json.dumps(self.wanted(request))}
        flags = ["stream", "exclude_input_in_output", *(f"return_{name}" for name in COUNTS if self.counts)]
        values = {name: np.array([text.encode()], object) for name, text in texts.items()}
        values |= {name: np.array([True]) for name in flags}
        message = service_pb2.ModelInferRequest(model_name=self.model, model_version=self.version, id=str(request.id))
        for name, value in values.items():
            one = InferInput(name, value.shape, "BOOL" if value.dtype == bool else "BYTES")
            one.set_data_from_numpy(value)
            message.inputs.append(one._get_tensor())
            message.raw_input_contents.append(one._get_content())
        return message.SerializeToString()

    def answers(self, capture: Capture) -> Iterator[tuple[float, dict[str, Any]]]:
        """(time, answer) of every message."""
        from tritonclient.grpc import InferResult, service_pb2

        for now, raw in capture.reads:
            message = service_pb2.ModelStreamInferResponse.FromString(raw)
            if message.error_message:
                yield now, {"error": message.error_message}
                continue
            result = InferResult(message.infer_response)
            found = {out.name: result.as_numpy(out.name).ravel().tolist() for out in message.infer_response.outputs}
            yield (
                now,
                {
                    name: [v.decode(errors="replace") if isinstance(v, bytes) else v for v in value]
                    for name, value in found.items()
                },
            )


@dataclass(frozen=True)
class Infer:
    """/v2/models/MODEL/infer: one request, one answer, which counts as one token, so TTFT is E2E.

    `inputs(request)` gives {name: array}; without it the prompt's text goes into `text_input`.
    """

    model: str
    inputs: Callable[[Request], Mapping[str, Any]] | None = None
    version: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def path(self, request: Request) -> str:
        """Where to POST."""
        return Generate(self.model, self.version).path(request).replace("generate_stream", "infer")

    def encode(self, request: Request, model: str) -> bytes:
        """The JSON body."""
        from servelab.engines.triton import tensor

        given = self.inputs(request) if self.inputs else {"text_input": [Generate(self.model).text(request)]}
        body: dict[str, Any] = {"inputs": [tensor(name, value) for name, value in given.items()]}
        return json.dumps(body | ({"parameters": dict(self.parameters)} if self.parameters else {})).encode()

    def decode(self, capture: Capture) -> Record:
        """One token when the answer is complete; its outputs as JSON in `text`."""
        record, end = begun(capture), capture.finished_s
        record.asked_tokens, record.token_check = 1, "unknown"
        if capture.failure:
            record.status, record.error = capture.failure, capture.error
        elif record.ok:
            answer = json.loads(b"".join(raw for _time, raw in capture.reads))
            record.text = json.dumps({out["name"]: out.get("data") for out in answer["outputs"]})
            record.first_token_s, record.token_times_s, record.output_tokens = end, [end], 1
        return record
