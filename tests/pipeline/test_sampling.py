"""What a model sees of a frame: rectangles, the whole made small, and the same numbers from the rewritten network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline.engine import FaceEngine
from pipeline.errors import ModelRefused
from pipeline.models.manifest import Manifest, Role
from pipeline.models.onnx_file import Graph
from pipeline.models.rewrite import faster, suited
from pipeline.models.sight import rectangle, seeing
from pipeline.picture import Picture
from pipeline.runtime import BoundModel, session_options
from pipeline.sampling import Crop, Overview, Whole

Frame = NDArray[np.uint8]
NOISE = np.random.default_rng(5).integers(0, 256, (480, 640, 3), dtype=np.uint8)


@given(st.integers(0, 500), st.integers(0, 400), st.integers(20, 400), st.integers(20, 400))
@settings(deadline=None, max_examples=30)
def test_a_rectangle_is_resized_as_pillow_would(engine: FaceEngine, x: int, y: int, width: int, height: int) -> None:
    width, height = min(width, 640 - x), min(height, 480 - y)
    model = engine.models["liveness"]
    Crop(model).fill(NOISE, x, y, width, height)
    model.run()
    # A border as cv2.resize has it, which the models were trained on: the rectangle's own last pixels.
    part = np.pad(NOISE[y : y + height, x : x + width], ((1, 1), (1, 1), (0, 0)), mode="edge")
    back = (width / 128, 0, 1, 0, height / 128, 1)
    image = Image.fromarray(part).transform((128, 128), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
    wanted = np.asarray(image)[:, :, ::-1].transpose(2, 0, 1)
    assert np.abs(model.input[0] - wanted).max() <= 1


def test_landmarks_see_gray(engine: FaceEngine, seen: Callable[..., Frame]) -> None:
    frame = np.ascontiguousarray(seen("grace_hopper")[::2, ::2])
    Crop(engine.models["landmarks"]).fill(frame, 100, 50, 64, 64)
    engine.models["landmarks"].run()
    gray = np.asarray(Image.fromarray(frame[50:114, 100:164]).convert("L"), np.float32)
    assert np.abs(engine.models["landmarks"].input[0, 0] * 256 - gray).max() < 1


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (1280, 720), (960, 544), (544, 960)])
def test_the_detector_sees_the_mean_of_what_each_pixel_stands_for(engine: FaceEngine, size: tuple[int, int]) -> None:
    rows = np.linspace(0, 200, size[1])[:, None, None] + np.array([0, 20, 55])
    frame = np.ascontiguousarray(np.broadcast_to(rows, (size[1], size[0], 3)).astype(np.uint8))
    overview = Overview(engine.models["detect"])
    overview.fill(Picture.of(frame), 320, 240)
    planes = engine.models["detect"].input[0] * 128 + 127
    wanted = np.linspace(0, 200, 240)[None, :, None] + np.array([0, 20, 55])[:, None, None]
    assert np.abs(planes - wanted)[:, 2:-2].max() < 1.5
    assert np.abs(overview.gray(Picture.of(frame), 320, 240) - wanted[1])[2:-2].max() < 1.5


def test_what_a_smaller_picture_leaves_free_is_black_again(engine: FaceEngine) -> None:
    overview = Overview(engine.models["detect"])
    overview.fill(Picture.of(np.full((480, 640, 3), 255, np.uint8)), 320, 240)
    overview.fill(Picture.of(np.full((960, 544, 3), 255, np.uint8)), 136, 240)
    planes = engine.models["detect"].input[0]
    assert (planes[:, :, :136] == 1).all()
    assert planes[:, :, 136:] == pytest.approx(-127 / 128)


def test_a_camera_that_writes_into_the_same_memory_is_seen_anew(engine: FaceEngine, seen: Callable[..., Frame]) -> None:
    memory = seen("grace_hopper").copy()
    first = engine.analyse(memory, engine.detect(memory)[0]).embedding
    memory[:] = seen("eileen_collins")
    second = engine.analyse(memory, engine.detect(memory)[0]).embedding
    assert float(first @ second) < 0.3


@pytest.mark.parametrize("role", ["landmarks", "liveness"])
def test_a_model_that_cuts_out_its_picture_sees_what_one_sees_that_is_given_it(
    engine: FaceEngine, models_folder: Path, manifest: Manifest, seen: Callable[..., Frame], role: Role
) -> None:
    declared = manifest.model(role)
    outside = BoundModel((models_folder / declared.file).read_bytes(), declared, threads=1)
    assert engine.models[role].sees
    assert not outside.sees
    for model in (engine.models[role], outside):
        Crop(model).fill(seen("grace_hopper"), 150, 40, 300, 320)
        model.run()
    assert np.array_equal(engine.models[role].input, outside.input)
    assert np.array_equal(engine.models[role].first_output, outside.first_output)


def test_an_embedding_orders_and_scales_its_picture_as_it_would_be_done_for_it(
    engine: FaceEngine, models_folder: Path, manifest: Manifest
) -> None:
    declared = manifest.model("embedding")
    outside = BoundModel((models_folder / declared.file).read_bytes(), declared, threads=1)
    for model in (engine.models["embedding"], outside):
        Whole(model).fill(NOISE[:112, :112])
        model.run()
    assert np.array_equal(outside.input[0], (NOISE[:112, :112, ::-1].transpose(2, 0, 1).astype(np.float32) - 127) / 128)
    assert np.array_equal(engine.models["embedding"].first_output, outside.first_output)


def test_two_crops_of_one_model_do_not_disturb_each_other(engine: FaceEngine) -> None:
    model, pictures = engine.models["liveness"], []
    one, other = Crop(model), Crop(model)
    for crop, x in ((one, 0), (other, 200), (one, 0)):
        crop.fill(NOISE, x, 0, 128, 128)
        model.run()
        pictures.append(model.input.copy())
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize(
    ("operator", "opset", "taken"), [("Relu", 9, True), ("Softplus", 9, False), ("Softplus", 11, True)]
)
def test_only_what_means_the_same_is_lifted_to_newer_operators(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch, operator: str, opset: int, taken: bool
) -> None:
    declared = manifest.model("liveness")
    graph = Graph("small", "input", declared.input_shape)
    output = graph.add(operator, ["input"])
    with monkeypatch.context() as older:
        older.setattr("pipeline.models.onnx_file.OPSET", opset)
        content = graph.file({output: declared.input_shape}, "test")
    model = BoundModel(content, declared, threads=1, sight=rectangle(declared))
    assert model.sees == taken
    Crop(model).fill(NOISE, 0, 0, 128, 128)
    assert model.run()[0, 0] == pytest.approx(NOISE[:128, :128, 2], abs=1)


def test_a_model_of_another_size_is_not_given_a_picture(manifest: Manifest) -> None:
    declared = manifest.model("liveness")
    graph = Graph("small", "input", (1, 3, 64, 64))
    content = graph.file({graph.add("Relu", ["input"]): (1, 3, 64, 64)}, "test")
    with pytest.raises(ModelRefused, match="a model with inputs"):
        BoundModel(content, declared, threads=1, sight=rectangle(declared))


def test_the_faster_network_gives_the_same_numbers(
    engine: FaceEngine, models_folder: Path, manifest: Manifest, seen: Callable[..., Frame]
) -> None:
    published = (models_folder / manifest.model("embedding").file).read_bytes()
    rewritten = faster(published)
    assert rewritten.count(b"PRelu") == 0 < published.count(b"PRelu")
    frame = seen("eileen_collins")
    engine.embed(engine.look(frame, engine.detect(frame)[0]))
    before, after = (run(content, engine.models["embedding"].input) for content in (published, rewritten))
    assert np.abs(before - after).max() < 1e-6 * np.abs(before).max()


def test_channels_of_nothing_change_no_number(
    engine: FaceEngine, models_folder: Path, manifest: Manifest, seen: Callable[..., Frame]
) -> None:
    published = (models_folder / manifest.model("liveness").file).read_bytes()
    rewritten = faster(published)
    assert rewritten.count(b"PRelu") == 0 < published.count(b"PRelu")
    for name in ("eileen_collins", "grace_hopper"):
        frame = seen(name)
        engine.live(frame, engine.detect(frame)[0])
        before, after = (run(content, engine.models["liveness"].input) for content in (published, rewritten))
        assert np.abs(before).max() > 1
        assert np.abs(before - after).max() < 1e-4


def test_where_there_are_no_blocks_the_published_network_runs() -> None:
    content = of_ten_channels(wide, (1, 16, 8, 8))
    assert suited(content, blocks=False) == content
    assert suited(content, blocks=True) == faster(content) != content


def test_channels_that_are_the_answer_are_not_added_to() -> None:
    content = of_ten_channels(lambda graph, x: graph.add("Relu", [x]), (1, 10, 8, 8))
    assert faster(content) == content


def test_channels_that_something_else_would_read_are_not_added_to() -> None:
    content = of_ten_channels(lambda graph, x: graph.add("Flatten", [x], axis=1), (1, 640))
    assert faster(content) == content


def test_channels_of_nothing_end_where_the_next_layer_is_whole() -> None:
    content = of_ten_channels(wide, (1, 16, 8, 8))
    rewritten = faster(content)
    assert rewritten.count(b"PRelu") == 0 < content.count(b"PRelu")
    before, after = (run(each, noise(1, 3, 8, 8)) for each in (content, rewritten))
    assert np.abs(before - after).max() < 1e-5 < np.abs(before).max()


def wide(graph: Graph, x: str) -> str:
    """Ten channels each by itself, weighed, bent; then sixteen of all of them."""
    x = graph.add("Conv", [x, graph.weight("each", noise(10, 1, 3, 3))], group=10, kernel_shape=(3, 3), pads=(1,) * 4)
    x = graph.add("Mul", [x, graph.add("Sigmoid", [graph.add("GlobalAveragePool", [x])])])
    x = graph.add("PRelu", [x, graph.weight("slope", noise(10, 1, 1))])
    return graph.add("Conv", [x, graph.weight("out", noise(16, 10, 1, 1))], kernel_shape=(1, 1))


def of_ten_channels(rest: Callable[[Graph, str], str], shape: tuple[int, ...]) -> bytes:
    """A network whose first layer has ten channels."""
    graph = Graph("small", "input", (1, 3, 8, 8))
    first = graph.add("Conv", ["input", graph.weight("in", noise(10, 3, 1, 1))], kernel_shape=(1, 1))
    return graph.file({rest(graph, first): shape}, "test")


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32)


def run(content: bytes, image: NDArray[np.float32]) -> NDArray[np.float32]:
    answer: NDArray[np.float32] = ort.InferenceSession(content, session_options(1)).run(None, {"input": image})[0]
    return answer


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_are_left_to_onnxruntime_to_refuse(content: bytes) -> None:
    faster(content)


@given(cut=st.integers(0, 4_000_000))
@settings(deadline=None, max_examples=10)
def test_a_file_that_was_cut_off_is_not_mended(models_folder: Path, manifest: Manifest, cut: int) -> None:
    declared = manifest.model("embedding")
    part = (models_folder / declared.file).read_bytes()[:cut]
    assert faster(part) == part
    assert seeing(part, rectangle(declared), declared) == part
