"""A box without a face: the wire protocol and nothing else (built from `mqtt`)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet_doubles.gateway_process import FleetProcess
from fleet_doubles.waiting import eventually
from mqtt import topics
from mqtt.envelope import Claims, Sealed, Signer, TrustedKey, Verifier, now_unix
from mqtt.identity import box_id_from_key, fleet_id_from_key, load_public_key, public_pem, write_file
from mqtt.link import Connected, Link, LinkOptions, Lost, Received, TlsOptions, Will
from mqtt.schemas import AttemptRef, Body, OrderBody, PayAnswerBody, QuoteBody, StateBody, parse_body

TlsMaker = Callable[[str], TlsOptions]  # from the box's id


class BoxDouble:
    """A box without a face: the wire protocol and nothing else. It remembers every body it was sent and believed."""

    payer = "grace"

    def __init__(
        self, fleet_public: Path, port: int, key: Ed25519PrivateKey | None = None, tls: TlsMaker | None = None
    ) -> None:
        self.key = key or Ed25519PrivateKey.generate()
        self.id = box_id_from_key(self.key.public_key())
        public = load_public_key(fleet_public)
        self.fleet = fleet_id_from_key(public)
        self.signer = Signer(self.key, self.id, self.id)
        self.verifier = Verifier({self.fleet: TrustedKey(self.fleet, public)}.get, self.id, now_unix)
        self.bodies: list[Body] = []
        self.claims: list[Claims] = []
        self.lost: list[Lost] = []
        self.unsettled: list[tuple[str, int]] = []
        self.open_orders: list[str] = []
        self.session = "s0"
        self.connections = 0
        self._sessions = 0
        self.online = threading.Event()
        self.link = Link(
            LinkOptions(
                "127.0.0.1",
                port,
                self.id,
                (topics.box_filter(self.id),),
                tls=tls(self.id) if tls else None,
                backoff_base_s=0.1,
                backoff_cap_s=0.5,
            ),
            on_message=self._message,
            on_connected=self._connected,
            on_lost=self._lost,
            will=self._will,
        )

    def connect(self) -> None:
        self.link.start()
        assert self.online.wait(15)

    def disconnect(self) -> None:
        self.link.stop()

    def seal(self, typ: str, body: dict[str, Any], life_s: int = 300) -> Sealed:
        return self.signer.seal(typ, self.fleet, body, life_s)

    def publish(self, typ: str, token: bytes) -> None:
        self.link.publish(topics.topic_of(typ, self.id), token).result(10)

    def send(self, typ: str, body: dict[str, Any]) -> Sealed:
        sealed = self.seal(typ, body)
        self.publish(typ, sealed.token)
        return sealed

    def request(self, order: dict[str, Any], attempt: int = 1, **changes: Any) -> dict[str, Any]:
        """The body of a payment request for an order as the gateway shows it."""
        return {
            "order_id": order["order_id"], "attempt": attempt, "amount_minor": order["amount_minor"],
            "currency": order["currency"], "payer": self.payer, "factors": ["face", "pin"], "channel": "simulated",
            "decided_at": now_unix(), "flow": "face_first",
        } | changes  # fmt: skip

    def confirm(self, order_id: str, attempt: int = 1) -> Sealed:
        """It has taken the approval."""
        data = {"attempt": attempt}
        return self.send("event", {"event": "order.approved", "at": now_unix(), "order_id": order_id, "data": data})

    def reverse(self, order_id: str, attempt: int = 1) -> PayAnswerBody:
        """The first answer from now on that speaks of the reversal: an approval may still be under way."""
        before = len(self.answers(order_id))
        self.send("pay.reverse", {"order_id": order_id, "attempt": attempt})
        words = ("reversed_on_request", "never_received", "too_late")
        return eventually(
            lambda: next((a for a in self.answers(order_id)[before:] if a.reason in words), None), 15, "the reversal"
        )

    def answers(self, order_id: str | None = None) -> list[PayAnswerBody]:
        return [b for b in list(self.bodies) if isinstance(b, PayAnswerBody) and order_id in (None, b.order_id)]

    def quote(self, order: dict[str, Any], payer: str | None = None, **more: Any) -> QuoteBody:
        """What the member would pay for it, asked of the gateway."""
        before = len(self._quotes())
        self.send("quote.request", {"order_id": order["order_id"], "payer": payer or self.payer} | more)
        return eventually(lambda: (self._quotes()[before:] or [None])[0], 15, "a quote")

    def _quotes(self) -> list[QuoteBody]:
        return [b for b in list(self.bodies) if isinstance(b, QuoteBody)]

    def orders(self) -> list[OrderBody]:
        return [b for b in list(self.bodies) if isinstance(b, OrderBody)]

    def answer(self, order_id: str, count: int = 1, timeout_s: float = 60) -> PayAnswerBody:
        """The `count`-th answer to this order."""
        return eventually(lambda: (self.answers(order_id)[count - 1 :] or [None])[0], timeout_s, f"answer {count}")

    def _state(self, online: bool) -> bytes:
        body = StateBody(
            online=online,
            session=self.session,
            unsettled=[AttemptRef(order_id=o, attempt=a) for o, a in self.unsettled] if online else [],
            open_orders=self.open_orders if online else [],
        )
        return self.seal("state", body.to_json(), 3600).token

    def _will(self) -> Will:
        self._sessions += 1
        self.session = f"s{self._sessions}"
        return Will(topics.up(self.id, "state"), self._state(online=False))

    def _connected(self, _: Connected) -> None:
        self.connections += 1
        self.link.publish(topics.up(self.id, "state"), self._state(online=True), retain=True)
        self.online.set()

    def _lost(self, lost: Lost) -> None:
        self.online.clear()
        self.lost.append(lost)

    def _message(self, message: Received) -> None:
        claims = self.verifier.verify(message.payload, message.topic, retained=message.retained)
        self.claims.append(claims)
        self.bodies.append(parse_body(claims))
        message.ack()


def new_box(fleet: FleetProcess, folder: Path, merchant: str = "main", tls: TlsMaker | None = None) -> BoxDouble:
    box = BoxDouble(fleet.state / "fleet_public.pem", fleet.broker_port, tls=tls)
    file = folder / f"{box.id}.pem"
    write_file(file, public_pem(box.key.public_key()), mode=0o644)
    assert fleet.cli("box", "add", str(file), "--name", f"counter-{box.id}", "--merchant", merchant)[1]["id"] == box.id
    return box
