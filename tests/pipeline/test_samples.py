"""The sample portraits come from the packages that ship them, and only the declared bytes are kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hal.virtual.samples import SAMPLES, SampleRefused, missing_samples, pull_samples

LOCK = Path(__file__).resolve().parents[2] / "script" / "locks" / "samples.txt"


def test_both_portraits_are_declared_with_their_rights() -> None:
    assert [sample.name for sample in SAMPLES] == ["grace_hopper", "eileen_collins"]
    assert all("public domain" in sample.rights for sample in SAMPLES)


@pytest.mark.skipif("KINGFISHER_OFFLINE" in os.environ, reason="fetches from a registry; KINGFISHER_OFFLINE is set")
def test_they_are_fetched_once_and_then_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, int, str]] = []
    pull_samples(tmp_path, LOCK, progress=lambda done, total, label: steps.append((done, total, label)))
    assert missing_samples(tmp_path) == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eileen_collins.png", "grace_hopper.jpg"]
    assert steps[-1][0] == steps[-1][1]
    pull_samples(tmp_path, tmp_path / "no such lock")


def test_a_spoilt_portrait_is_noticed(portraits_folder: Path, tmp_path: Path) -> None:
    for sample in SAMPLES:
        (tmp_path / sample.file).write_bytes((portraits_folder / sample.file).read_bytes())
    (tmp_path / "grace_hopper.jpg").write_bytes(b"half a picture")
    assert [sample.name for sample in missing_samples(tmp_path)] == ["grace_hopper"]


def test_what_pip_says_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(SampleRefused, match="sample portraits"):
        pull_samples(tmp_path / "new", tmp_path / "no-such-lock.txt")
    assert list((tmp_path / "new").iterdir()) == []
