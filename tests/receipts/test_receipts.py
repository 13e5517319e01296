"""Receipts: exact to the last fen, in columns that Chinese letters do not break, without a word about the payer."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from daemon.books import own_orders, payments, receipt_numbers
from daemon.books.box_db import BoxDb
from daemon.payment.money import Amount
from daemon.receipts import receipt as receipts
from daemon.receipts.columns import between, centred, cut, printable, width, wrapped
from daemon.receipts.errors import ReceiptRefused
from daemon.receipts.printable import Paper, printed, qr_picture
from daemon.receipts.printing import NO_PAPER, NO_PRINTER, ReceiptPrinter
from daemon.receipts.receipt import Receipt
from daemon.receipts.text import WIDTHS, lines_of
from hal.printer_serial import ASK_PAPER, SerialPrinter, SerialPrinterOptions

BOX = "kf-md72ylla4sl3bbi5"
ORDER = f"{BOX}-1800000000-5f2c81a09be4"
GOODS = [
    {"name": "矿泉水 Water 550 ml", "quantity": 2, "grams": None, "by_label": False, "price_minor": 200, "tax_bp": 1300,
     "tax_minor": 46, "total_minor": 400},
    {"name": "苹果", "quantity": 1, "grams": 452, "by_label": False, "price_minor": 1280, "tax_bp": 900,
     "tax_minor": 48, "total_minor": 579},
    {"name": "A salad with a name that is longer than any roll is wide, as shops like them", "quantity": 1,
     "grams": None, "by_label": True, "price_minor": 990, "tax_bp": 600, "tax_minor": 70, "total_minor": 1234},
]  # fmt: skip


@pytest.fixture
def box_db(tmp_path: Path) -> Iterator[BoxDb]:
    db = BoxDb(tmp_path / "box.db", (payments.create_schema, own_orders.create_schema, receipt_numbers.create_schema))
    yield db
    db.close()


def sold(db: BoxDb, *, order_id: str = ORDER, minor: int = 2213, status: str = "approved", goods=GOODS) -> str:
    def write(tx: sqlite3.Connection) -> None:
        tx.execute(
            "INSERT INTO orders (order_id, amount_minor, currency, title, expires_at, received_at, status)"
            " VALUES (?, ?, 'CNY', 'Latte', 9, 1, ?)",
            (order_id, minor, status),
        )
        tx.execute(
            "INSERT INTO attempts (order_id, attempt, amount_minor, currency, payer, factors, channel, flow, duress,"
            " status, reference, changed_at)"
            " VALUES (?, 1, ?, 'CNY', 'grace_hopper', 'face,pin', 'simulated', 'face_first', 0, ?, 'R0000000002',"
            " 1800000010)",
            (order_id, minor, status),
        )
        if goods is not None:
            tx.execute(
                "INSERT INTO own_orders (order_id, source, reference, lines, made_at) VALUES (?, 'cart', NULL, ?, 1)",
                (order_id, json.dumps(goods)),
            )

    db.run(write)
    return order_id


def of(db: BoxDb, order_id: str = ORDER) -> Receipt:
    return receipts.of(db.reader(), order_id, "翠鸟咖啡 Kingfisher Coffee", BOX)


def test_what_coupons_and_points_took_off_stands_between_the_goods_and_what_was_paid(box_db):
    sold(box_db)
    box_db.run(lambda tx: tx.execute("UPDATE attempts SET amount_minor = 2000"))
    receipt = of(box_db)
    assert (receipt.amount_minor, receipt.off_minor) == (2000, 213)
    assert receipt.taxes == ((600, 63), (900, 43), (1300, 42))
    text = "\n".join(lines_of(receipt, 32, "en"))
    assert text.index("22.13") < text.index("-2.13") < text.index("20.00")
    assert "&a=2000" in receipt.qr_text


def test_a_receipt_sums_up_to_what_was_paid(box_db):
    sold(box_db)
    receipt = of(box_db)
    assert sum(line.total_minor for line in receipt.lines) == receipt.amount_minor == 2213
    assert receipt.taxes == ((600, 70), (900, 48), (1300, 46))
    text = "\n".join(lines_of(receipt, 32, "en"))
    for part in ("22.13", "2 x 2.00", "0.452 kg x 12.80", "12.34", "of it tax 13%", "0.46", "R0000000002"):
        assert part in text


def test_a_receipt_says_nothing_about_the_payer(box_db):
    sold(box_db)
    receipt = of(box_db)
    said = "\n".join(lines_of(receipt, 48, "en")) + repr(receipt) + receipt.qr_text
    for word in ("grace", "face,pin", "pin", "face_first"):
        assert word not in said


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("locale", ["zh-CN", "en"])
def test_no_line_is_wider_than_the_roll_and_sums_stand_at_its_edge(box_db, columns, locale):
    sold(box_db)
    lines = lines_of(of(box_db), columns, locale)
    assert max(width(line) for line in lines) == columns
    assert [width(line) for line in lines if line.endswith(("22.13", "4.00", "5.79", "12.34"))] == [columns] * 4


def test_lines_that_do_not_sum_up_are_never_printed(box_db):
    sold(box_db, minor=2214)
    with pytest.raises(ReceiptRefused, match="do not sum up"):
        of(box_db)


@pytest.mark.parametrize("status", ["declined", "reversed", "cancelled", "querying"])
def test_what_was_not_paid_has_no_receipt(box_db, status):
    sold(box_db, status=status)
    with pytest.raises(ReceiptRefused, match="not paid"):
        of(box_db)
    with pytest.raises(ReceiptRefused, match="never had it"):
        of(box_db, "o1")


def test_an_order_of_the_fleet_has_its_title(box_db):
    sold(box_db, goods=None)
    assert "Latte" in lines_of(of(box_db), 32, "en")


def test_yen_and_dinars_have_their_own_decimals():
    for currency, minor, shown in (("JPY", 1850, "1850"), ("KWD", 1250, "1.250")):
        receipt = Receipt("Shop", BOX, ORDER, 0, minor, currency, None, "R1", None)
        assert Amount(minor, currency)
        assert any(line.endswith(f" {shown}") for line in lines_of(receipt, 32, "en"))


# ---- columns --------------------------------------------------------------------------------------------------------


def test_a_chinese_letter_takes_two_columns():
    assert [width(text) for text in ("abc", "中文", "全角ＡＢ", "é", "e\u0301")] == [3, 4, 8, 1, 1]
    assert between("苹果", "5.79", 16) == ["苹果        5.79"]
    assert cut("中文", 3) == "中"
    assert centred("中文", 10) == "   中文"


@given(st.text(), st.integers(2, 48))
def test_wrapped_text_fits_and_loses_nothing_but_spaces(text, columns):
    lines = wrapped(printable(text), columns)
    assert all(width(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(printable(text).split())


@given(st.text(max_size=60), st.text(alphabet="0123456789.", min_size=1, max_size=12), st.integers(24, 48))
def test_a_sum_is_never_cut(left, right, columns):
    lines = between(printable(left), right, columns)
    assert lines[-1].endswith(right)
    assert width(lines[-1]) == columns


def test_a_name_can_not_talk_to_the_printer(box_db):
    sold(box_db, goods=[GOODS[0] | {"name": "a\x1b@b\x1dV\x00", "total_minor": 2213}])
    assert b"\x1dV\x00" not in printed(of(box_db), Paper(language="text", encoding="utf-8"), "en")


# ---- bytes ----------------------------------------------------------------------------------------------------------


def test_escpos_bytes_hold_the_text_the_code_and_the_cut(box_db):
    sold(box_db)
    data = printed(of(box_db), Paper(), "zh-CN")
    assert data.startswith(b"\x1b@")
    assert b"\x1c&" in data
    assert "矿泉水".encode("gb18030") in data
    assert "合计 CNY".encode("gb18030") in data
    assert b"\x1dv0\x00" in data  # GS v 0: the code as a raster picture
    assert data.endswith(b"\x1dV\x00")
    without = printed(of(box_db), Paper(qr=False, encoding="cp437"), "en")
    assert b"\x1dv0" not in without
    assert b"???" in without  # a printer without Chinese letters


def test_the_code_on_the_receipt_can_be_read_back(box_db):
    sold(box_db)
    receipt = of(box_db)
    assert receipt.qr_text == f"kingfisher:1?o={ORDER}&a=2213&c=CNY&t=1800000010&r=R0000000002"
    picture = qr_picture(receipt.qr_text)
    pixels = np.asarray(picture.resize((picture.width // 4, picture.height // 4), Image.Resampling.NEAREST))
    assert pixels[:4].all()
    assert not pixels[4, 4:11].any()  # a finder pattern in the corner


# ---- the printer's thread -------------------------------------------------------------------------------------------


class PaperRoll:
    """The printer's end of a cable: answers for its paper, keeps what was printed."""

    def __init__(self) -> None:
        self.far, near = os.openpty()
        tty.setraw(self.far)
        tty.setraw(near)
        self.path = Path(os.ttyname(near))
        self.paper = 0x12
        self.got = b""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                data = os.read(self.far, 4096)
            except OSError:
                return
            if data.endswith(ASK_PAPER):
                os.write(self.far, bytes([self.paper]))
                data = data[: -len(ASK_PAPER)]
            self.got += data


def wait(true, within_s=60.0):
    until_s = time.monotonic() + within_s
    while not true() and time.monotonic() < until_s:
        time.sleep(0.02)
    assert true()


@pytest.fixture
def roll() -> PaperRoll:
    return PaperRoll()


@pytest.fixture
def receipt_printer(box_db, roll, monkeypatch):
    monkeypatch.setattr("daemon.receipts.printing.AGAIN_S", 0.05)
    told: list[tuple[str, str | None]] = []
    printer = ReceiptPrinter(
        SerialPrinter(SerialPrinterOptions(path=roll.path)), Paper(language="text", encoding="utf-8"), shop="Shop",
        box_id=BOX, locale="en", open_reader=box_db.reader, tell=lambda *news: told.append(news),
    )  # fmt: skip
    printer.start()
    yield printer, told
    printer.stop()


def test_a_receipt_comes_out_of_the_printer(box_db, roll, receipt_printer):
    receipt_printer[0].print(sold(box_db))
    wait(lambda: b"Thank you" in roll.got)
    assert roll.got.decode().rstrip("\n").splitlines() == lines_of(of_shop(box_db), 32, "en")


def of_shop(db):
    return receipts.of(db.reader(), ORDER, "Shop", BOX)


def test_without_paper_the_receipt_waits_and_the_condition_has_a_name(box_db, roll, receipt_printer):
    printer, told = receipt_printer
    roll.paper = 0x72
    printer.print(sold(box_db))
    wait(lambda: told and told[-1][0] == NO_PAPER)
    assert told[-1][1] is not None
    assert b"Thank" not in roll.got
    roll.paper = 0x12
    wait(lambda: b"Thank you" in roll.got)
    wait(lambda: told[-1] == (NO_PAPER, None))


def test_a_printer_that_is_gone_holds_nobody_up(box_db, tmp_path, monkeypatch):
    monkeypatch.setattr("daemon.receipts.printing.AGAIN_S", 1.0)
    told = []
    options = SerialPrinterOptions(path=tmp_path / "nothing")
    printer = ReceiptPrinter(
        SerialPrinter(options), Paper(language="text"), shop="Shop", box_id=BOX, locale="en",
        open_reader=box_db.reader, tell=lambda *news: told.append(news),
    )  # fmt: skip
    printer.start()
    order_id = sold(box_db)
    began_s = time.monotonic()
    for _ in range(50):
        printer.print(order_id)
    assert time.monotonic() - began_s < 20  # fifty tries to open it would take longer
    wait(lambda: told and told[0][0] == NO_PRINTER)
    printer.stop()


def test_an_order_that_can_not_have_a_receipt_does_not_hold_up_the_next(box_db, roll, receipt_printer):
    printer, _ = receipt_printer
    printer.print("nobody-knows-it")
    printer.print(sold(box_db))
    wait(lambda: b"Thank you" in roll.got)
