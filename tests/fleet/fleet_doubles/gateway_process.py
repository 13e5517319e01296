"""`kingfisher-fleet` as an operator runs it; the gateway is a process that can be killed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.cli import main
from fleet.state import StateFolder
from fleet_doubles.brokers import BrokerDouble
from fleet_doubles.waiting import eventually


@dataclass
class FleetProcess:
    """`kingfisher-fleet` as an operator runs it; the gateway is a process that can be killed."""

    state: Path
    broker_port: int
    process: subprocess.Popen[bytes] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    extra: tuple[str, ...] = ()

    def cli(self, *args: str, check: bool = True) -> tuple[int, Any, str]:
        """Exit code, the last JSON line of stdout (None if there is none), stderr."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["--state", str(self.state), "--json", *args])
        assert not check or code == 0, err.getvalue()
        lines = out.getvalue().strip().splitlines()
        return code, json.loads(lines[-1]) if lines else None, err.getvalue()

    def start(self, *knobs: str) -> None:
        with (self.state / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "fleet.cli", "--state", str(self.state), "--json", "gateway",
                    "--broker", f"127.0.0.1:{self.broker_port}", "--http", "127.0.0.1:0", *self.extra, *knobs,
                ],
                stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.state / "gateway.log").read_text()[-2000:]
        self.facts = json.loads(line)
        eventually(lambda: self.http("GET", "/v1/health")[1]["broker_connected"], what="gateway on the broker")

    def kill(self) -> None:
        """As a power cut: kill -9."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.terminate()
        return self.process.wait(20)

    def http(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "api_token",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        given = dict(headers or {})
        if token is not None:
            given.setdefault("Authorization", "Bearer " + (self.state / token).read_text().strip())
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.facts["http"] + path, data=data, method=method, headers=given)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def order(self, box: str, amount: str = "18.50", **more: Any) -> dict[str, Any]:
        status, view = self.http("POST", "/v1/orders", {"box": box, "amount": amount} | more)
        assert status == 201, view
        return dict(view)

    def order_status(self, order_id: str) -> str:
        return str(self.http("GET", f"/v1/orders/{order_id}")[1]["status"])

    def balance(self, account: str, currency: str = "CNY") -> int:
        rows = self.cli("accounts")[1]
        return sum(row["balance_minor"] for row in rows if row["account"] == account and row["currency"] == currency)

    def entries(self, order_id: str) -> list[str]:
        """The kinds of this order's entries, oldest first."""
        return [
            row["kind"]
            for row in reversed(self.cli("ledger", "show", "--limit", "1000")[1])
            if row["order_id"] == order_id
        ]

    def refusals(self, reason: str) -> int:
        return int(self.http("GET", "/v1/health")[1]["refused"].get(reason, 0))

    def verified(self) -> dict[str, Any]:
        code, report, _ = self.cli("ledger", "verify", check=False)
        assert code == 0, report
        return dict(report)


def new_fleet(folder: Path, broker: BrokerDouble) -> FleetProcess:
    fleet = FleetProcess(folder / "fleet", broker.port)
    fleet.cli("init")
    if broker.kind == "rumqttd":
        StateFolder(fleet.state).write_broker(f"127.0.0.1:{broker.port}")
    return fleet
