"""An order may say how its payer is to be known; a phone number in it is sent, and never kept."""

from __future__ import annotations

from contextlib import closing
from typing import get_args

import pytest

from daemon.payment.flows import FLOWS, IDENTITY
from fleet.database import open_database
from mqtt.schemas import OrderFlow

PHONE = "13800138000"


def ask(scene, *more):
    return scene.fleet.cli("order", "--box", scene.box.id, "--amount", "9.90", *more)


def test_every_way_that_pays_can_be_asked_for():
    assert set(get_args(OrderFlow)) == set(FLOWS) - {IDENTITY.name}


def test_the_way_and_the_phone_reach_the_box(scene, wait_for):
    order_id = ask(scene, "--flow", "phone_first", "--phone", PHONE, "--title", "Soup")[1]["order_id"]
    [body] = wait_for(lambda: [o for o in scene.box.orders() if o.order_id == order_id], what="the order")
    assert (body.flow, body.phone, body.title) == ("phone_first", PHONE, "Soup")


def test_an_order_that_is_sent_again_still_says_how_it_is_to_be_paid(scene, wait_for):
    order_id = ask(scene, "--flow", "phone_first", "--phone", PHONE)[1]["order_id"]
    wait_for(lambda: [o for o in scene.box.orders() if o.order_id == order_id], what="the order")
    scene.box.link.drop()
    again = wait_for(lambda: [o for o in scene.box.orders() if o.order_id == order_id][1:], what="the order again")
    assert (again[0].flow, again[0].phone) == ("phone_first", PHONE)


def test_the_phone_stands_in_no_row_of_the_ledger(scene, wait_for):
    order_id = ask(scene, "--flow", "phone_first", "--phone", PHONE)[1]["order_id"]
    wait_for(lambda: [o for o in scene.box.orders() if o.order_id == order_id], what="the order")
    with closing(open_database(scene.fleet.state / "ledger.db")) as ledger:
        row = dict(ledger.execute("SELECT * FROM orders WHERE order_id = ?", (order_id,)).fetchone())
    assert row["flow"] == "phone_first"
    assert PHONE not in str(row)
    assert PHONE not in str(scene.fleet.cli("orders")[1])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [(("--flow", "by_smell"), "flow"), (("--phone", "12"), "phone"), (("--phone", "13800A38000"), "phone")],
)
def test_what_is_no_way_and_no_number_is_refused_by_name(scene, wrong, named):
    code, _, said = scene.fleet.cli("order", "--box", scene.box.id, "--amount", "9.90", *wrong, check=False)
    assert code == 1
    assert named in said
