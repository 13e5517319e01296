"""Answers the control socket's commands from what the main loop published, the database and the devices' own threads.

Called on the socket's threads. Nothing here reaches into the loop: it reads the snapshot, or it sends an event.
"""

from __future__ import annotations

import logging
import platform
import queue
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.box_events import RefundWanted
from daemon.config.model import Config
from daemon.console import lending, requests
from daemon.console.errors import Refused
from daemon.console.lending import Borrow, GiveBack, Loan, Thing
from daemon.console.network import network
from daemon.console.preview import ascii_preview, brightness
from daemon.console.reboot import ask_for_reboot
from daemon.console.recent_logs import RecentLogs
from daemon.console.refund_desk import refund
from daemon.console.snapshot import Board
from daemon.console.store_desk import StoreDesk
from daemon.console.test_card import test_card
from daemon.console.wire import Peer
from daemon.health.suggestions import suggestion
from daemon.logs import note
from daemon.people.members import Members
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink, counts
from mqtt.link import TlsOptions

log = logging.getLogger("daemon.console")

LEND_S = 5.0
LISTEN_S = 0.3
SAY_EVERY_S = 5.0

_WHY = {
    "order_open": ("an order or an enrolment is open: a payer may be there", "wait until the box is idle"),
    "lent_already": ("another test is using it", "wait until that one ends"),
    "faces_loading": (
        "the models of the face side are being loaded, and the camera is opened after them",
        "wait: some seconds, a minute on a slow box; `status` names `faces_loading` until then",
    ),
    "starting": ("the daemon is starting", "wait: some seconds, a minute on a slow box; see `status`"),
}


@dataclass(frozen=True)
class Desk:
    """`send` puts an event on the main loop's queue; `restart` ends the loop so that the process begins anew."""

    in_force: Callable[[], Config]
    board: Board
    db: BoxDb
    clock: TrustedClock
    link: FleetLink
    members: Members
    store: StoreDesk
    logs: RecentLogs
    display_size: Callable[[], tuple[int, int]]
    tls: TlsOptions | None
    model_hash: str
    software: str
    send: Callable[[Borrow | GiveBack | RefundWanted], None]
    restart: Callable[[], None]
    began_s: float
    fleet_versions: Callable[[], Mapping[str, int]] = dict  # of the config and the content that the fleet has sent

    @property
    def config(self) -> Config:
        """As it is now: the fleet may change it."""
        return self.in_force()

    def answer(self, command: str, args: Any, peer: Peer) -> Any:
        """The end of the answer; parts of it go to `peer` before. Raises Refused."""
        told = requests.parse_args(command, args)
        match command, told:
            case "status", _:
                return self._status()
            case "doctor", _:
                return self._doctor()
            case "journal", requests.LastArgs(last=last):
                return self._journal(last)
            case "logs", requests.LastArgs(last=last):
                return self.logs.last(last)
            case "config", _:
                return self.config.model_dump(mode="json")
            case "net", _:
                return network(self.config.broker.host, self.config.broker.port, self.tls)
            case "camera", _:
                return self._camera(peer)
            case "keypad", requests.TestArgs(seconds=seconds):
                return self._keypad(seconds, peer)
            case "display", requests.TestArgs(seconds=seconds):
                return self._display(seconds, peer)
            case "refund", requests.RefundArgs(order=order_id):
                self._only_started()
                return refund(self.send, order_id)
            case "restart", requests.ForceArgs(force=force):
                self._only_idle(force)
                note(log, "restart_asked")
                self.restart()
                return {"restarting": True}
            case "reboot", requests.ForceArgs(force=force):
                self._only_idle(force)
                note(log, "reboot_asked")
                return {"asked": str(ask_for_reboot())}
            case "store", requests.StoreArgs() as wanted:
                if wanted.action == "verify":
                    self._only_idle(False)  # it has the store for itself: no PIN would be checked meanwhile
                return self.store.answer(wanted, peer)
            case "typed", requests.TypedArgs() as typed:
                return self._typed(typed)
            case _:
                raise Refused("unknown_command", f"{command} is not answered here")

    def _status(self) -> dict[str, Any]:
        now = self.board.snapshot
        broker = self.config.broker
        return {
            "box": self.link.box_id,
            "fleet": self.link.fleet_id,
            "shop": self.config.box.shop,
            "tenant": self.config.box.tenant,
            "stage": now.stage,
            "busy": now.busy,
            "uptime_s": round(time.monotonic() - self.began_s),
            "link": {"connected": self.link.connected, "broker": f"{broker.host}:{broker.port}", "tls": bool(self.tls)},
            "clock": {"trusted": self.clock.trusted, "now": self.clock.now()},
            "conditions": [
                {"name": name, "why": why, "suggestion": suggestion(name)} for name, why in now.conditions
            ],
            "unsettled": [{"order_id": order, "attempt": attempt} for order, attempt in now.unsettled],
            "waiting_orders": now.waiting,
            "payers": len(self.members),
            "versions": {
                "kingfisher": self.software, "python": platform.python_version(), "face_model": self.model_hash[:12],
                **self.fleet_versions(),
            },
            "refused_messages": counts(self.link.refused),
        }  # fmt: skip

    def _doctor(self) -> list[dict[str, Any]]:
        from daemon.health.live import examine_live  # the checks know the wiring, and the wiring knows this desk

        return [asdict(finding) for finding in examine_live(self.config, self.board.snapshot, self.link.connected)]

    def _journal(self, last: int) -> list[dict[str, Any]]:
        with closing(self.db.reader()) as reader:
            return [
                {"seq": e.seq, "at": e.at, "name": e.name, "facts": dict(e.facts), "hash": e.hash}
                for e in journal.entries(reader, last)
            ]

    def _camera(self, peer: Peer) -> dict[str, Any]:
        """One picture, 64 x 24 characters; see `preview`. Until it comes, every now and then how long that may take."""
        loan = Loan(Thing.CAMERA)
        try:
            self._lend(loan)
            most_s = self.config.face.frame_timeout_s * 2 + LEND_S
            began_s = time.monotonic()
            while (waited_s := time.monotonic() - began_s) < most_s:
                match self._next(loan, began_s + min(waited_s + SAY_EVERY_S, most_s)):
                    case lending.Photo(image):
                        height, width = image.shape[:2]
                        return {"size": [width, height], "light": brightness(image), "rows": ascii_preview(image)}
                    case lending.Over(reason):
                        raise _over(reason)
                    case _:
                        peer.say({"waited_s": round(time.monotonic() - began_s), "most_s": round(most_s)})
            raise Refused("no_picture", f"no picture within {most_s:.0f} s", "check the camera's cable")
        finally:
            self.send(GiveBack(loan))

    def _keypad(self, seconds: float, peer: Peer) -> dict[str, Any]:
        """Each key as it is pressed, for some seconds."""
        loan = Loan(Thing.KEYPAD)
        keys = 0
        until_s = time.monotonic() + seconds
        try:
            self._lend(loan)
            while time.monotonic() < until_s and not peer.gone():
                match self._next(loan, min(until_s, time.monotonic() + LISTEN_S)):
                    case lending.Pressed(key):
                        keys += 1
                        peer.say({"key": key})
                    case lending.Over(reason):
                        raise _over(reason)
            return {"keys": keys}
        finally:
            self.send(GiveBack(loan))

    def _display(self, seconds: float, peer: Peer) -> dict[str, Any]:
        """The test card for some seconds."""
        size = self.display_size()
        if not all(size):
            raise Refused("no_display", "no display was found since the start", suggestion("no_display"))
        loan = Loan(Thing.DISPLAY, test_card(size))
        try:
            self._lend(loan)
            peer.say({"size": list(size)})
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s and not peer.gone():
                match self._next(loan, min(until_s, time.monotonic() + LISTEN_S)):
                    case lending.Over(reason):
                        raise _over(reason)
            return {"shown_s": seconds}
        finally:
            self.send(GiveBack(loan))

    def _typed(self, typed: requests.TypedArgs) -> dict[str, Any]:
        facts = {"session": typed.session, "who": typed.who, "line": typed.line}
        self.db.run(lambda tx: journal.append(tx, "console_typed", facts, typed.at))
        return {"journaled": True}

    def _only_idle(self, force: bool) -> None:
        if force:
            return
        self._only_started()
        if self.board.snapshot.busy:
            raise Refused("order_open", *_WHY["order_open"])

    def _only_started(self) -> None:
        """Before the main loop runs nobody lends anything, and nobody knows whether a payer is there."""
        if self.board.snapshot.starting:
            raise Refused("starting", *_WHY["starting"])

    def _lend(self, loan: Loan) -> None:
        self._only_started()
        self.send(Borrow(loan))
        match self._next(loan, time.monotonic() + LEND_S):
            case lending.Lent():
                return
            case lending.Over(reason):
                raise _over(reason)
            case _:
                raise Refused("no_answer", "the main loop does not answer", "see `logs`")

    @staticmethod
    def _next(loan: Loan, until_s: float) -> lending.News | None:
        try:
            return loan.news.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            return None


def _over(reason: str) -> Refused:
    why, hint = _WHY.get(reason, (reason, "see `doctor`"))
    return Refused(reason if reason in _WHY else "device", why, hint)
