"""One model in onnxruntime: its session made once, its input and output buffers made once and bound."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from pipeline.errors import ModelRefused
from pipeline.models.manifest import ModelFile
from pipeline.models.rewrite import suited
from pipeline.models.verify import PULL_AGAIN

Floats = NDArray[np.float32]


def session_options(threads: int) -> ort.SessionOptions:
    """One model at a time, in so many threads, none of which spins while it waits."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


class BoundModel:
    """Not thread-safe: the buffers belong to the model. The outputs of a run are overwritten by the next one."""

    def __init__(self, content: bytes, declared: ModelFile, *, threads: int) -> None:
        """Raises ModelRefused when onnxruntime can't load the file or its input is not the declared one."""
        options = session_options(threads)
        for axis, size in declared.free_axes.items():
            options.add_free_dimension_override_by_name(axis, size)
        try:
            self.session = ort.InferenceSession(suited(content), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelRefused(
                ((declared.file, declared.sha256, f"a file that can't be loaded: {error}"),), PULL_AGAIN
            ) from error
        shapes = {model_input.name: tuple(model_input.shape) for model_input in self.session.get_inputs()}
        if shapes.get(declared.input_name) != declared.input_shape:
            raise ModelRefused(
                ((declared.file, declared.sha256, f"a model with inputs {shapes}, declared {declared.input_shape}"),),
                "correct the manifest",
            )
        self.declared = declared
        self.input: Floats = np.zeros(declared.input_shape, np.float32)
        self.outputs: dict[str, Floats] = {}
        self._binding = self.session.io_binding()
        self._binding.bind_cpu_input(declared.input_name, self.input)
        for output in self.session.get_outputs():
            buffer: Floats = np.zeros(output.shape, np.float32)
            self.outputs[output.name] = buffer
            self._binding.bind_output(output.name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)
        self.first_output = next(iter(self.outputs.values()))

    def run(self) -> Floats:
        """Run on what `input` holds; the next run overwrites what is returned."""
        self.session.run_with_iobinding(self._binding)
        return self.first_output

    def fill(self, pixels: NDArray[np.uint8]) -> None:
        """Put RGB pixels (H, W, 3) of the declared size into `input`, in the declared order and scale."""
        plane = self.input[0]
        if self.declared.colour == "BGR":
            pixels = pixels[:, :, ::-1]
        np.copyto(plane, pixels.transpose(2, 0, 1))
        if self.declared.subtract:
            np.subtract(plane, np.float32(self.declared.subtract), out=plane)
        if self.declared.multiply != 1.0:
            np.multiply(plane, np.float32(self.declared.multiply), out=plane)
