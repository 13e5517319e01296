"""The remote commands and what each may be told: strict, bounded, nothing unknown. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.uplink.contract import CommandRefused
from mqtt.schemas import CommandBody


class Args(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class NoArgs(Args):
    pass


class LogsArgs(Args):
    last: Annotated[int, Field(ge=1, le=500)] = 200


class RestartArgs(Args):
    """`force`: even while an order is open. What was submitted is settled after the start."""

    force: bool = False


class CryptoEraseArgs(Args):
    """`confirm`: the word that the box gave as its answer to the same command without one."""

    confirm: Annotated[str, Field(max_length=32)] | None = None


COMMANDS: dict[str, type[Args]] = {
    "doctor": NoArgs,
    "logs": LogsArgs,
    "screenshot": NoArgs,
    "restart": RestartArgs,
    "crypto-erase": CryptoEraseArgs,
    "identity.twice": NoArgs,
}


@dataclass(frozen=True, slots=True)
class RemoteRequest:
    command_id: str
    command: str
    args: Args
    handle: str = ""  # it concerns nobody


def request_of(body: CommandBody) -> RemoteRequest | None:
    """None for a command of another kind. Raises CommandRefused."""
    model = COMMANDS.get(body.command)
    if model is None:
        return None
    try:
        return RemoteRequest(body.command_id, body.command, model.model_validate(body.args))
    except ValidationError as error:
        paths = ", ".join(".".join(str(part) for part in item["loc"]) for item in error.errors())
        raise CommandRefused(body.command, "bad_arguments", f"wrong arguments: {paths}") from error
