"""Goods are scanned, weighed, counted and taken out again; the sum is exact to the last fen."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.counter import barcode, machine, rounding
from daemon.counter import catalogue as catalogues
from daemon.counter.errors import BarcodeRefused, CatalogueRefused

WATER, TEA, APPLES, SALAD = "6901234567892", "036000291452", "12345", "12399"


def ean13(twelve: str) -> str:
    return twelve + str(barcode.check_digit(twelve))


def label(prefix: str, item: str, value: int) -> str:
    """What a shop's scale prints."""
    return ean13(f"{prefix}{item}{value:05}")


def test_two_waters_and_a_tea(clerk):
    clerk = clerk()
    clerk.scan(WATER, WATER, TEA)
    lines = clerk.state.cart.lines
    assert [(line.item.name, line.quantity, line.total_minor) for line in lines] == [
        ("矿泉水 Water", 2, 400), ("绿茶 Green tea", 1, 1850),
    ]  # fmt: skip
    clerk.press("ok")
    assert clerk.orders[0].amount.minor == 2250
    assert clerk.orders[0].cart == clerk.state.cart


def test_a_scale_label_with_a_weight_is_priced_by_the_kilogram(clerk):
    clerk = clerk()
    clerk.scan(label("21", APPLES, 452))
    [line] = clerk.state.cart.lines
    assert (line.grams, line.total_minor) == (452, 579)  # 12.80 * 0.452 = 5.7856


def test_a_scale_label_with_a_price_is_that_price(clerk):
    clerk = clerk()
    clerk.scan(label("22", SALAD, 1234))
    assert clerk.state.cart.total_minor == 1234


def test_each_label_is_a_line_of_its_own_and_its_quantity_is_not_typed(clerk):
    clerk = clerk()
    clerk.scan(label("21", APPLES, 452), label("21", APPLES, 300))
    assert len(clerk.state.cart.lines) == 2
    clerk.press("3")
    assert clerk.state.note.reason == "weighed"
    assert clerk.state.quantity == ""
    clerk.press("back")
    assert [line.grams for line in clerk.state.cart.lines] == [452]


def test_a_quantity_is_typed_for_the_marked_line(clerk):
    clerk = clerk()
    clerk.scan(WATER, TEA)
    clerk.press("dot", "1", "2", "ok")
    assert [line.quantity for line in clerk.state.cart.lines] == [12, 1]
    clerk.press("dot", "9", "back", "2", "ok")
    assert [line.quantity for line in clerk.state.cart.lines] == [12, 2]
    clerk.press("5", "cancel")
    assert [line.quantity for line in clerk.state.cart.lines] == [12, 2]


def test_nought_removes_the_line_and_back_the_marked_one(clerk):
    clerk = clerk()
    clerk.scan(WATER, TEA)
    clerk.press("0", "ok")
    assert [line.item.code for line in clerk.state.cart.lines] == [WATER]
    clerk.press("back")
    assert clerk.state.cart.lines == ()
    clerk.press("ok")
    assert clerk.state.note.reason == "empty"


def test_an_empty_cart_is_left_by_cancel_and_a_full_one_asks_first(clerk):
    clerk = clerk()
    clerk.scan(WATER)
    clerk.press("cancel")
    assert clerk.state.emptying
    clerk.press("cancel")
    assert clerk.state.cart.total_minor == 200
    clerk.press("cancel", "ok")
    assert clerk.state == machine.Closed()
    assert clerk.orders == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("6901234567890", "check_digit"),
        ("4006381333931", "unknown"),
        ("\x02\xff\x00", "unreadable"),
        ("", "unreadable"),
        ("x" * 200, "unreadable"),
        (APPLES, "needs_weight"),
        (label("21", APPLES, 0), "no_weight"),
        (label("21", "54321", 452), "unknown"),
        (label("21", SALAD, 452), "unknown"),
        (label("21", APPLES, 452)[:-1] + "0", "check_digit"),
        ("1234567890123456", "unknown"),
    ],
)
def test_a_barcode_that_says_nothing_is_named_and_changes_nothing(clerk, code, reason):
    clerk = clerk()
    clerk.scan(WATER, code)
    assert clerk.state.note.reason == reason
    assert clerk.state.cart.total_minor == 200
    clerk.now = clerk.state.note.until_s
    clerk.does(machine.Tick())
    assert clerk.state.note is None


def test_upc_a_is_the_ean_13_with_a_zero_before_it(clerk):
    clerk = clerk()
    clerk.scan("0" + TEA, TEA, f"]E0{TEA}")
    assert [line.quantity for line in clerk.state.cart.lines] == [3]


def test_a_cart_stays_below_the_limit_of_an_order(clerk):
    clerk = clerk(limit_minor=2100)
    clerk.scan(TEA, WATER, WATER)
    assert clerk.state.note.reason == "above_limit"
    assert clerk.state.cart.total_minor == 2050
    clerk.press("9", "9", "9", "9", "ok")
    assert clerk.state.note.reason == "above_limit"
    assert clerk.state.cart.total_minor == 2050


def test_without_a_catalogue_or_with_one_in_another_currency_a_scan_says_so(clerk):
    for lacking in (clerk(catalogue=None), clerk("HKD")):
        lacking.scan(WATER)
        assert lacking.state.note.reason == "no_catalogue"
        lacking.press("cancel")
        assert lacking.state == machine.Closed()


def test_a_cart_can_be_filled_where_amounts_may_not_be_typed(clerk):
    clerk = clerk(clerk_amounts=False)
    clerk.scan(WATER)
    clerk.press("3", "ok", "ok")
    assert clerk.orders[0].amount.minor == 600


# ---- rounding and tax -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "rate_bp", "included", "tax", "total"),
    [
        (1000, 1300, False, 130, 1130),
        (50, 900, False, 5, 55),  # 4.5 goes up
        (50, 700, False, 4, 54),  # 3.5 goes up: half even would say 4 too
        (50, 500, False, 3, 53),  # 2.5 goes up: half even would say 2
        (1130, 1300, True, 130, 1130),
        (100, 900, True, 8, 100),
        (1, 1300, True, 0, 1),
    ],
)
def test_tax_is_rounded_half_up_on_each_line(a_document, clerk, listed, rate_bp, included, tax, total):
    items = [{"code": WATER, "name": "w", "price_minor": listed, "tax_bp": rate_bp}]
    found = catalogues.of(a_document(items=items, tax_included=included), "test")
    clerk = clerk(catalogue=found)
    clerk.scan(WATER)
    assert (clerk.state.cart.tax_minor, clerk.state.cart.total_minor) == (tax, total)


def test_the_sum_is_the_sum_of_the_lines_and_not_rounded_anew(a_document, clerk):
    items = [
        {"code": "1111", "name": "a", "price_minor": 50, "tax_bp": 500},
        {"code": "2222", "name": "b", "price_minor": 50, "tax_bp": 500},
    ]
    clerk = clerk(catalogue=catalogues.of(a_document(items=items, tax_included=False), "test"))
    clerk.scan("1111", "2222")
    assert clerk.state.cart.total_minor == 106  # 2.5 + 2.5 on the sum would make 105
    clerk.press("back", "2", "ok")
    assert clerk.state.cart.total_minor == 105


@given(st.integers(0, 10**12), st.integers(1, 20_000))
def test_half_up_is_the_nearest_whole_number(numerator, denominator):
    rounded = rounding.half_up(numerator, denominator)
    assert 2 * abs(rounded * denominator - numerator) <= denominator
    if 2 * (rounded * denominator - numerator) == -denominator:
        pytest.fail("a half went down")


# ---- catalogues -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"currency": "QQQ"}, "QQQ"),
        ({"format": 2}, "format"),
        ({"colour": "red"}, "colour"),
        ({"items": []}, "items"),
        ({"items": [{"code": "6901234567890", "name": "w", "price_minor": 1}]}, "6901234567890"),
        ({"items": [{"code": code, "name": "w", "price_minor": 1} for code in (WATER, "0" + WATER)]}, "twice"),
        ({"items": [{"code": WATER, "name": "w", "price_minor": 0}]}, "items.0.price_minor"),
        ({"items": [{"code": WATER, "name": "w", "price_minor": "200"}]}, "items.0.price_minor"),
        ({"items": [{"code": WATER, "name": "a\x1bb", "price_minor": 1}]}, "items.0.name"),
        ({"items": [{"code": WATER, "name": "w", "price_minor": 1, "tax_bp": 10_001}]}, "items.0.tax_bp"),
        ({"scales": [{"prefix": "30", "carries": "weight"}]}, "scales.0.prefix"),
        ({"scales": [{"prefix": "21", "carries": "weight"}, {"prefix": "21", "carries": "price"}]}, "21"),
        ({"scales": []}, "sold by weight"),
    ],
)  # fmt: skip
def test_a_wrong_catalogue_is_refused_whole_and_by_name(a_document, change, named):
    with pytest.raises(CatalogueRefused, match=named) as refused:
        catalogues.parse(json.dumps(a_document(**change)).encode(), "shop.json")
    assert "shop.json" in str(refused.value)


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b'{"a":1.5}', b"[" * 100_000, b'{"a":NaN}'])
def test_what_is_no_catalogue_is_refused(raw):
    with pytest.raises(CatalogueRefused):
        catalogues.parse(raw, "shop.json")


def test_every_error_of_a_catalogue_is_listed(a_document):
    items = [{"code": WATER, "name": "", "price_minor": -1}, {"code": "", "name": "b", "price_minor": 5}]
    with pytest.raises(CatalogueRefused) as refused:
        catalogues.of(a_document(items=items), "shop.json")
    assert len(refused.value.errors) == 3


@given(st.text(max_size=40))
def test_noise_never_is_goods(text):
    found = catalogues.of({"format": 1, "version": 1, "currency": "CNY", "tax_included": True,
                           "items": [{"code": WATER, "name": "w", "price_minor": 1}]}, "test")  # fmt: skip
    try:
        item = found.find(text).item
    except BarcodeRefused:
        return
    assert WATER in text
    assert item.code == WATER
