"""A file that is shown is decoded where it can do no harm; a file that can't be is named, and the next one is shown."""

from __future__ import annotations

import os
import platform
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
    good = picture(tmp_path, "good.png")
    try:
        decoder.open(good, Kind.PICTURE)
        pid = decoder.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(AdUnreadable, match=r"took longer than 0\.5 s"):
            decoder.open(good, Kind.PICTURE)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert decoder.open(good, Kind.PICTURE).shape == (48, 80, 3)
    finally:
        decoder.close()


@pytest.mark.parametrize("make", ["a pipe", "a link", "a folder"])
def test_nothing_but_a_file_is_opened_and_nobody_waits_for_it(decoder, tmp_path, make):
    place = tmp_path / "never.png"
    match make:
        case "a pipe":
            os.mkfifo(place)  # opening it would wait for a writer that never comes
        case "a link":
            place.symlink_to(picture(tmp_path, "good.png"))
        case _:
            place.mkdir()
    with pytest.raises(AdUnreadable, match=r"not a file|symbolic links"):
        decoder.open(place, Kind.PICTURE)
    assert decoder.open(picture(tmp_path, "good.png"), Kind.PICTURE).shape == (48, 80, 3)


LIARS = {
    "half a line": ("os.write(1, b'{')", "took longer than"),
    "a line without end": ("os.write(1, b'x' * 60_000)", "answers nonsense|died over it"),
    "a frame due at no time": ("os.write(1, b'{\"frame\": NaN}\\n')", "answers nonsense"),
    "a frame due at a word": ('os.write(1, b\'{"frame": "soon"}\\n\')', "answers nonsense"),
    "a list": ("os.write(1, b'[1, 2]\\n')", "answers nonsense"),
}


@pytest.mark.parametrize("lie", LIARS)
def test_a_decoder_that_was_taken_over_holds_nobody_up(tmp_path, monkeypatch, lie):
    """Whoever took it over can say what he likes on its line."""
    act, why = LIARS[lie]
    wicked = tmp_path / "wicked"
    wicked.write_text(f"#!{sys.executable}\nimport os, time\nos.read(0, 4096)\n{act}\ntime.sleep(600)\n")
    wicked.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(wicked))
    decoder = Decoder(SIZE, start_s=0.0, frame_s=2.0)
    try:
        with pytest.raises(AdUnreadable, match=why):
            decoder.open(picture(tmp_path, "good.png"), Kind.PICTURE)
        assert decoder.pid is None
    finally:
        decoder.close()


CONFINED = """
import mmap, os, resource, signal, socket, sys
from pathlib import Path
from daemon.ads.confinement import confine
victim, other, memory = sys.argv[1:4]
memory, parent, page = int(memory), os.getppid(), mmap.PAGESIZE
wanted = {
    "talk": lambda: socket.socket(),
    "talk at home": lambda: socket.socketpair(),
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "become two": lambda: os.fork(),
    "read a key": lambda: Path(victim).read_bytes(),
    "see what there is": lambda: os.listdir("/"),
    "write a file": lambda: os.open(other, os.O_CREAT | os.O_WRONLY),
    "empty a file": lambda: os.truncate(victim, 0),
    "delete a file": lambda: os.unlink(victim),
    "move a file": lambda: os.rename(victim, other),
    "open a file to all": lambda: os.chmod(victim, 0o777),
    "link a file": lambda: os.symlink(victim, other),
    "end the daemon": lambda: os.kill(parent, signal.SIGTERM),
    "starve the daemon": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE, (0, 0)),
    "slow the daemon": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "shrink the picture": lambda: os.ftruncate(memory, 0),
    "take too much memory": lambda: bytearray(2 << 30),
}
confine(1 << 30, 60)
for what, act in wanted.items():
    try:
        act()
    except PermissionError:
        continue
    except MemoryError:
        continue
    print(what)
print("asked", len(wanted))
"""


def test_the_decoders_process_reaches_nothing_but_what_it_was_given(tmp_path):
    victim, other = tmp_path / "box.key", tmp_path / "other"
    victim.write_bytes(b"secret")
    handle = os.memfd_create("frame")
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, str(victim), str(other), str(handle)], capture_output=True, text=True,
        timeout=60, check=False, pass_fds=(handle,),
    )  # fmt: skip
    os.close(handle)
    assert done.stdout.splitlines() == ["asked 17"], done.stderr
    assert victim.read_bytes() == b"secret"
    assert not other.exists()


X32 = """
import ctypes, errno
from daemon.ads.confinement import confine
confine(1 << 30, 60)
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(0x40000000 + 39), errno.errorcode[ctypes.get_errno()])
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only this machine's kernel counts its calls twice")
def test_the_kernels_other_way_of_counting_calls_is_no_way_out():
    done = subprocess.run([sys.executable, "-c", X32], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["-1", "EPERM"], done.stderr


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
