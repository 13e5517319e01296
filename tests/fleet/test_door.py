"""The HTTP door and the till page: who may come in, what they may ask, and what a clerk sees (real Chromium)."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_without_a_token_nothing_is_said(scene: Any) -> None:
    for path in ("/v1/orders", "/v1/boxes", "/v1/accounts", "/v1/ledger", "/v1/health", "/v1/till", "/v1/orders/o-1"):
        status, said = scene.fleet.http("GET", path, token=None)
        assert (status, said["error"]["code"]) == (401, "unauthorized")
    wrong = {"Authorization": "Bearer " + "x" * 43}
    assert scene.fleet.http("GET", "/v1/boxes", token=None, headers=wrong)[0] == 401


def test_the_tills_token_makes_and_follows_orders_and_does_nothing_else(scene: Any) -> None:
    status, order = scene.fleet.http("POST", "/v1/orders", {"box": scene.box.id, "amount": "1.00"}, token="till_token")
    assert status == 201
    path = f"/v1/orders/{order['order_id']}"
    assert "payer" not in scene.fleet.http("GET", path, token="till_token")[1]
    for path in ("/v1/boxes", "/v1/accounts", "/v1/ledger", "/v1/health", "/v1/orders"):
        assert scene.fleet.http("GET", path, token="till_token")[0] == 403
    body = {"box": scene.box.id, "payer": "x", "purposes": ["pay"]}
    assert scene.fleet.http("POST", "/v1/enrolments", body, token="till_token")[0] == 403


def test_tokens_and_addresses_are_readable_by_their_owner_alone(scene: Any) -> None:
    for name in ("fleet_key.pem", "api_token", "till_token", "gateway.json", "ledger.db"):
        assert stat.S_IMODE((scene.fleet.state / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(scene.fleet.state.stat().st_mode) == 0o700


def test_another_pages_origin_and_another_host_name_are_turned_away(scene: Any) -> None:
    order = {"box": scene.box.id, "amount": "1.00"}
    for origin in ("http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"):
        assert scene.fleet.http("POST", "/v1/orders", order, headers={"Origin": origin})[0] == 403
    assert scene.fleet.http("GET", "/till", headers={"Host": "evil.example"})[0] == 421
    own = scene.fleet.facts["http"]
    assert scene.fleet.http("POST", "/v1/orders", order, headers={"Origin": own})[0] == 201


@pytest.mark.parametrize(
    ("amount", "why"),
    [("18.505", "2 decimals"), ("-1", "negative"), ("0", "more than zero"), ("1e2", "plain"), ("", "plain")],
)
def test_an_amount_that_is_not_exact_is_refused_clearly(scene: Any, amount: str, why: str) -> None:
    status, said = scene.fleet.http("POST", "/v1/orders", {"box": scene.box.id, "amount": amount})
    assert (status, said["error"]["code"]) == (422, "amount_refused")
    assert why in said["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"amount": 18.5}', b'{"amount": 1850}', b"null", b'{"amount": "1", "surprise": 1}', b"\xff",
     b'{"amount": "1", "title": "\\u202e"}', b'{"amount": "1", "title": "' + b"x" * 65 + b'"}',
     b'{"amount": "1", "expires_in_s": 0}', b'{"amount": "1", "expires_in_s": true}', b"[" * 9000],
)  # fmt: skip
def test_a_malformed_request_is_refused_and_changes_nothing(scene: Any, body: bytes) -> None:
    before = len(scene.fleet.http("GET", "/v1/orders?limit=1000")[1])
    good = body.replace(b'"amount": "1"', b'"box": "' + scene.box.id.encode() + b'", "amount": "1"')
    status, said = scene.fleet.http("POST", "/v1/orders", good)
    assert status == 422, said
    assert "error" in said
    assert len(scene.fleet.http("GET", "/v1/orders?limit=1000")[1]) == before


def test_an_order_asked_for_again_with_its_key_is_the_same_one_and_another_sum_under_it_is_refused(scene: Any) -> None:
    def ask(amount: str) -> Any:
        wanted = {"box": scene.box.id, "amount": amount, "key": "receipt:4711"}
        return scene.fleet.http("POST", "/v1/orders", wanted)

    (status, first), (_, again) = ask("1.00"), ask("1.00")
    assert status == 201
    assert again["order_id"] == first["order_id"]
    status, said = ask("2.00")
    assert (status, said["error"]["code"]) == (422, "request_refused")
    ids = [order["order_id"] for order in scene.fleet.http("GET", "/v1/orders?limit=1000")[1]]
    assert ids.count(first["order_id"]) == 1


def test_a_body_larger_than_any_request_is_cut_off(scene: Any) -> None:
    assert scene.fleet.http("POST", "/v1/orders", b'{"amount": "' + b"1" * 100_000 + b'"}')[0] == 413
    assert scene.fleet.http("POST", "/v1/orders", b"x", headers={"Content-Type": "text/plain"})[0] == 415


def test_an_unknown_box_order_or_page_is_not_found(scene: Any) -> None:
    assert (
        scene.fleet.http("POST", "/v1/orders", {"box": "kf-nobody", "amount": "1"})[1]["error"]["code"] == "box_unknown"
    )
    assert scene.fleet.http("GET", "/v1/orders/o-nothing")[1]["error"]["code"] == "not_found"
    assert scene.fleet.http("GET", "/v1/enrolments/c-nothing")[1]["error"]["code"] == "not_found"
    assert scene.fleet.http("GET", "/../fleet_key.pem")[0] == 404
    assert scene.fleet.http("DELETE", "/v1/orders")[0] == 405


def test_an_enrolment_reaches_the_box_and_ends_as_the_box_says(scene: Any, wait_for: Callable[..., Any]) -> None:
    wanted = {"box": scene.box.id, "payer": "ada", "balance": "5.00", "purposes": ["pay"], "notice_version": "2026-1"}
    status, view = scene.fleet.http("POST", "/v1/enrolments", wanted)
    assert (status, view["status"], view["account_opened"]) == (201, "sent", True)
    command = wait_for(
        lambda: [b for b in scene.box.bodies if getattr(b, "command_id", None) == view["command_id"]],
        what="the command",
    )[0]
    assert (command.command, command.args["handle"], command.args["purposes"]) == ("enrol", "ada", ["pay"])

    def status_now() -> str:
        return str(scene.fleet.http("GET", f"/v1/enrolments/{view['command_id']}")[1]["status"])

    at = int(time.time())
    for event, then in (("enrol.open", "on_box"), ("enrol.done", "done"), ("enrol.failed", "done")):
        scene.box.send("event", {"event": event, "at": at, "command_id": view["command_id"]})
        wait_for(lambda then=then: status_now() == then, what=then)  # type: ignore[misc]
    assert scene.fleet.balance("payer:ada") == 500
    again = scene.fleet.http("POST", "/v1/enrolments", wanted | {"balance": "900.00"})[1]
    assert again["account_opened"] is False
    assert scene.fleet.balance("payer:ada") == 500


def test_another_box_can_not_end_a_command_or_cancel_an_order(scene: Any) -> None:
    order = scene.new_order()
    view = scene.fleet.http("POST", "/v1/enrolments", {"box": scene.box.id, "payer": "eve", "purposes": ["pay"]})[1]
    other = scene.another_box()
    other.connect()
    at = int(time.time())
    other.send("event", {"event": "enrol.done", "at": at, "command_id": view["command_id"]})
    other.send("event", {"event": "order.cancelled", "at": at, "order_id": order["order_id"]})
    other.send("pay.query", {"order_id": order["order_id"], "attempt": 1})
    other.answer(order["order_id"])  # whatever was sent before has been seen
    assert scene.fleet.http("GET", f"/v1/enrolments/{view['command_id']}")[1]["status"] == "sent"
    assert scene.pay(order).status == "approved"


def test_a_box_without_a_clock_is_told_the_time_for_its_nonce(scene: Any, wait_for: Callable[..., Any]) -> None:
    scene.box.signer = type(scene.box.signer)(scene.box.key, scene.box.id, scene.box.id, lambda: 0)
    scene.box.send("time.request", {"nonce": "n-123"})
    told = wait_for(lambda: [b for b in scene.box.bodies if getattr(b, "nonce", None) == "n-123"], what="the time")[0]
    assert abs(told.now - time.time()) < 5


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Debian's chromium is not installed (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, scene: Any) -> Iterator[Any]:
    """With nothing of another page's: a context of its own."""
    page = browser.new_page(viewport={"width": 420, "height": 680})
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    yield page
    page.close()
    assert page.problems == []


def till_link(scene: Any) -> str:
    code, said, _ = scene.fleet.cli("till")
    assert code == 0
    return str(said["till"]).replace("/till#", f"/till?box={scene.box.id}#")


def test_the_gateway_says_where_the_till_is_and_nobody_the_way_in(scene: Any) -> None:
    token = (scene.fleet.state / "till_token").read_text().strip()
    assert scene.fleet.facts["till"] == scene.fleet.facts["http"] + "/till"
    assert token not in json.dumps(scene.fleet.facts) + (scene.fleet.state / "gateway.log").read_text()
    assert till_link(scene).endswith(f"#{token}")


def open_till(page: Any, scene: Any) -> None:
    page.goto(till_link(scene))
    page.wait_for_function(f"document.getElementById('box').value === '{scene.box.id}'")


def test_a_clerk_types_an_amount_charges_and_sees_the_order_through(page: Any, scene: Any) -> None:
    open_till(page, scene)
    page.wait_for_selector("#dot.on")
    assert page.is_disabled("#charge")
    page.keyboard.type("18.505")  # a third decimal is not taken
    assert page.inner_text("#amount") == "18.50"
    page.fill("#title", "拿铁 Latte")
    page.click("#charge")
    page.wait_for_selector("text=Sent, waiting for the box")
    order = next(o for o in scene.fleet.http("GET", "/v1/orders")[1] if o["box"] == scene.box.id)
    assert (order["amount_minor"], order["title"]) == (1850, "拿铁 Latte")
    scene.box.send("event", {"event": "order.open", "at": int(time.time()), "order_id": order["order_id"]})
    page.wait_for_selector("text=The payer may look at the box")
    scene.box.send("pay.request", scene.box.request(order))
    page.wait_for_selector("text=Charged, waiting for the box's word")
    assert page.is_disabled("#charge")
    scene.box.confirm(order["order_id"])
    page.wait_for_selector(".verdict.good")
    page.wait_for_function("document.getElementById('taken').textContent === '¥18.50'")
    page.click("#charge")
    assert page.inner_text("#amount") == "0"


def test_a_clerk_sees_why_a_payment_was_declined_and_the_second_attempt_succeed(page: Any, scene: Any) -> None:
    open_till(page, scene)
    page.keyboard.type("20")
    page.click("#charge")
    page.wait_for_selector("#follow", state="visible")
    order = next(o for o in scene.fleet.http("GET", "/v1/orders")[1] if o["box"] == scene.box.id)
    scene.box.send("pay.request", scene.box.request(order, payer="nobody"))
    page.wait_for_selector("text=No account for this payer")
    scene.box.send("pay.request", scene.box.request(order, attempt=2))
    scene.box.answer(order["order_id"], 2)
    scene.box.confirm(order["order_id"], 2)
    page.wait_for_selector(".verdict.good")


def test_without_its_key_the_till_says_what_to_do(page: Any, scene: Any) -> None:
    page.goto(scene.fleet.facts["http"] + "/till")
    page.wait_for_selector("text=Open the link that `kingfisher-fleet till` prints")
    assert page.is_disabled("#charge")


def test_the_till_works_in_a_frame_of_another_loopback_page(page: Any, scene: Any, tmp_path: Path) -> None:
    till = till_link(scene)
    (tmp_path / "index.html").write_text(f'<iframe src="{till}" width=340 height=310>')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/index.html")
        frame = page.frame_locator("iframe")
        frame.locator("#keys button", has_text="7").click(timeout=10_000)
        page.wait_for_timeout(300)
        frame.locator("#charge").click()
        frame.locator("text=Sent, waiting for the box").wait_for()
        box = frame.locator("footer").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 330  # it fits without scrolling
    finally:
        server.shutdown()


def test_the_door_listens_on_loopback_only(scene: Any) -> None:
    host, port = scene.fleet.facts["http"].removeprefix("http://").rsplit(":", 1)
    assert host == "127.0.0.1"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", int(port)), timeout=1)
    assert scene.fleet.cli("gateway", "--http", "0.0.0.0:0", check=False)[0] == 1
