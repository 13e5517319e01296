"""The CLI's way to the running gateway: its HTTP door, found through the state folder."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fleet.errors import FleetError, GatewayUnreachable, WaitedInVain
from fleet.state import StateFolder

_HINT = "start one with `kingfisher-fleet gateway`"


class GatewaySaidNo(FleetError):
    """The gateway refused; `code` is its own word for it."""

    def __init__(self, what: str, code: str, message: str) -> None:
        super().__init__(what, message)
        self.code = code


@dataclass(frozen=True, slots=True)
class GatewayClient:
    address: str
    token: str

    @classmethod
    def of(cls, state: StateFolder) -> GatewayClient:
        """Raises StateMissing, GatewayUnreachable."""
        token = state.token(state.api_token_file)
        facts = state.read_gateway()
        if facts is None or not isinstance(facts.get("http"), str):
            raise GatewayUnreachable("asking the gateway", f"none runs on {state.folder}", _HINT)
        return cls(facts["http"], token)

    def get(self, path: str) -> Any:
        """Raises GatewaySaidNo, GatewayUnreachable."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Raises GatewaySaidNo, GatewayUnreachable."""
        return self._ask("POST", path, json.dumps(body).encode())

    def follow(
        self, path: str, ends: frozenset[str], timeout_s: float, changed: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Ask again until the status is one of `ends`; `changed` hears of each new status. Raises WaitedInVain too."""
        deadline_s = time.monotonic() + timeout_s
        last = None
        while True:
            view: dict[str, Any] = self.get(path)
            if view["status"] != last:
                last = view["status"]
                changed(view)
            if view["final"] or last in ends:
                return view
            if time.monotonic() > deadline_s:
                raise WaitedInVain(f"waiting for {path.rsplit('/', 1)[-1]}", f"still {last} after {timeout_s:g} s")
            time.sleep(0.2)

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(
            self.address + path,
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise _said_no(method, path, error) from error
        except (OSError, ValueError) as error:
            why = str(getattr(error, "reason", error))  # urllib wraps what the system said
            raise GatewayUnreachable(f"asking {self.address}", why, _HINT) from error


def _said_no(method: str, path: str, error: urllib.error.HTTPError) -> GatewaySaidNo:
    try:
        said = json.load(error)["error"]
        return GatewaySaidNo("the gateway", str(said["code"]), str(said["message"]))
    except (ValueError, KeyError, TypeError):
        return GatewaySaidNo(f"{method} {path}", f"http_{error.code}", error.reason)
