"""The decoder's process: opens one file at a time and draws its frames into memory that the daemon gave it.

    python -m daemon.ads.decoder_child MEMORY_FD WIDTH HEIGHT

Standard input is a socket of packets (SOCK_SEQPACKET), each a JSON object: `{"open": "picture"|"video"}`, which carries
the open file (SCM_RIGHTS), for nothing can be opened in here; then `{"next": true}` for each further frame of a video.
Out, a line of JSON each: `{"frame": seconds}` (when it is due, from the start), `{"end": true}`, or `{"bad": why}`.
"""

from __future__ import annotations

import importlib
import io
import json
import mmap
import os
import pkgutil
import socket
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin

from daemon.ads.confinement import NotConfined, confine, die_with_parent

MEMORY_BYTES = 1024 * 1024 * 1024  # address space, most of it the libraries'
CPU_S = 24 * 3600  # a backstop: that a single frame takes too long is the parent's to see
MAX_PIXELS = 40_000_000
MAX_VIDEO_SIDE = 1920
PLUGINS = (JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin)  # a JPEG of a telephone may be an MPO
FORMATS = ("JPEG", "PNG", "WEBP")
CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")

Frames = Iterator[tuple[float, Image.Image]]
Canvas = np.ndarray[Any, np.dtype[np.uint8]]


class BadFile(Exception):
    """Not a file that is shown; the text says why."""


def main() -> int:
    handle, width, height = (int(word) for word in sys.argv[1:4])
    die_with_parent()
    memory = mmap.mmap(handle, width * height * 3)
    canvas = np.ndarray((height, width, 3), np.uint8, memory)
    av = _codecs()
    _load_everything(canvas)
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the daemon's log is not this process's to write into
    try:
        confine(MEMORY_BYTES, CPU_S)
    except NotConfined as refused:
        _say({"bad": f"the decoder can't be confined ({refused.why})"})
        return 1
    frames: Frames = iter(())
    while True:
        packet, handles, _, _ = socket.recv_fds(asked, 4096, 1)
        if not packet:
            return 0
        wanted = json.loads(packet)
        try:
            if "open" in wanted:
                file = os.fdopen(handles[0], "rb")
                frames = _video(av, file) if wanted["open"] == "video" else _picture(file)
            due, picture = next(frames)
            _draw(picture, canvas)
            _say({"frame": due})
        except StopIteration:
            _say({"end": True})
        except (BadFile, UnidentifiedImageError) as bad:
            _say({"bad": str(bad)[:200]})
        except MemoryError:
            _say({"bad": "needs more memory than a file may"})
        except Exception as fault:  # a decoder may raise anything over a broken file
            _say({"bad": f"{type(fault).__name__}: {fault}"[:200]})


def _codecs() -> Any:
    """PyAV with all of its modules, some of which it would load at their first use; None: a box without it shows
    pictures only."""
    try:
        import av
    except ImportError:
        return None
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return av


def _load_everything(canvas: Canvas) -> None:
    """What is loaded at its first use is loaded before the walls go up."""
    for kind in FORMATS:
        sample = io.BytesIO()
        Image.new("RGB", (8, 8)).save(sample, kind)
        for _, picture in _picture(sample):
            _draw(picture, canvas)


def _picture(file: BinaryIO) -> Frames:
    with file, Image.open(file, formats=FORMATS) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise BadFile(f"{picture.width} x {picture.height} pixels; at most {MAX_PIXELS} are shown")
        yield 0.0, picture.convert("RGB")


def _video(av: Any, file: BinaryIO) -> Frames:
    if av is None:
        raise BadFile("this box has no video decoder (the package's extra `video`)")
    # before release 19 a title that is no UTF-8 was an error by itself
    lenient = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
    with file, av.open(file, **lenient) as container:
        if container.format.name not in CONTAINERS:
            raise BadFile(f"{container.format.name} is not shown; MP4 and WebM are")
        if not container.streams.video:
            raise BadFile("no video in it")
        stream = container.streams.video[0]
        if max(stream.width, stream.height) > MAX_VIDEO_SIDE:
            raise BadFile(f"{stream.width} x {stream.height}; at most {MAX_VIDEO_SIDE} a side are shown")
        stream.thread_count = 1
        for frame in container.decode(stream):
            yield float(frame.time or 0.0), frame.to_image(threads=1)


def _draw(picture: Image.Image, canvas: Canvas) -> None:
    """Whole, as large as it fits, on black."""
    height, width, _ = canvas.shape
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    fitted = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas[:] = 0
    canvas[top : top + size[1], left : left + size[0]] = np.asarray(fitted)


def _say(words: dict[str, Any]) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
