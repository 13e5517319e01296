"""The camera's own process: opens one driver, writes its frames into the ring, beats, and ends when its parent does.

Run as `python -m hal.camera_child RECIPE SOCKET_FD MEMORY_FD`. It imports one driver and nothing of the daemon.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import resource
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from typing import Any

from hal.camera import Camera
from hal.camera_ring import CameraRing, FrameTooLarge
from hal.errors import DeadlineExceeded, HalError

READ_TIMEOUT_S = 0.5
ENDED_BY_DEVICE = 3


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the child makes its camera: module, class of the driver, class of its options, the options as JSON."""

    module: str
    camera: str
    options: str
    options_json: str
    frame_bytes: int

    def to_json(self) -> str:
        """For the child's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """What the parent wrote."""
        return cls(**json.loads(text))

    def build(self) -> Camera:
        """The camera, not opened yet."""
        module: Any = importlib.import_module(self.module)
        options = getattr(module, self.options).model_validate_json(self.options_json)
        camera: Camera = getattr(module, self.camera)(options)
        return camera


def main() -> int:
    """Runs until the parent closes its end, or the device is gone."""
    recipe = Recipe.from_json(sys.argv[1])
    # Faces are in this memory: a crash must not leave it on the disk. Ctrl-C is for the parent to act on.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[2])) as parent:
        parent.setblocking(False)
        ring = CameraRing(int(sys.argv[3]), recipe.frame_bytes)
        camera: Camera | None = None
        try:
            camera = recipe.build()
            camera.open()
            _run(camera, ring, parent)
        except HalError as why:
            report = {"device": why.device, "why": why.why, "hint": why.hint}
            with contextlib.suppress(OSError):
                parent.send(b"E" + json.dumps(report).encode())
            return ENDED_BY_DEVICE
        finally:
            if camera is not None:
                camera.close()
    return 0


def _run(camera: Camera, ring: CameraRing, parent: socket.socket) -> None:
    while True:
        ring.beat()
        try:
            told = b"F%d" % ring.write(camera.read(READ_TIMEOUT_S))
        except DeadlineExceeded:
            told = b"B"
        except FrameTooLarge as why:
            raise HalError(camera.name, str(why), "ask for a smaller picture") from why
        try:
            parent.send(told)
        except BlockingIOError:
            continue  # nobody reads for now; the newest frame is told again soon
        except OSError:
            return  # the parent closed its end, or died


if __name__ == "__main__":
    sys.exit(main())
