"""A box that paid: its store is looked after while it serves, and nothing on its card tells who anybody is."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from fleet.demo.town import BOX_NAME
from secure_store import Consent, FileKeyProvider, NewPerson, SecureStore, Template, keyring

PIN, WRONG, DURESS = "739150", "840261", "951372"
PHONE, CARD_NUMBER, TOKEN = "13987654321", "11010519491231002X", "token-canary-77"
PAYER, GUEST = "m-4711", "m-4712"


def tenant(shop) -> str:
    return str(
        json.loads(shop.town.kingfisher("config", "show", "--json", "--config", str(shop.town.config)))["box"]["tenant"]
    )


def store_says(shop, *words: str, ok: int = 0):
    return json.loads(shop.town.kingfisher("store", *words, "--json", "--config", str(shop.town.config), ok=(ok,)))


def opened(shop) -> SecureStore:
    state = shop.town.box_db.parent
    return SecureStore.open(
        state / "store", FileKeyProvider(state / "store.key", create=False), tenant=tenant(shop), profile="closed-loop"
    )


def enter(shop) -> None:
    """The box starts, and somebody goes there."""
    shop.town.start_box()
    with suppress(Exception):
        shop.hands.__exit__()
    shop.hands.__init__(shop.town.page_url, shop.town.folder / "screens")
    shop.hands.__enter__()
    shop.hands.wait_screen("Idle")
    shop.hands.wait_event("connected")


@pytest.fixture(scope="module")
def temporary(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def vector() -> np.ndarray:
    drawn = np.random.default_rng(7).standard_normal(512).astype(np.float32)
    return drawn / np.linalg.norm(drawn)


@pytest.fixture(scope="module")
def shop(open_shop, temporary, vector):
    """One payer enrolled at the box; one more of whom it knows phone and ID-card numbers and a very template."""
    shop = open_shop()
    hands = shop.hands
    hands.choose("grace_hopper")
    command = shop.town.begin_fleet(
        "enrol", "--box", BOX_NAME, "--payer", PAYER, "--balance", "100.00", "--wait", "--timeout-s", "60"
    )
    hands.wait_screen("Consent")
    hands.press("ok")
    hands.wait_screen("NewPin")
    hands.press(*PIN, "ok", *PIN, "ok")
    hands.wait_screen("EnrolDone")
    assert command.wait(30) == 0
    shop.town.services["box"].stop()
    with opened(shop) as store:
        [model] = store.status().templates
        consent = Consent(frozenset({"pay"}), "notice-1", 1_790_000_000, "counter")
        store.enrol(
            NewPerson(
                GUEST, (Template(vector, 0.9, model),), consent, pin=PIN, duress_pin=DURESS, phone=PHONE,
                id_card=CARD_NUMBER, links={"token": TOKEN},
            )
        )  # fmt: skip
    enter(shop)
    return shop


def up_to_pin(shop) -> str:
    shop.hands.wait_screen("Idle")
    shop.hands.choose("grace_hopper")
    order_id = shop.order()
    shop.hands.wait_screen("EnterPin")
    return str(order_id)


def test_the_keys_are_rotated_while_a_payer_types_a_pin(shop) -> None:
    before = store_says(shop, "status")
    assert before["people"] == 2
    assert before["conditions"][0] == "key_beside_data"
    order_id = up_to_pin(shop)
    shop.type_pin(WRONG)
    assert store_says(shop, "rotate")["generation"] == before["generation"] + 1
    assert store_says(shop, "rotate", "--transform")["epoch"] == 1
    shop.hands.wait_screen("EnterPin")
    shop.type_pin(PIN)
    shop.hands.wait_screen("Approved")
    assert shop.outcome(order_id)["status"] == "approved"
    order_id = up_to_pin(shop)  # the renewed templates are those the next payer is searched in
    shop.type_pin(PIN)
    shop.hands.wait_screen("Approved")
    assert [len(shop.journal(name)) for name in ("store_rotated", "store_renewed")] == [1, 1]


def test_a_serving_box_is_verified_backed_up_and_tells_a_person_what_it_keeps(shop, tmp_path) -> None:
    shop.hands.choose("nobody")
    shop.hands.wait_screen("Idle")
    found = store_says(shop, "verify")
    assert found["sound"]
    assert sorted(found["readable"]) == [PAYER, GUEST]
    assert store_says(shop, "backup", "--to", str(tmp_path / "box.backup"))["path"] == str(tmp_path / "box.backup")
    assert (tmp_path / "box.backup").stat().st_mode & 0o077 == 0
    assert "pin" in store_says(shop, "show", GUEST)["factors"]


def test_what_wants_the_store_for_itself_says_to_stop_the_daemon(shop, tmp_path) -> None:
    with pytest.raises(Exception, match="systemctl stop kingfisher"):
        store_says(shop, "export", "--for", "ab" * 32, "--to", str(tmp_path / "people.kf"))
    with pytest.raises(Exception, match="systemctl stop kingfisher"):
        store_says(shop, "erase", "--all", "--yes")


def test_after_a_whole_payment_no_file_and_no_log_holds_a_face_a_pin_a_number_or_a_key(
    shop, temporary, vector, tmp_path
) -> None:
    shop.hands.choose("nobody")
    shop.hands.wait_screen("Idle")
    order_id = up_to_pin(shop)
    shop.type_pin(WRONG)
    shop.hands.wait_screen("Processing")
    shop.hands.wait_screen("EnterPin")
    shop.type_pin(PIN)
    assert shop.outcome(order_id)["status"] == "approved"
    assert store_says(shop, "erase", GUEST, "--yes") == {"erased": [GUEST]}
    box, log = shop.town.folder / "box", shop.town.folder / "logs" / "box.log"
    serving = everything_in(box, temporary, log)  # with its write-ahead logs, as a pulled plug leaves it
    assert {"box.db-wal", "store.db-wal"} <= {path.name for path in serving}
    shop.town.services["box"].stop()
    stopped = everything_in(box, temporary, log)
    with opened(shop) as store:
        secrets, faces = canaries_of(store)
    faces.append(vector)
    secrets |= {"template of the guest": vector.tobytes()[:48], "token": TOKEN.encode()}
    secrets |= {"phone": PHONE.encode(), "id card": CARD_NUMBER.encode()}
    key_files = {
        box / "state" / "store.key"
    }  # the `file` provider's own; that it lies here is the box's first condition
    for files in (serving, stopped):
        hits = [
            f"{name} in {path}"
            for path, content in files.items()
            for name, secret in secrets.items()
            for form in (secret, secret.hex().encode(), base64.b64encode(secret)[:-4])
            if form in content and path not in key_files
        ]
        hits += [f"a PIN in {path}" for path, content in files.items() if holds_a_pin(content)]
        hits += [f"a face in {path}" for path, content in files.items() if likest(content, faces) > 0.4]
        hits += [f"a name in {path}" for path, content in files.items() if re.search(rb"(?i)grace.?hopper", content)]
        assert hits == []
    assert b"event=" in stopped[log]


def test_a_box_whose_store_does_not_open_goes_on_and_says_why(shop) -> None:
    shop.town.services["box"].stop()
    key = shop.town.box_db.parent / "store.key"
    right = key.read_bytes()
    key.write_bytes(bytes(32))
    try:
        enter(shop)
        status = json.loads(shop.town.kingfisher("status", "--json", "--config", str(shop.town.config)))
        assert [condition["name"] for condition in status["conditions"]] == ["store_locked"]
        assert "opens nothing in it: it is another box" in status["conditions"][0]["why"]
        found = store_says(shop, "verify", ok=1)
        assert [finding["what"] for finding in found["findings"]] == ["key ring"]
        with pytest.raises(Exception, match="Use the key this store was made with"):
            store_says(shop, "status")
    finally:
        shop.town.services["box"].stop()
        key.write_bytes(right)
        enter(shop)
    assert store_says(shop, "status")["people"] == 1


def test_the_running_box_leaves_no_core_and_its_gallery_is_locked(shop) -> None:
    process = Path(f"/proc/{shop.town.services['box'].process.pid}")
    limits = {line[:26].strip(): line[26:].split() for line in (process / "limits").read_text().splitlines()}
    assert limits["Max core file size"][:2] == ["0", "0"]
    locked = re.search(r"VmLck:\s+(\d+) kB", (process / "status").read_text())
    conditions = json.loads(shop.town.kingfisher("status", "--json", "--config", str(shop.town.config)))["conditions"]
    assert locked is not None
    assert int(locked[1]) > 0 or "memory_not_locked" in {condition["name"] for condition in conditions}


def test_the_search_itself_finds_what_it_is_meant_to_find(vector) -> None:
    noise = np.random.default_rng(8).bytes(30_000)
    for number_type in (np.float16, np.float32, np.float64):
        for at in (0, 1001, 2002, 3003):
            hidden = noise[:at] + (vector * 3).astype(number_type).tobytes() + noise[at:]
            assert likest(hidden, [vector]) > 0.9
    assert likest(noise, [vector]) < 0.3
    assert holds_a_pin(b'key=7\nx key=3\n{"key": "9"} 1 5 0')
    assert holds_a_pin(b"pin is 739150.")
    assert not holds_a_pin(b"at=1795739150 2026-11-21")


def everything_in(*places: Path) -> dict[Path, bytes]:
    """Every file as it lies there, free pages and all."""
    found: dict[Path, bytes] = {}
    for place in places:
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            with suppress(FileNotFoundError):
                if path.is_file():
                    found[path] = path.read_bytes()
    return found


def canaries_of(store: SecureStore) -> tuple[dict[str, bytes], list[np.ndarray]]:
    """All keys of the store, and the payer's face as it was taken and as it is kept."""
    records = store._records
    with records.reading():
        newest, tenant_keys = records.newest, records.tenant_keys
        secrets = {f"kek {n}": k for n, k in keyring.raw_keks(records.db, records.provider_key, records.tenant).items()}
        secrets |= {name: keyring.open_held(records.db, newest, records.tenant, name) for name in keyring.HELD}
        secrets |= {"provider's key": records.provider_key, "records": newest.records, "ring": newest.ring}
        secrets |= {"census": newest.census, "pepper": tenant_keys.factors.pepper, "transform": tenant_keys.transform}
        secrets |= {f"record key of {handle}": records.row(handle).key for handle in store.people()}
        rotation = records.rotation(512, records.census.epoch)
    [model] = store.status().templates
    with store.gallery(model, "pay") as gallery:
        kept = gallery.matrix.mean(axis=0).astype(np.float64)
        secrets["template"] = gallery.matrix[0].tobytes()[:48]
    return secrets, [kept, rotation.T @ kept]


def holds_a_pin(content: bytes) -> bool:
    """The digits in one word, or one by one as keys that were pressed."""
    for pin in (PIN, WRONG, DURESS):
        word = rb"(?<![0-9A-Za-z.])" + pin.encode() + rb"(?![0-9A-Za-z])"
        one_by_one = rb"[^0-9]{1,60}".join(digit.encode() for digit in pin)
        if re.search(word, content) or (content.isascii() and re.search(one_by_one, content)):
            return True
    return False


def likest(content: bytes, faces: list[np.ndarray]) -> float:
    """The highest cosine of any 512 numbers in a row with any of these faces, whichever float type, wherever it is."""
    best = 0.0
    for number_type in (np.float16, np.float32, np.float64):
        size = np.dtype(number_type).itemsize
        for shift in range(size):
            usable = (len(content) - shift) // size
            if usable < 512:
                continue
            with np.errstate(all="ignore"):
                numbers = np.frombuffer(content, number_type, usable, shift).astype(np.float64)
            numbers[~(np.abs(numbers) < 1e3)] = 0.0
            lengths = np.sqrt(np.maximum(np.convolve(numbers**2, np.ones(512), "valid"), 1e-12))
            for face in faces:
                wanted = face.astype(np.float64) / np.linalg.norm(face)
                best = max(best, float((np.abs(np.correlate(numbers, wanted, "valid")) / lengths).max()))
    return best
