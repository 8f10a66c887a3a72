"""The engine that starts vLLM's own server for the reasoner and sends it requests with token ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from whylabel.engines.base import Completion, Sampling
from whylabel.engines.loops import VLLM_LOOPS
from whylabel.engines.openai import OpenAIEngine
from whylabel.engines.openai_options import OpenAIOptions
from whylabel.engines.vllm_server import VllmServer, find_command
from whylabel.errors import EngineError
from whylabel.models.arithmetic import pick_device, pick_dtype
from whylabel.models.load import ModelSource
from whylabel.recipe import Section
from whylabel.text.prompts import Prompt

_SERVED_NAME = "reasoner"


class VllmOptions(Section):
    """`augment.engine_options` of the engine `vllm`."""

    command: str = Field("vllm", min_length=1)
    """vLLM's program: a name in PATH, or a path; vLLM may be installed in its own environment."""
    arguments: list[str] = Field(default_factory=list)
    """Additional arguments of `vllm serve`, as in `[--max-model-len, "2048"]`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic; auto: bfloat16 on a GPU that supports it, else float32."""
    concurrency: int = Field(64, ge=1)
    """Requests in flight at once; the server batches them."""
    start_seconds: float = Field(600.0, gt=0)
    """Longest wait until the server has started."""
    timeout_seconds: float = Field(600.0, gt=0)
    """Longest wait for one answer."""

    @field_validator("arguments")
    @classmethod
    def _leave_decoding_alone(cls, arguments: list[str]) -> list[str]:
        for argument in arguments:
            name = argument.partition("=")[0].replace("_", "-")
            if name.startswith(("--generation-c", "--override-g")):
                raise ValueError(
                    f"{name} would change what is written, without a trace: sampling is set in the recipe "
                    "(augment.sampling), for all engines alike"
                )
        return arguments


class VllmEngine:
    """Starts `vllm serve` in the first `generate`, stops it in `close`. This process never loads the weights."""

    name = "vllm"

    def __init__(self, model: ModelSource, options: VllmOptions) -> None:
        if model.is_gguf:
            raise EngineError(
                "The engine vllm serves model folders, and the reasoner is a GGUF file.",
                where="augment.engine",
                fix="use the engine transformers, or convert the file to a model folder",
            )
        self._options = options
        self._command = find_command(options.command)
        self._model = model
        self._server: VllmServer | None = None
        self._client: OpenAIEngine | None = None

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Start the server, then yield completions as they finish.

        Raises `EngineError` if the server does not start, or during iteration if it ends.
        """
        # Not a generator itself, so the caller's progress and timing do not include the start of the server.
        client, server = self._start()
        return self._completions(client, server, prompts, sampling)

    def _completions(
        self, client: OpenAIEngine, server: VllmServer, prompts: Sequence[Prompt], sampling: Sampling
    ) -> Iterator[Completion]:
        try:
            yield from client.generate(prompts, sampling)
        except EngineError:
            server.raise_if_exited()
            raise

    def close(self) -> None:
        """Stop the server and all of its processes."""
        if self._client is not None:
            self._client.close()
        if self._server is not None:
            self._server.close()
        self._client = self._server = None

    def _start(self) -> tuple[OpenAIEngine, VllmServer]:
        if self._client is not None and self._server is not None:
            return self._client, self._server
        options = self._options
        source = self._model.checked_source()
        device = pick_device(self._model.device)
        dtype = str(pick_dtype(options.dtype, device)[0]).removeprefix("torch.")
        command = [
            *(self._command, "serve", source, "--served-model-name", _SERVED_NAME, "--dtype", dtype),
            # Never load pickle files, even if the folder contains them.
            *("--load-format", "safetensors"),
            # Ignore the model's generation_config.json (top_k, penalties), as all engines do; see `Sampling`.
            *("--generation-config", "vllm"),
            *options.arguments,
        ]
        self._server = server = VllmServer(command, device, offline=Path(source).exists())
        server.wait(options.start_seconds)
        settings = OpenAIOptions(
            base_url=server.url,
            model=_SERVED_NAME,
            concurrency=options.concurrency,
            timeout_seconds=options.timeout_seconds,
            max_retries=2,
            send_stop_token_ids=True,
            extra_body={"repetition_detection": VLLM_LOOPS},
        )
        self._client = client = OpenAIEngine(settings, key=server.key)
        return client, server
