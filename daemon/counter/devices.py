"""The devices around a counter, built from the config: scanner, till's line, printer; and the floor that they serve."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from daemon.books.box_db import BoxDb
from daemon.box_events import BoxEvent, CatalogueBrought, ClerkChecked, ConditionChanged, Scanned, TillSaid
from daemon.config.model import Config
from daemon.counter import catalogue_file, machine, take_back
from daemon.counter.catalogue import Catalogue
from daemon.counter.catalogue_fetch import CatalogueFetcher
from daemon.counter.errors import CatalogueRefused
from daemon.counter.floor import Floor
from daemon.device_watch import DeviceWatch
from daemon.enrolment.authority import authority_of
from daemon.enrolment.pin_check import PinDesk
from daemon.logs import note
from daemon.receipts.printable import Paper
from daemon.receipts.printing import NO_PAPER, NO_PRINTER, ReceiptPrinter
from daemon.till.desk import TillRules
from daemon.till.protocol import PROTOCOLS
from daemon.till.serial_till import SerialTill
from daemon.uplink.clock import TrustedClock
from hal.drivers import Rig, build_printer, build_scanner
from mqtt.schemas import Body

log = logging.getLogger("daemon.counter.devices")

NO_SCANNER, NO_TILL, CATALOGUE_REFUSED = "no_scanner", "no_till", "catalogue_refused"
CONDITIONS = (NO_SCANNER, NO_TILL, NO_PRINTER, NO_PAPER, CATALOGUE_REFUSED)

Put = Callable[[BoxEvent], None]


def open_floor(
    config: Config, rig: Rig, db: BoxDb, put: Put, parts: ExitStack, *, box_id: str, fleet_key: Ed25519PublicKey,
    clock: TrustedClock, say: Callable[[str, Body], None],
) -> Floor:  # fmt: skip
    """Started; `parts` stops them again. None of them keeps the box from starting: what fails is a condition."""
    counter, currency = config.counter, config.box.currency
    scanner = DeviceWatch(
        build_scanner(config.devices.scanner, rig), lambda scan: put(Scanned(scan.text)), _works(put, NO_SCANNER)
    )  # fmt: skip
    parts.callback(scanner.stop)
    pins = PinDesk(authority_of(config), db, clock, lambda *told: put(ClerkChecked(*told)))
    parts.callback(pins.stop)
    floor = Floor(
        counter=machine.Rules(
            currency, counter.max_amount_minor, counter.clerk_amounts,
            _catalogue(config.box.state, fleet_key, box_id, put), counter.idle_s,
        ),
        till=TillRules(currency, counter.max_amount_minor, config.till.max_open),
        take_back=take_back.Rules(
            counter.clerk_refund_up_to_minor, counter.clerk_refund_any_day, counter.idle_s, config.payment.show_s
        ),
        pins=pins,
        catalogues=_fetcher(config.box.state, fleet_key, box_id, say, put, parts),
        order_life_s=counter.order_life_s,
        **_till(config, put, parts),
        **_printer(config, rig, db, put, parts, box_id),
    )  # fmt: skip
    scanner.start()
    return floor


def _catalogue(state: Path, fleet_key: Ed25519PublicKey, box_id: str, put: Put) -> Catalogue | None:
    try:
        found = catalogue_file.load(state, fleet_key, box_id)
    except CatalogueRefused as refused:
        put(ConditionChanged(CATALOGUE_REFUSED, True, "; ".join(refused.errors)))
        return None
    if found is not None:
        note(log, "catalogue", version=found.version, items=len(found.items))
    return found


def _fetcher(
    state: Path, fleet_key: Ed25519PublicKey, box_id: str, say: Callable[[str, Body], None], put: Put,
    parts: ExitStack,
) -> CatalogueFetcher:  # fmt: skip
    def tell(brought: CatalogueBrought) -> None:
        put(ConditionChanged(CATALOGUE_REFUSED, brought.catalogue is None, "; ".join(brought.errors)))
        put(brought)

    fetcher = CatalogueFetcher(state, fleet_key, box_id, say, tell)
    parts.callback(fetcher.stop)
    fetcher.start()
    return fetcher


def _till(config: Config, put: Put, parts: ExitStack) -> dict[str, Callable[..., None]]:
    line = config.till.line
    if line is None:
        return {}
    from hal.serial_line import SerialLine, SerialOptions  # brings pyserial, which other boxes need not load

    options = SerialOptions(path=line.path, baud=line.baud, parity=line.parity, stop_bits=line.stop_bits)
    till = SerialTill(
        SerialLine(options), PROTOCOLS[config.till.protocol](), lambda request: put(TillSaid(request)),
        _works(put, NO_TILL),
    )  # fmt: skip
    parts.callback(till.stop)
    till.start()
    return {"say": till.say}


def _printer(
    config: Config, rig: Rig, db: BoxDb, put: Put, parts: ExitStack, box_id: str
) -> dict[str, Callable[..., None]]:
    if config.devices.printer.type == "null":
        return {}
    receipts = config.receipts
    paper = Paper(receipts.width, receipts.language, receipts.encoding, receipts.qr)
    printer = ReceiptPrinter(
        build_printer(config.devices.printer, rig), paper, shop=config.box.shop, box_id=box_id,
        locale=config.box.locale, open_reader=db.reader,
        tell=lambda name, why: put(ConditionChanged(name, why is not None, why or "")),
    )  # fmt: skip
    parts.callback(printer.stop)
    printer.start()
    return {"print_receipt": printer.print}


def _works(put: Put, condition: str) -> Callable[[bool, str], None]:
    return lambda works, why: put(ConditionChanged(condition, not works, why))
