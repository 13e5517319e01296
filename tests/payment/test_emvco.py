"""Codes that a payer's app reads: as the specification has them, and nothing that is not quite one."""

from __future__ import annotations

import pytest

from daemon.payment import emvco
from daemon.payment.money import DECIMALS, Amount

# The merchant-presented example of the specification itself, with names in two scripts (EMV QRCPS MPM, annex).
PUBLISHED = (
    "00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678520441115802CN5914BEST TRANSPORT"
    "6007BEIJING64200002ZH0104最佳运输0202北京540523.7253031565502016233030412340603***0708A60086670902ME"
    "91320016A0112233449988770708123456786304A13A"
)
SHOP = emvco.Merchant("com.example.pay", "M-0001", "Kingfisher", "Shanghai", "5814")


def test_the_check_value_of_the_crc():
    assert emvco.crc16(b"123456789") == 0x29B1
    assert emvco.crc16(b"") == 0xFFFF


def test_the_specifications_own_example_is_read():
    found = emvco.read(PUBLISHED)
    assert (found["59"], found["60"], found["54"], found["53"]) == ("BEST TRANSPORT", "BEIJING", "23.72", "156")
    assert emvco.objects(found["64"])["01"] == "最佳运输"


def test_what_is_made_is_read_again():
    code = emvco.payload(SHOP, Amount(1850, "CNY"), "o1800000000-5f2c81a09be4", 2)
    found = emvco.read(code)
    assert (found["00"], found["01"], found["52"], found["58"]) == ("01", "12", "5814", "CN")
    assert (found["53"], found["54"], found["59"], found["60"]) == ("156", "18.50", "Kingfisher", "Shanghai")
    assert emvco.objects(found["26"]) == {"00": "com.example.pay", "01": "M-0001"}
    assert emvco.objects(found["62"]) == {"01": "o1800000000-5f2c81a09be4", "05": "2"}


@pytest.mark.parametrize(
    ("minor", "currency", "text", "number"),
    [(1850, "JPY", "1850", "392"), (1234, "KWD", "1.234", "414"), (1, "CNY", "0.01", "156")],
)
def test_amounts_have_their_currencys_decimals(minor, currency, text, number):
    found = emvco.read(emvco.payload(SHOP, Amount(minor, currency), "o1", 1))
    assert (found["54"], found["53"]) == (text, number)


def test_every_wrong_character_is_noticed():
    code = emvco.payload(SHOP, Amount(1850, "CNY"), "o1", 1)
    for place in range(len(code) - 8):
        wrong = code[:place] + chr(ord(code[place]) ^ 1) + code[place + 1 :]
        with pytest.raises(emvco.CodeRefused):
            emvco.read(wrong)


@pytest.mark.parametrize("text", ["", "6304", "00020163041D3D", "hello", "000201" * 3, "00FF0163041234", "0002016304"])
def test_what_is_no_code_is_refused_by_name(text):
    with pytest.raises(emvco.CodeRefused):
        emvco.read(text)


def test_a_long_order_id_still_fits_and_names_one_order():
    long = "kf-aaaaaaaaaaaaaaaa-1800000000-" + "b" * 30
    assert len(emvco.bill_number(long)) == 25
    assert emvco.bill_number(long) != emvco.bill_number(long + "c")


def test_a_name_that_does_not_fit_is_refused_by_its_number():
    with pytest.raises(emvco.CodeRefused, match="59"):
        emvco.payload(emvco.Merchant("s", "a", "n" * 26, "c"), Amount(1, "CNY"), "o1", 1)


def test_a_currency_without_a_number_is_refused():
    with pytest.raises(emvco.CodeRefused, match="currency"):
        emvco.payload(SHOP, Amount(1, "CLF"), "o1", 1)
    assert set(emvco.NUMERIC) < set(DECIMALS)
