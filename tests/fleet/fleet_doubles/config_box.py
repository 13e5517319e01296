"""A box that takes configs by the protocol: what it makes of one is the test's to say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet_doubles.box import BoxDouble
from fleet_doubles.gateway_process import FleetProcess
from mqtt import topics
from mqtt.envelope import now_unix
from mqtt.identity import public_pem, write_file
from mqtt.link import Received
from mqtt.schemas import ConfigBody, StateBody

Verdict = Callable[[ConfigBody], dict[str, Any]]  # the report's outcome, reason, errors


def applied(_: ConfigBody) -> dict[str, Any]:
    return {"outcome": "applied"}


class ConfigBox(BoxDouble):
    """`verdict` may be exchanged; None keeps silent. `floor` is the newest version it has seen."""

    verdict: Verdict | None = staticmethod(applied)
    floor = 0
    running = 0

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.configs: list[ConfigBody] = []
        self.settings: dict[str, Any] = {}

    def say_state(self) -> None:
        self.link.publish(topics.up(self.id, "state"), self._state(online=True), retain=True)

    def _state(self, online: bool) -> bytes:
        versions = {"config": self.running, "config_seen": self.floor} if online else {}
        body = StateBody.model_validate({"online": online, "session": self.session, "versions": versions})
        return self.seal("state", body.to_json(), 3600).token

    def _message(self, message: Received) -> None:
        super()._message(message)
        body = self.bodies[-1]
        if not isinstance(body, ConfigBody):
            return
        self.configs.append(body)
        if body.version < self.floor:
            return
        self.floor = body.version
        if self.verdict is None:
            return
        told = self.verdict(body)
        if told["outcome"] == "applied":
            self.running, self.settings = body.version, body.settings
        report = {"version": body.version, "running": self.running, "at": now_unix(), **told}
        self.link.publish(topics.up(self.id, "config"), self.seal("config.report", report).token)


def new_config_box(fleet: FleetProcess, folder: Path, name: str, group: str, tenant: str = "default") -> ConfigBox:
    box = ConfigBox(fleet.state / "fleet_public.pem", fleet.broker_port)
    file = folder / f"{box.id}.pem"
    write_file(file, public_pem(box.key.public_key()), mode=0o644)
    fleet.cli("box", "add", str(file), "--name", name)
    fleet.cli("box", "group", name, group, "--tenant", tenant)
    return box
