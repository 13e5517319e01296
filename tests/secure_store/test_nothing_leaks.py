"""Canaries: after everything a store does, no file, log line or freed memory holds a template, PIN, phone number or
key.
"""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from secure_store import PinResult, Template, keyring
from secure_store.ageing import Ageing
from secure_store.errors import StoreError
from secure_store.hardening import SecretFilter, clean

PIN_LINE = "pin=73915048"
PIN, DURESS, PHONE, CARD = "73915048", "73915049", "13987654321", "11010519491231002X"


@pytest.fixture
def log():
    """Everything that is logged, at the finest level, as a handler with the filter writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(SecretFilter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def slices(blob: bytes, size: int = 12) -> list[bytes]:
    return [blob[at : at + size] for at in range(0, len(blob) - size + 1, size)]


def test_no_canary_in_any_file_or_log_after_a_whole_day(reopen, person, face, model, tmp_path, provider, log) -> None:
    store = reopen()
    known = {"pin": PIN, "duress_pin": DURESS, "phone": PHONE, "id_card": CARD, "links": {"token": "tok-canary"}}
    for number in range(4):
        store.enrol(person(f"p-{number}", number, **known))
    canaries: list[bytes] = []

    def note() -> None:
        records = store._records
        with records.reading():
            canaries.append(records.provider_key)
            canaries.extend(keyring.raw_keks(records.db, records.provider_key, "canteen").values())
            for name in keyring.HELD:
                canaries.append(keyring.open_held(records.db, records.newest, "canteen", name))
            canaries.extend([records.newest.records, records.newest.ring, records.newest.census])
            canaries.extend([records.tenant_keys.factors.pepper, records.tenant_keys.transform])
            canaries.extend(records.row(handle).key for handle in store.people())
        with store.gallery(model, "pay") as gallery:
            canaries.extend(slices(gallery.matrix.tobytes()))

    note()
    assert store.check_pin("p-1", PIN, "pay") is PinResult.OK
    assert store.check_pin("p-1", DURESS, "pay") is PinResult.DURESS
    assert store.find_by_phone(PHONE, "pay")
    store.update_template("p-1", Template(face(31), 0.9, model), "pay", Ageing(every_s=0, same_as_enrolled=-1))
    store.rotate()
    store.renew_transform()
    note()
    store.backup(tmp_path / "backup.db")
    store.export_people(tmp_path / "people.kf", store.public_key())
    store.erase("p-0")
    for wrong in (lambda: store.erase("p-0"), lambda: store.check_pin("p-2", PIN, "support")):
        try:
            wrong()
        except StoreError as error:
            logging.exception("event=store_refused pin=%s phone=%s", PIN, PHONE)
            logging.warning("event=store_refused why=%s face=%s", error, face(1))
    plain = [face(number).tobytes() for number in (0, 1, 2, 3, 31)]
    canaries += [piece for one in plain for piece in slices(one)]
    canaries += [text.encode() for text in (PIN, DURESS, PHONE, CARD, "tok-canary")]
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"store.db", "store.db-wal", "backup.db", "people.kf", "keys.sealed"} <= {path.name for path in files}
    files[Path("log")] = log.getvalue().encode()
    hits = {
        path.name
        for path, content in files.items()
        for canary in canaries
        if canary in content and path != provider.path
    }
    assert hits == set()
    assert "event=store_refused" in log.getvalue()
    key_file = files[provider.path]
    assert [c for c in canaries if c in key_file] == [key_file]  # the provider's own key is there, and nothing else


def test_the_log_filter_withholds_what_looks_like_a_secret(log) -> None:
    logging.warning("pin=%s phone: '%s' id_card=%s key=%s", PIN, PHONE, CARD, "c2VjcmV0")
    logging.warning("called from 139 8765 4321 with %s and %r", np.ones(4), b"secret")
    logging.warning("order=20261121000000000123 amount_minor=1850 at=1795278600 box=kf-13987654321")
    shown = log.getvalue()
    for secret in (PIN, PHONE, CARD, "c2VjcmV0", "8765", "1. 1.", "secret"):
        assert secret not in shown.replace("kf-13987654321", "")
    assert "order=20261121000000000123 amount_minor=1850 at=1795278600" in shown
    assert clean("event=pin_checked result=ok") == "event=pin_checked result=ok"


def test_what_comes_beside_the_message_is_filtered_too() -> None:
    facts = {"pin": PIN, "why": f"phone={PHONE}", "face": np.ones(4), "call": int(PHONE), "tries": [PIN_LINE, 3]}
    record = logging.makeLogRecord({"msg": "pin_checked", "facts": facts | {"amount_minor": 1850, "late": None}})
    assert SecretFilter().filter(record)
    assert SecretFilter().filter(record), "a second handler's filter finds it as the first one left it"
    assert record.__dict__["facts"] == {
        "pin": "<withheld>", "why": "phone=<withheld>", "face": "<withheld>", "call": "<withheld>",
        "tries": ["pin=<withheld>", 3], "amount_minor": 1850, "late": None,
    }  # fmt: skip


def test_a_badly_made_log_line_is_withheld_whole(log) -> None:
    logging.warning("%d templates", "two", "three")
    assert "could not be put together" in log.getvalue()


def flags_of(address: int) -> set[str]:
    """The kernel's flags of the mapping that holds this address."""
    inside = False
    for line in Path("/proc/self/smaps").read_text("ascii", "replace").splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            low, high = (int(part, 16) for part in first.split("-"))
            inside = low <= address < high
        elif inside and first == "VmFlags:":
            return set(line.split()[1:])
    return set()


def test_gallery_memory_is_kept_from_dumps_and_children_and_locked_or_said_not_to_be(store, person, model) -> None:
    store.enrol(person("p-1", 1))
    with store.gallery(model, "pay") as gallery:
        flags = flags_of(gallery.matrix.ctypes.data)
        assert {"dd", "dc"} <= flags
        assert ("lo" in flags) == (gallery.locked_why_not is None)


def test_a_limit_that_forbids_locking_is_said_and_the_box_works_on(reopen, person, folder, provider, model) -> None:
    store = reopen()
    store.enrol(person("p-1", 1))
    store.close()
    said = child(folder, provider, "import resource; resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))", "")
    assert "LimitMEMLOCK" in said or "None" in said  # root of the machine may lock whatever the limit says
    assert "1 row" in said


def child(folder: Path, provider, first: str, last: str) -> str:
    """Opens the gallery in a process of its own, prints what it says of itself."""
    script = f"""
import sys
from pathlib import Path
from secure_store import FileKeyProvider, SecureStore
{first}
key = FileKeyProvider(Path(sys.argv[2]), False)
store = SecureStore.open(Path(sys.argv[1]), key, tenant="canteen", profile="closed-loop")
gallery = store.gallery("ab" * 32, "pay")
print(len(gallery), "row", gallery.locked_why_not)
{last}
"""
    command = [sys.executable, "-c", script, str(folder), str(provider.path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


SEARCH = """
import ctypes, mmap
def found():
    # The needle is made without a copy, and neither it nor the search's own buffer counts.
    needle = (int.from_bytes(bytes.fromhex("MASKED"), "big") ^ int.from_bytes(b"Z" * 32, "big")).to_bytes(32, "big")
    window = mmap.mmap(-1, 1 << 24)
    own = ctypes.addressof(ctypes.c_char.from_buffer(window))
    hits = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps.readlines():
            low, high = (int(part, 16) for part in line.split()[0].split("-"))
            if "rw" not in line.split()[1]:
                continue
            for at in range(low, high, len(window) - 64):
                try:
                    memory.seek(at)
                    size = memory.readinto(memoryview(window)[: min(len(window), high - at)])
                except (OSError, OverflowError):
                    continue
                start = window.find(needle, 0, size)
                while start >= 0:
                    address = at + start
                    hits += not (own <= address < own + len(window) or id(needle) <= address < id(needle) + 96)
                    start = window.find(needle, start + 1, size)
    return hits
before = found()
gallery.close()
print("held", before, "left", found())
"""


def test_of_a_closed_gallery_nothing_is_left_in_the_process(reopen, person, folder, provider, model) -> None:
    store = reopen()
    store.enrol(person("p-1", 1))
    with store.gallery(model, "pay") as gallery:
        masked = bytes(byte ^ ord("Z") for byte in gallery.matrix.tobytes()[:32])
    store.close()
    assert "held 1 left 0" in child(folder, provider, "", SEARCH.replace("MASKED", masked.hex()))


def test_a_hardened_process_leaves_no_core_and_names_what_it_lacks() -> None:
    script = """
        import resource
        from secure_store.hardening import harden_process
        print(harden_process(lock_everything=True))
        print(resource.getrlimit(resource.RLIMIT_CORE))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    assert done[1] == "(0, 0)"
    assert done[0] == "()" or "memory_not_locked" in done[0] or "swap_on" in done[0]
