"""One model in onnxruntime: its session made once, its buffers made once and bound.

A model with a `sight` makes its picture itself, of what `see` gives it; any other takes it from `input`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelRefused
from pipeline.models.manifest import ModelFile
from pipeline.models.onnx_file import Graph
from pipeline.models.rewrite import suited
from pipeline.models.sight import seeing
from pipeline.models.verify import PULL_AGAIN

if TYPE_CHECKING:
    import onnxruntime as ort  # slow to import: at run time only when there is a model to load

Floats = NDArray[np.float32]


def session_options(threads: int) -> ort.SessionOptions:
    """One model at a time, in so many threads, none of which spins while it waits."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def new_session(content: bytes, declared: ModelFile, threads: int) -> ort.InferenceSession:
    """A session of this model's bytes. Whatever onnxruntime raises about them goes through."""
    options = session_options(threads)
    for axis, size in declared.free_axes.items():
        options.add_free_dimension_override_by_name(axis, size)
    return session_of(content, options)


def session_of(content: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    """A session of any model's bytes, on the processor alone."""
    import onnxruntime as ort

    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class BoundModel:
    """Not thread-safe: the buffers belong to the model. The outputs of a run are overwritten by the next one.

    `input`: what the network sees, or saw last; `inputs`: what the session was given, by name; `outputs`: the network's
    own. `sees`: the picture is made inside, of the bytes that `see` was given.
    """

    def __init__(self, content: bytes, declared: ModelFile, *, threads: int, sight: Graph | None = None) -> None:
        """Raises ModelRefused when onnxruntime can't load the file or its input is not the declared one."""
        content = suited(content)
        joined = content if sight is None else seeing(content, sight, declared)
        try:
            self.session = new_session(joined, declared, threads)
        except Exception as error:
            raise ModelRefused(
                ((declared.file, declared.sha256, f"a file that can't be loaded: {error}"),), PULL_AGAIN
            ) from error
        self.declared = declared
        self.sees = joined is not content
        shapes = {model_input.name: tuple(model_input.shape) for model_input in self.session.get_inputs()}
        if not self.sees and shapes.get(declared.input_name) != declared.input_shape:
            raise ModelRefused(
                ((declared.file, declared.sha256, f"a model with inputs {shapes}, declared {declared.input_shape}"),),
                "correct the manifest",
            )
        self.input: Floats = np.zeros(declared.input_shape, np.float32)
        self.inputs: dict[str, NDArray[Any]] = {}
        self.outputs: dict[str, Floats] = {}
        self._binding = self.session.io_binding()
        for output in self.session.get_outputs():
            buffer: Floats = self.input
            if output.name != declared.input_name:
                buffer = self.outputs[output.name] = np.zeros(output.shape, np.float32)
            self._binding.bind_output(output.name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)
        if not self.sees:
            self.see(declared.input_name, self.input)
        self.first_output = next(iter(self.outputs.values()))

    def see(self, name: str, values: NDArray[Any]) -> None:
        """Bind one of the session's inputs to this memory, which is read at each run from now on."""
        if self.inputs.get(name) is not values:
            self.inputs[name] = values  # kept alive as long as it is bound
            self._binding.bind_cpu_input(name, values)

    def run(self) -> Floats:
        """Run on what the inputs hold; the next run overwrites what is returned."""
        self.session.run_with_iobinding(self._binding)
        return self.first_output

    def run_bare(self) -> Sequence[Any]:
        """The same by a plain `session.run`, for measurements: nothing of ours around it."""
        outputs: Sequence[Any] = self.session.run(list(self.outputs), self.inputs)
        return outputs
