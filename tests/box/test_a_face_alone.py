"""A box where a face alone may pay small sums: whoever stands there turns and blinks first, and a mask pays nothing."""

from __future__ import annotations

import pytest
from box_doubles.acting import Payer, draw

NAME = "eileen"
SETTINGS = """
[payment]
look_s = 8
show_s = 1.5
answer_s = 5
query_first_s = 0.3
query_longest_s = 1

[policy]
pin_free_up_to_minor = 2000
strong_score = 0.5
"""


@pytest.fixture(scope="module")
def pictures(models_folder, portraits_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    draw(portraits_folder, "eileen_collins", models_folder, folder)
    for picture in list(folder.iterdir()):
        picture.rename(folder / picture.name.replace("eileen_collins", NAME))
    return folder


@pytest.fixture(scope="module")
def shop(open_shop, pictures):
    shop = open_shop(settings=SETTINGS, pictures=pictures)
    shop.enrol(NAME)
    return shop


def test_a_payer_who_turns_and_blinks_as_asked_pays_a_small_sum_without_a_pin(shop, pictures):
    shop.hands.wait_rest("Idle")
    order_id = shop.order("18.50")
    shop.hands.wait_screen("Look")
    payer = Payer(shop.hands, pictures, NAME)
    assert payer.pays("Approved", "EnterPin", "Idle") == "Approved"
    shop.hands.choose("nobody")
    view = shop.outcome(order_id)
    assert (view["status"], view["payer"]) == ("approved", NAME)
    assert shop.charges(order_id) == 1
    assert len(set(payer.asked)) >= 2, "a challenge is three acts, each other than the one before"
    [ruling] = [entry["facts"] for entry in shop.journal("ruling") if entry["facts"]["order_id"] == order_id]
    assert (ruling["factor"], ruling.get("raised_by")) == ("none", None)
    shop.books_agree()


def test_a_printed_portrait_that_is_turned_as_asked_turns_no_head_and_pays_nothing(shop, pictures):
    before = shop.balance(NAME)
    shop.hands.wait_rest("Idle")
    order_id = shop.order("18.50")
    shop.hands.wait_screen("Look")
    shop.hands.look_up()
    holder = Payer(shop.hands, pictures, f"{NAME}_mask")
    assert holder.pays("Approved", "EnterPin", "Idle") == "Idle"
    shop.hands.choose("nobody")
    assert shop.hands.wait_event("face_decided", because="challenge")["reason"] == "spoof", "it had looked alive"
    assert shop.outcome(order_id)["status"] == "cancelled"
    assert shop.charges(order_id) == 0
    assert shop.balance(NAME) == before
    shop.books_agree()


def test_above_that_sum_a_pin_is_asked_for_and_nobody_has_to_turn(shop):
    shop.hands.wait_rest("Idle")
    spoken = len(shop.hands.spoken)
    shop.hands.choose(NAME)
    order_id = shop.order("20.01")
    shop.hands.wait_screen("EnterPin")
    assert not any("Turn" in said or "blink" in said for said in shop.hands.spoken[spoken:])
    shop.hands.press("cancel")
    shop.hands.choose("nobody")
    assert shop.outcome(order_id)["status"] == "cancelled"
