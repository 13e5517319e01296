"""The commands of the control socket and what each may be told: strict, bounded, nothing unknown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.console.errors import Refused

Count = Annotated[int, Field(ge=1, le=500)]
TestSeconds = Annotated[float, Field(gt=0, le=60)]


class Args(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class NoArgs(Args):
    pass


class LastArgs(Args):
    last: Count = 20


class TestArgs(Args):
    seconds: TestSeconds = 10.0


class RefundArgs(Args):
    """Which order's money goes back, whole. Who may ask is whoever may speak on this socket: a technician."""

    order: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class ForceArgs(Args):
    """`force`: even while an order is open. What was submitted is settled after the start."""

    force: bool = False


class TypedArgs(Args):
    """A line a technician typed, already masked."""

    session: Annotated[str, Field(max_length=32)]
    who: Annotated[str, Field(max_length=64)]
    line: Annotated[str, Field(max_length=240)]
    at: Annotated[int, Field(ge=0, le=2**40)]


class StoreArgs(Args):
    """What is done to the store, and to whom."""

    action: Literal["status", "verify", "show", "rotate", "renew", "erase", "erase-expired", "withdraw", "backup"]
    handle: Annotated[str, Field(max_length=128)] = ""
    purposes: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=8)] = ()


COMMANDS: dict[str, type[Args]] = {
    "status": NoArgs,
    "doctor": NoArgs,
    "journal": LastArgs,
    "logs": LastArgs,
    "config": NoArgs,
    "net": NoArgs,
    "camera": NoArgs,
    "keypad": TestArgs,
    "display": TestArgs,
    "refund": RefundArgs,
    "restart": ForceArgs,
    "reboot": ForceArgs,
    "typed": TypedArgs,
    "store": StoreArgs,
}


def parse_args(command: str, args: Any) -> Args:
    """Raises Refused: an unknown command, or arguments it does not take."""
    model = COMMANDS.get(command)
    if model is None:
        raise Refused("unknown_command", f"there is no command {command[:40]!r}", f"known: {', '.join(COMMANDS)}")
    try:
        return model.model_validate(args, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its arguments"
        raise Refused("bad_arguments", f"{command}: {where}: {first['msg']}") from error
