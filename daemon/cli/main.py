"""Entry point of `kingfisher`. An error that has a name is printed as one sentence, never as a traceback."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# One core is enough for a gallery's dot products, and four threads that spin for them starve the face models.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from daemon.cli import config, console, doctor, evaluate, init, journal, live, models, run, samples
from daemon.errors import DaemonError
from hal.errors import HalError
from mqtt.errors import MqttError
from pipeline.errors import PipelineError
from secure_store.errors import StoreError

EXAMPLES = """examples:
  kingfisher models pull                          get the models, once
  kingfisher init --folder box --fleet-key fleet.pem --virtual
                                                  a box of one's own, to be seen in the browser
  kingfisher run --config box/box.toml            the daemon
  kingfisher doctor --config box/box.toml         what works and what doesn't, and what to do
  kingfisher status --config box/box.toml         what the running box does
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit status is 0 when all is well, 1 when not, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="kingfisher", description="The daemon of a face-pay box, and what a technician needs beside it.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (run, init, config, models, samples, evaluate, doctor, journal, live, console):
        module.add(subparsers)
    options = parser.parse_args(arguments)
    try:
        status: int = options.call(options)
    except (DaemonError, HalError, MqttError, PipelineError, StoreError) as error:
        print(f"kingfisher: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def default_state() -> Path:
    """Where the demo and a developer's box keep everything."""
    return Path(os.environ.get("KINGFISHER_STATE", ".kingfisher"))


if __name__ == "__main__":
    sys.exit(main())
