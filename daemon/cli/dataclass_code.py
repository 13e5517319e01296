"""The methods of dataclasses are compiled when the box is installed, not at each start.

`dataclasses` writes the methods of a class as text and compiles it whenever the class is defined: a third of what a
start's imports cost. As Python keeps the byte code of a module, a file beside this one keeps that of these texts. It
belongs to one version of Python; without it, or for a text that is not in it, all is compiled as ever.

    python -I -m daemon.cli.dataclass_code      once everything is installed: makes the file
"""

from __future__ import annotations

import dataclasses
import marshal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType
from typing import Any

FILE = Path(__file__).with_name("__pycache__") / f"dataclass_code.{sys.implementation.cache_tag}.bin"
DAEMON = ("daemon.cli.run", "daemon.app")


@contextmanager
def compiled_before(file: Path = FILE) -> Iterator[None]:
    """Within it, classes are defined with the code that `file` keeps, where there is any."""
    kept = _read(file)

    def code_of(text: str) -> CodeType:
        code = kept.get(text)
        return _compile(text) if code is None else marshal.loads(code)

    with _dataclasses_execute(code_of):
        yield


def keep(file: Path = FILE, modules: tuple[str, ...] = DAEMON) -> int:
    """Loads the modules, writes the code of their dataclasses to `file`, and says of how many texts. In a process of
    its own: what was loaded before is not seen. Raises OSError.
    """
    texts: set[str] = set()

    def code_of(text: str) -> CodeType:
        texts.add(text)
        return _compile(text)

    with _dataclasses_execute(code_of):
        for module in modules:
            import_module(module)
    kept = {text: marshal.dumps(_compile(text)) for text in sorted(texts)}
    file.parent.mkdir(exist_ok=True)
    unfinished = file.with_suffix(".new")
    unfinished.write_bytes(MAGIC_NUMBER + marshal.dumps(kept))
    unfinished.replace(file)
    return len(kept)


def _compile(text: str) -> CodeType:
    """As `dataclasses` does itself: what this module has from `__future__` does not count."""
    return compile(text, "<string>", "exec", dont_inherit=True)


def _read(file: Path) -> dict[str, bytes]:
    try:
        data = file.read_bytes()
        if not data.startswith(MAGIC_NUMBER):
            return {}
        kept: dict[str, bytes] = marshal.loads(data[len(MAGIC_NUMBER) :])
        return kept
    except (OSError, EOFError, ValueError, TypeError):
        return {}


@contextmanager
def _dataclasses_execute(code_of: Any) -> Iterator[None]:
    """A global of the module goes before the built-in function of the same name."""

    def execute(text: str, *scope: dict[str, Any]) -> None:
        exec(code_of(text), *scope)  # noqa: S102 - what `dataclasses` asked for

    names = vars(dataclasses)
    names["exec"] = execute
    try:
        yield
    finally:
        names.pop("exec", None)


if __name__ == "__main__":
    print(f"{FILE}: {keep()} texts")
