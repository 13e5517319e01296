"""`kingfisher eval` as a user meets it: their folder, their lists, JSON, a page, and faults by name."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from daemon.cli.main import main
from pipeline.errors import EvaluationRefused, ThresholdsRefused
from pipeline.eval.calibrate import calibrate
from pipeline.eval.datasets import read_pairs
from pipeline.eval.features import Faces
from pipeline.eval.identify import identify, split
from pipeline.eval.toml import thresholds_toml
from pipeline.eval.verify import verify
from pipeline.models.manifest import Manifest
from pipeline.thresholds import Thresholds, load_thresholds

Frame = NDArray[np.uint8]
Run = Callable[..., tuple[int, Any]]
plots = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs the extra: kingfisher[eval]")


@pytest.fixture
def pictures(tmp_path: Path, seen: Callable[..., Frame], nobody: Frame) -> Path:
    """Two people, three pictures each, and one in which nobody is."""
    folder = tmp_path / "pictures"
    for name in ("grace_hopper", "eileen_collins"):
        (folder / name).mkdir(parents=True)
        for number in range(1, 4):
            Image.fromarray(seen(name, shift=4 * number)).save(folder / name / f"{name}_{number:04d}.jpg", quality=90)
    Image.fromarray(nobody).save(folder / "grace_hopper" / "grace_hopper_0009.jpg")
    return folder


@pytest.fixture
def run(pictures: Path, models_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """run("verify", ...) on these pictures: exit status, and what --json printed."""

    def call(action: str, *options: str) -> tuple[int, Any]:
        common = ["--images", str(pictures), "--models-folder", str(models_folder), "--cache", str(tmp_path / "cache")]
        status = main(["eval", action, *common, "--json", *options])
        out, err = capsys.readouterr()
        return status, json.loads(out) if status == 0 else err

    return call


@pytest.fixture
def crowd() -> Faces:
    """400 people with three pictures each, as vectors: what a calibration needs, without the pictures."""
    random = np.random.default_rng(5)
    rows = np.repeat(random.standard_normal((400, 512)), 3, axis=0) + 0.6 * random.standard_normal((1200, 512))
    names = tuple(f"p{n // 3:03d}/{n}.jpg" for n in range(1200))
    return Faces(names, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def write_pairs(path: Path) -> Path:
    g, c = "grace_hopper/grace_hopper_000{}.jpg", "eileen_collins/eileen_collins_000{}.jpg"
    rows = [(g.format(1), g.format(2), 1), (c.format(1), c.format(3), 1), (g.format(1), c.format(1), 0),
            (g.format(2), c.format(2), 0)]  # fmt: skip
    path.write_text("a,b,same\n" + "".join(f"{a},{b},{same}\n" for a, b, same in rows), encoding="utf-8")
    return path


def test_verify_prints_every_figure_with_its_interval(run: Run, tmp_path: Path) -> None:
    groups = tmp_path / "groups.csv"
    groups.write_text("identity,group\ngrace_hopper,navy\n", encoding="utf-8")
    status, result = run(
        "verify", "--pairs", str(write_pairs(tmp_path / "pairs.csv")), "--groups", str(groups), "--rounds", "20"
    )
    assert status == 0
    assert result["accuracy"] == 1.0
    assert result["ci95"]["accuracy"] == [0.0, 1.0], "two people prove nothing"
    assert set(result["tar_at_far"]) == set(result["threshold_at_far"]) == {"1e-3", "1e-4", "1e-5", "1e-6"}
    assert result["tar_at_far"]["1e-6"] is None, "nine impostor pairs say nothing about one in a million"
    assert result["fta"] == pytest.approx(1 / 7)
    assert result["failed"] == ["grace_hopper/grace_hopper_0009.jpg"]
    assert set(result["groups"]) == {"navy", "rest"}
    assert {"fmr", "fnmr", "pairs", "ci95"} <= set(result["groups"]["navy"])
    for figure in ("accuracy", "eer", "tar_at_far", "threshold_at_far", "fta", "worst_group_fmr_ratio"):
        assert figure in result
        assert figure in result["ci95"]


def test_a_second_run_looks_at_no_picture_again(run: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("verify", "--rounds", "5")
    monkeypatch.setattr("pipeline.engine.FaceEngine.embed", lambda *a: pytest.fail("it looked again"))
    assert run("verify", "--rounds", "5") == first
    monkeypatch.undo()
    (pictures / "grace_hopper" / "grace_hopper_0009.jpg").unlink()
    assert run("verify", "--rounds", "5")[1]["fta"] == 0


def test_lfws_own_pairs_are_read(pictures: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("1\t1\ngrace_hopper\t1\t2\ngrace_hopper\t3\teileen_collins\t1\n", encoding="utf-8")
    same, other = read_pairs(pairs, pictures)
    assert (same.a, same.b, same.same) == (
        "grace_hopper/grace_hopper_0001.jpg", "grace_hopper/grace_hopper_0002.jpg", True,
    )  # fmt: skip
    assert (other.b, other.same) == ("eileen_collins/eileen_collins_0001.jpg", False)


def test_identify_tells_the_enrolled_from_strangers(run: Run, tmp_path: Path) -> None:
    gallery, probes = tmp_path / "gallery.csv", tmp_path / "probes.csv"
    gallery.write_text("image,identity\ngrace_hopper/grace_hopper_0001.jpg,grace\n", encoding="utf-8")
    probes.write_text(
        "image,identity\ngrace_hopper/grace_hopper_0002.jpg,grace\neileen_collins/eileen_collins_0001.jpg,eileen\n",
        encoding="utf-8",
    )
    status, result = run("identify", "--gallery", str(gallery), "--probes", str(probes))
    assert status == 0
    assert (result["mated"], result["strangers"]) == (1, 1)
    assert (result["fpir"], result["fnir"], result["rank1"]) == (0.0, 0.0, 1.0)
    assert result["ci95"]["fpir"][1] > 0.7, "one stranger proves nothing"


def test_pad_tells_faces_from_phones(
    run: Run, pictures: Path, tmp_path: Path, on_a_phone: Callable[..., Frame]
) -> None:
    rows = [f"grace_hopper/grace_hopper_000{n}.jpg,live,portrait" for n in (1, 2, 3)]
    for number in range(3):
        Image.fromarray(on_a_phone("grace_hopper", shift=number)).save(pictures / f"phone{number}.png")
        rows.append(f"phone{number}.png,attack,drawn phone")
    labels = tmp_path / "labels.csv"
    labels.write_text("image,label,source\n" + "\n".join(rows), encoding="utf-8")
    status, result = run("pad", "--labels", str(labels))
    assert status == 0
    assert result["apcer"] == {"drawn phone": 0.0}
    assert result["bpcer"] == 0.0
    assert result["apcer_per_decision"] == {"drawn phone": 0.0}
    assert result["auc"] == 1.0
    assert result["ci95"]["apcer"]["drawn phone"][1] > 0.5, "three frames of one video are one attack"
    assert "threshold" in result


@plots
@pytest.mark.parametrize("action", ["verify", "pad"])
def test_the_report_is_one_page_with_curves_and_the_worst_cases(run: Run, tmp_path: Path, action: str) -> None:
    page = tmp_path / "page.html"
    labels = tmp_path / "labels.csv"
    labels.write_text("image,label,source\neileen_collins/eileen_collins_0001.jpg,live,portrait\n", encoding="utf-8")
    extra = ["--rounds", "5"] if action == "verify" else ["--labels", str(labels)]
    assert run(action, *extra, "--report", str(page))[0] == 0
    text = page.read_text(encoding="utf-8")
    assert "data:image/svg+xml" in text
    assert "data:image/jpeg" in text
    assert not re.search(r'src="(?!data:)', text), "it can be mailed: nothing lies outside of it"
    assert page.stat().st_mode & 0o077 == 0, "it shows faces"


def test_a_report_without_matplotlib_says_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    status, words = run("verify", "--report", str(tmp_path / "page.html"))
    assert status == 1
    assert "kingfisher[eval]" in words
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("content", "word"),
    [("a,b\nx,y\n", "no column same"), ("a,b,same\nx.jpg,y.jpg,1\n", "x.jpg"), ("a,b,same\nx,y,maybe\n", "maybe"),
     ("", "same"), ("a,b,same\n", "no rows"), ("a,b,same\nx,,1\n", ":2")],
)  # fmt: skip
def test_a_bad_list_is_refused_by_file_and_reason(run: Run, tmp_path: Path, content: str, word: str) -> None:
    pairs = tmp_path / "bad.csv"
    pairs.write_text(content, encoding="utf-8")
    status, words = run("verify", "--pairs", str(pairs))
    assert status == 1
    assert "bad.csv" in words
    assert word in words


def test_something_that_is_no_picture_is_named(run: Run, pictures: Path) -> None:
    (pictures / "grace_hopper" / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    status, words = run("verify")
    assert status == 1
    assert "broken.jpg" in words


def test_too_few_people_calibrate_nothing(run: Run, tmp_path: Path) -> None:
    status, words = run("calibrate", "--output", str(tmp_path / "box.toml"), "--rounds", "5")
    assert status == 1
    assert "more people" in words
    assert not (tmp_path / "box.toml").exists()


def test_calibrated_thresholds_are_stricter_for_larger_galleries_and_for_the_worst_group(crowd: Faces) -> None:
    blind = calibrate(crowd, verify(crowd, [], None, rounds=30), sizes=(10, 100), rounds=30)
    groups = {f"p{n:03d}": "some" for n in range(40)}
    fair = calibrate(crowd, verify(crowd, [], groups, rounds=30), sizes=(10, 100), rounds=30)
    assert blind.points[0].threshold < blind.points[1].threshold
    assert all(f.threshold >= b.threshold for f, b in zip(fair.points, blind.points, strict=True))
    assert "no groups were named" in blind.points[0].source
    assert "some" in fair.points[0].source or "rest" in fair.points[0].source
    assert [row.fmr for row in fair.curve] == sorted((row.fmr for row in fair.curve), reverse=True)
    assert all(row.low <= row.fmr <= row.high <= row.worst_group_high for row in fair.curve)


def test_the_calibrated_file_is_read_back_as_it_was_and_refused_with_other_models(
    crowd: Faces, thresholds: Thresholds, manifest: Manifest, tmp_path: Path
) -> None:
    match = calibrate(crowd, verify(crowd, [], None, rounds=30), sizes=(10,), rounds=30)
    made = thresholds.model_copy(update={"id": "mine", "provisional": False, "match": match})
    path = tmp_path / "mine.toml"
    path.write_text(thresholds_toml(made, ["a remark"]), encoding="utf-8")
    again = load_thresholds(path, manifest)
    assert again.match.points[0].threshold == pytest.approx(made.match.points[0].threshold)
    assert again.match.points[0].source == made.match.points[0].source
    assert again.quality == made.quality
    assert not again.provisional
    assert tomllib.loads(path.read_text(encoding="utf-8"))["id"] == "mine"
    other = path.read_text(encoding="utf-8").replace(manifest.model("embedding").sha256, "0" * 64)
    path.write_text(other, encoding="utf-8")
    with pytest.raises(ThresholdsRefused, match="embedding"):
        load_thresholds(path, manifest)


def test_strangers_are_never_enrolled_and_a_half_probes_only_itself(crowd: Faces, thresholds: Thresholds) -> None:
    task = split(crowd.images, 300, "b")
    enrolled = {named.identity for named in task.gallery}
    strangers = {probe.identity for probe in task.probes} - enrolled
    assert len(enrolled) == 300
    assert len(strangers) == 100
    assert not {g.image for g in task.gallery} & {p.image for p in task.probes}
    match = calibrate(crowd, verify(crowd, [], None, rounds=30), sizes=(1000,), rounds=30)
    result = identify(crowd, task, thresholds.model_copy(update={"match": match}))
    assert result.fpir == 0.0
    assert result.rank1 == 1.0
    with pytest.raises(EvaluationRefused, match="strangers"):
        split(crowd.images, 400, None)
