"""A start defines its dataclasses with code that was compiled when the box was installed."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from importlib import import_module, reload
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from daemon.cli import dataclass_code
from daemon.cli.dataclass_code import compiled_before, keep

ORDERS = """
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True, slots=True)
class Order:
    amount: int
    marks: list[str] = field(default_factory=list, compare=False)


@dataclass
class Payer:
    name: "str" = "nobody"
"""


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module's name that can be imported."""
    (tmp_path / "orders_of_this_test.py").write_text(ORDERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "orders_of_this_test", raising=False)
    return "orders_of_this_test"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were compiled meanwhile."""
    texts: list[str] = []
    compile_ = dataclass_code._compile

    def noting(text: str) -> CodeType:
        texts.append(text)
        return compile_(text)

    monkeypatch.setattr(dataclass_code, "_compile", noting)
    return texts


def again(module: str, file: Path) -> ModuleType:
    with compiled_before(file):
        return reload(import_module(module))


def test_what_was_kept_is_not_compiled_again(orders: str, compiled: list[str], tmp_path: Path) -> None:
    file = tmp_path / "made/kept.bin"
    assert keep(file, (orders,)) > 0
    compiled.clear()
    again(orders, file)
    assert compiled == []


def test_the_classes_are_those_that_dataclasses_makes(orders: str, tmp_path: Path) -> None:
    plain = import_module(orders)
    sides = [inspect.signature(cls) for cls in (plain.Order, plain.Payer)]
    shown, notes = repr(plain.Order(2)), plain.Order.__init__.__annotations__
    del sys.modules[orders]
    keep(tmp_path / "kept.bin", (orders,))
    kept = again(orders, tmp_path / "kept.bin")
    assert [inspect.signature(cls) for cls in (kept.Order, kept.Payer)] == sides
    assert (repr(kept.Order(2)), kept.Order.__init__.__annotations__) == (shown, notes)
    assert kept.Order(1, ["late"]) < kept.Order(2)
    assert kept.Order(1, ["late"]) == kept.Order(1)
    assert kept.Order(1).marks == []
    assert kept.Order(1).marks is not kept.Order(1).marks
    with pytest.raises(dataclasses.FrozenInstanceError):
        kept.Order(1).amount = 2


def test_a_class_that_changed_since_is_compiled(orders: str, compiled: list[str], tmp_path: Path) -> None:
    keep(tmp_path / "kept.bin", (orders,))
    source = Path(str(sys.modules[orders].__file__))
    source.write_text(ORDERS.replace("amount: int", "amount: int\n    tip: int"))
    del sys.modules[orders]
    compiled.clear()
    assert again(orders, tmp_path / "kept.bin").Order(1, 2).tip == 2
    assert compiled


@pytest.mark.parametrize("found", [None, b"", b"of another Python", MAGIC_NUMBER + b"\xe3cut off"])
def test_a_file_that_is_no_use_is_as_none(orders: str, tmp_path: Path, found: bytes | None) -> None:
    file = tmp_path / "kept.bin"
    if found is not None:
        file.write_bytes(found)
    assert again(orders, file).Order(1).amount == 1


def test_outside_of_it_dataclasses_are_made_as_ever(tmp_path: Path) -> None:
    with compiled_before(tmp_path / "none"):
        assert "exec" in vars(dataclasses)
    assert "exec" not in vars(dataclasses)
