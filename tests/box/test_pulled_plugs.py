"""Things that die while money is on its way: afterwards there is one charge, and both sides say the same."""

from __future__ import annotations

from contextlib import closing

from daemon.books.box_db import open_reader
from fleet.demo.hands import Hands
from fleet.demo.town import wait_until


def tries_at_the_box(shop) -> int:
    with closing(open_reader(shop.town.box_db)) as reader:
        return int(reader.execute("SELECT count(*) FROM pin_tries").fetchone()[0])


def reconnect(shop):
    """New hands at a box that was started anew."""
    shop.hands.__exit__()
    shop.hands = Hands(shop.town.page_url, shop.town.folder / "screens")
    shop.hands.__enter__()


def test_the_box_is_killed_between_submitted_and_the_answer(open_shop):
    shop = open_shop(gateway_options=("--delay-s", "6"))
    shop.enrol("grace_hopper")
    order_id = shop.up_to_pin()
    shop.type_pin("2580")
    shop.hands.wait_screen("Processing")
    assert wait_for_attempt(shop, order_id)
    shop.town.services["box"].kill()
    shop.town.start_box()
    reconnect(shop)
    assert shop.hands.wait_event("recovered")["unsettled"] == 1
    shop.hands.wait_event("answer_arrived", status="approved")
    assert shop.outcome(order_id)["status"] == "approved"
    assert shop.charges(order_id) == 1
    assert shop.balance("grace_hopper") == "81.50"
    closed = [e["facts"] for e in shop.journal("order_closed") if e["facts"]["order_id"] == order_id]
    assert [c["status"] for c in closed] == ["approved"]
    shop.books_agree()


def wait_for_attempt(shop, order_id, within_s=10.0):
    from fleet.demo.town import wait_until

    def submitted():
        return [e for e in shop.journal("attempt") if e["facts"]["order_id"] == order_id]

    return wait_until(lambda: bool(submitted()), within_s)


def test_the_broker_dies_while_paying(open_shop):
    shop = open_shop(gateway_options=("--delay-s", "1"))
    shop.enrol("grace_hopper")
    order_id = shop.up_to_pin()
    shop.type_pin("2580")
    shop.hands.wait_screen("Processing")
    shop.town.services["broker"].kill()
    shop.hands.wait_screen("Checking")
    shop.town.start_broker()
    screen = shop.hands.wait_screen("Approved", "Declined")
    view = shop.outcome(order_id)
    assert shop.charges(order_id) == (1 if view["status"] == "approved" else 0)
    assert (screen == "Approved") == (view["status"] == "approved")
    shop.books_agree()


def test_a_gateway_slower_than_the_limit_is_asked_until_it_says(open_shop):
    shop = open_shop(gateway_options=("--delay-s", "4"))
    shop.enrol("grace_hopper")
    order_id = shop.up_to_pin()
    shop.type_pin("2580")
    shop.hands.wait_screen("Checking")
    shop.hands.wait_screen("Approved", timeout_s=30)
    assert shop.charges(order_id) == 1
    assert [e["facts"]["status"] for e in shop.journal("attempt")][-1] == "approved"
    shop.books_agree()


def test_three_wrong_pins_lock_the_payer_also_after_a_restart(open_shop):
    shop = open_shop()
    shop.enrol("grace_hopper")
    order_id = shop.up_to_pin()
    for _ in range(3):
        shop.type_pin("0000")
        shop.hands.wait_screen("Processing", "Declined")
        shop.hands.wait_screen("EnterPin", "Declined")
    shop.hands.wait_screen("Declined")
    assert shop.outcome(order_id)["reason"] == "pin_locked"
    assert len(shop.journal("pin_wrong")) == 2
    shop.town.services["box"].kill()
    shop.town.start_box()
    reconnect(shop)
    order_id = shop.up_to_pin()
    shop.type_pin("2580")
    shop.hands.wait_screen("Declined")
    assert shop.outcome(order_id)["reason"] == "pin_locked"
    assert shop.charges(order_id) == 0
    counted = [("grace_hopper", "pin", 3, True)]
    names = ("handle", "factor", "wrong", "locked")
    assert wait_until(lambda: [tuple(o[n] for n in names) for o in shop.town.fleet_json("tries")] == counted, 30)
    shop.town.fleet("tries", "--unlock", "grace_hopper")
    assert wait_until(lambda: tries_at_the_box(shop) == 0, 30)
    order_id = shop.up_to_pin()
    shop.type_pin("2580")
    shop.hands.wait_screen("Approved")
    assert shop.charges(order_id) == 1
    shop.books_agree()


def test_an_open_order_is_taken_up_again_after_a_power_cut(open_shop):
    shop = open_shop()
    shop.enrol("grace_hopper")
    order_id = shop.up_to_pin()
    shop.town.services["box"].kill()
    shop.town.start_box()
    reconnect(shop)
    shop.hands.choose("grace_hopper")
    shop.hands.wait_screen("EnterPin")
    shop.type_pin("2580")
    shop.hands.wait_screen("Approved")
    assert shop.charges(order_id) == 1
