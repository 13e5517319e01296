"""A file that is shown is decoded where it can do no harm; a file that can't be is named, and the next one is shown."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.ads.decoder import AdUnreadable, Decoder
from mqtt.campaigns import Kind

SIZE = (80, 48)


@pytest.fixture(scope="module")
def decoder():
    decoder = Decoder(SIZE, frame_s=5.0)
    yield decoder
    decoder.close()


def picture(folder: Path, name: str, size=(160, 96), colour=(200, 30, 40)) -> Path:
    path = folder / name
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_picture_fills_the_display(decoder, tmp_path, name):
    frame = decoder.open(picture(tmp_path, name), Kind.PICTURE)
    assert frame.shape == (48, 80, 3)
    assert np.abs(frame.astype(int) - (200, 30, 40)).max() < 12
    assert decoder.next() is None


def test_another_shape_is_shown_whole_on_black(decoder, tmp_path):
    frame = decoder.open(picture(tmp_path, "tall.png", (48, 96)), Kind.PICTURE)
    assert frame[:, :20].max() == 0
    assert frame[24, 40, 0] > 180


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(path: Path, side: int) -> Path:
    """A PNG of some kilobytes that unpacks to side x side pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 50_000_000, 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def truncated(path: Path) -> Path:
    noise = np.random.default_rng(1).integers(0, 255, (96, 160, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:9000])
    return path


BAD = {
    "30,000 x 30,000": (lambda folder: bomb(folder / "b.png", 30_000), "at most|exceeds limit|bomb"),
    "truncated": (lambda folder: truncated(folder / "t.png"), "truncated|broken"),
    "another type": (lambda folder: _written(folder / "x.png", b"#!/bin/sh\necho hello\n"), "cannot identify"),
    "empty": (lambda folder: _written(folder / "e.png", b""), "cannot identify"),
    "a type that is not shown": (lambda folder: picture(folder, "g.gif"), "cannot identify"),
    "not there": (lambda folder: folder / "gone.png", "FileNotFoundError"),
}


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_is_named_and_the_next_one_is_shown(decoder, tmp_path, name):
    make, why = BAD[name]
    with pytest.raises(AdUnreadable, match=why):
        decoder.open(make(tmp_path), Kind.PICTURE)
    assert decoder.open(picture(tmp_path, "good.png"), Kind.PICTURE).shape == (48, 80, 3)


def test_a_decoder_that_is_killed_is_replaced(decoder, tmp_path):
    good = picture(tmp_path, "good.png")
    decoder.open(good, Kind.PICTURE)
    os.kill(decoder.pid, signal.SIGSEGV)
    time.sleep(0.2)
    assert decoder.open(good, Kind.PICTURE).shape == (48, 80, 3)


def test_a_decoder_that_dies_over_a_file_is_named(decoder, tmp_path):
    decoder.open(picture(tmp_path, "good.png"), Kind.PICTURE)
    os.kill(decoder.pid, signal.SIGSTOP)
    os.kill(decoder.pid, signal.SIGKILL)
    with pytest.raises(AdUnreadable, match="died over it"):
        decoder.next()


def test_a_decoder_that_hangs_is_killed(tmp_path):
    decoder = Decoder(SIZE, frame_s=0.5)
    try:
        decoder.open(picture(tmp_path, "good.png"), Kind.PICTURE)
        pid = decoder.pid
        os.mkfifo(tmp_path / "never.png")  # opening it waits for a writer that never comes
        with pytest.raises(AdUnreadable, match=r"took longer than 0\.5 s"):
            decoder.open(tmp_path / "never.png", Kind.PICTURE)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert decoder.open(tmp_path / "good.png", Kind.PICTURE).shape == (48, 80, 3)
    finally:
        decoder.close()


CONFINED = """
import os, socket, sys
from daemon.ads.confinement import confine
confine(1 << 30, 60)
for what in sys.argv[1:]:
    try:
        match what:
            case "socket": socket.socket()
            case "socketpair": socket.socketpair()
            case "execute": os.execv("/bin/true", ["true"])
            case "write": os.write(os.open("/tmp/kingfisher-confined", os.O_CREAT | os.O_WRONLY), b"x")
            case "memory": bytearray(2 << 30)
    except (OSError, MemoryError) as error:
        print(what, type(error).__name__, getattr(error, "errno", ""))
    else:
        print(what, "WENT THROUGH")
"""


def test_the_decoders_process_has_no_network_no_programs_no_files_and_bounded_memory():
    calls = ["socket", "socketpair", "execute", "memory", "write"]
    said = subprocess.run(
        [sys.executable, "-c", CONFINED, *calls], capture_output=True, text=True, timeout=30, check=False
    ).stdout.splitlines()
    assert said[:4] == ["socket PermissionError 1", "socketpair PermissionError 1", "execute PermissionError 1",
                        "memory MemoryError "]  # fmt: skip
    assert said[4:] in ([], ["write OSError 27"]), "SIGXFSZ, or EFBIG where Python ignores it"


def test_the_decoder_goes_when_the_daemon_is_killed(tmp_path):
    script = f"""
import time
from pathlib import Path
from daemon.ads.decoder import Decoder
from mqtt.campaigns import Kind
decoder = Decoder({SIZE})
decoder.open(Path({str(picture(tmp_path, "good.png"))!r}), Kind.PICTURE)
print(decoder.pid, flush=True)
time.sleep(60)
"""
    daemon = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(daemon.stdout.readline())
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z (" in Path(f"/proc/{pid}/status").read_text():
            return
        time.sleep(0.05)
    pytest.fail("the decoder outlived its daemon")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A second of red that turns blue, 10 frames a second."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for n in range(10):
            colour = (220, 20, 20) if n < 5 else (20, 20, 220)
            frame = av.VideoFrame.from_image(Image.new("RGB", (160, 96), colour))
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_a_video_comes_frame_by_frame_with_its_times(decoder, video):
    first = decoder.open(video, Kind.VIDEO)
    frames = [(0.0, first)]
    while (frame := decoder.next()) is not None:
        frames.append(frame)
    assert len(frames) == 10
    assert [round(due, 1) for due, _ in frames] == [n / 10 for n in range(10)]
    assert frames[1][1][24, 40, 0] > 150
    assert frames[8][1][24, 40, 2] > 150


def test_a_video_that_is_cut_off_is_named(decoder, video, tmp_path):
    cut = _written(tmp_path / "cut.mp4", video.read_bytes()[:-600])
    with pytest.raises(AdUnreadable):
        decoder.open(cut, Kind.VIDEO)
    assert decoder.open(video, Kind.VIDEO).shape == (48, 80, 3)


def test_a_text_that_calls_itself_a_video_is_named(decoder, tmp_path):
    with pytest.raises(AdUnreadable):
        decoder.open(_written(tmp_path / "v.mp4", b"hello" * 100), Kind.VIDEO)
