"""Entry point of `kingfisher`. An error that has a name is printed as one sentence, never as a traceback."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from daemon.cli import preload
from daemon.cli.loading import loading

# One core is enough for a gallery's dot products, and four threads that spin for them starve the face models.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# pydantic would look through every installed package for plugins at each start: the box has none, and wants none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# Which module has which command: only the one that is called is loaded, as a start must not wait for the others.
COMMANDS = {
    "run": "run the box until it is told to stop",
    "init": "make a box: a key and a box.toml",
    "config": "check or show a box.toml",
    "policy": "what payers are asked for, and why",
    "models": "get, check and list the models",
    "samples": "get the portraits for the virtual camera",
    "eval": "measure and calibrate recognition on pictures of yours",
    "doctor": "examine the box and say what to do",
    "journal": "show, verify or export the journal of a box",
    "verify-evidence": "whether the signed word of a box on a payment holds",
    "catalogue": "check or install the goods that a box sells",
    "receipt": "the receipt of a sale once more",
    "store": "look after templates, consents and keys",
    "template": "the template of a picture's face, for a roster",
    "clerk-pin": "the PIN with which a clerk lets somebody be enrolled",
    "status": "what the running box does",
    "net": "addresses, route and broker",
    "logs": "the newest log lines of the running box",
    "camera": "a coarse picture in characters; refused while a payer may be there",
    "keypad": "shows the keys that are pressed, for some seconds",
    "display": "shows a test card for some seconds",
    "refund": "pays an approved order back, whole",
    "restart": "begin anew with the same settings, read again",
    "reboot": "reboot the machine",
    "console": "the technician's console on a serial line",
}
LIVE = ("status", "net", "logs", "camera", "keypad", "display", "refund", "restart", "reboot")
MODULES = {"eval": "evaluate", "verify-evidence": "verify_evidence", "clerk-pin": "clerk_pin"}
MODULES |= dict.fromkeys(LIVE, "live")

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
    called = sys.argv[1:] if arguments is None else arguments
    command = next((word for word in called if not word.startswith("-")), None)
    if command in COMMANDS:
        if command == "run":
            preload.begin()
        with loading():
            module = import_module(f"daemon.cli.{MODULES.get(command, command)}")
        module.add(subparsers)
    else:
        for name, text in COMMANDS.items():
            subparsers.add_parser(name, help=text)
    options = parser.parse_args(called)
    try:
        status: int = options.call(options)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if not isinstance(error, _named()):
            raise
        print(f"kingfisher: {error}", file=sys.stderr)
        return 1
    return status


def _named() -> tuple[type[Exception], ...]:
    """Loaded when one of them may have come: `console` waits for its line without any of these packages."""
    from daemon.errors import DaemonError
    from hal.errors import HalError
    from mqtt.errors import MqttError
    from pipeline.errors import PipelineError
    from secure_store.errors import StoreError

    return (DaemonError, HalError, MqttError, PipelineError, StoreError)


if __name__ == "__main__":
    sys.exit(main())
