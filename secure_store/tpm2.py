"""The key sealed to this box's TPM by systemd-creds, and a counter in the TPM that nobody can turn back."""

from __future__ import annotations

import contextlib
import errno
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from secure_store.durable import fsync_folder, shred, write_durably
from secure_store.errors import KeyMissing
from secure_store.keys import is_kept, key_of
from secure_store.sealed import new_key

CREDENTIAL_NAME = "kingfisher-store"
COUNTER_BYTES = 8


@dataclass(frozen=True)
class Tpm2Options:
    """`device` as systemd-creds takes it (None: the one the system has). `pcrs` binds the key to these registers'
    values.

    The default register 7 is the state of secure boot: another system booted on this box then gets no key, as long
    as its firmware
    measures that. An empty string binds to the TPM alone.
    """

    device: str | None = None
    pcrs: str = "7"
    timeout_s: float = 30.0


class Tpm2KeyProvider:
    """A file that only this box's TPM can open. The card alone gives nothing; the whole box, booted as it was, gives
    the key.
    """

    name = "tpm2"
    warning = None

    def __init__(self, path: Path, create: bool, options: Tpm2Options | None = None) -> None:
        self.path = path
        self._create = create
        self._options = options or Tpm2Options()

    def __repr__(self) -> str:
        return f"Tpm2KeyProvider({str(self.path)!r})"

    def load(self) -> bytes:
        """Raises KeyMissing: no TPM, another box's TPM, or registers that differ from those it was sealed under."""
        if self._create and not is_kept(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._seal(new_key(), self.path)
        return self._unseal(self.path)

    def begin_renewal(self) -> bytes:
        following = self.load_next()
        if following is None:
            following = new_key()
            self._seal(following, self._next)
        return following

    def load_next(self) -> bytes | None:
        return self._unseal(self._next) if is_kept(self._next) else None

    def finish_renewal(self) -> None:
        if is_kept(self._next):
            self._next.replace(self.path)
            fsync_folder(self.path.parent)

    def destroy(self) -> None:
        for path in (self.path, self._next):
            shred(path)

    @property
    def _next(self) -> Path:
        return self.path.with_name(self.path.name + ".next")

    def _seal(self, key: bytes, path: Path) -> None:
        pcrs = f"--tpm2-pcrs={self._options.pcrs}"
        sealed = self._run("encrypt", "--with-key=tpm2", pcrs, f"--name={CREDENTIAL_NAME}", "-", "-", given=key)
        write_durably(path, sealed)

    def _unseal(self, path: Path) -> bytes:
        try:
            sealed = path.read_bytes()
        except OSError as error:
            raise KeyMissing(str(path), f"the sealed key cannot be read ({error.strerror})") from None
        key = self._run("decrypt", f"--name={CREDENTIAL_NAME}", "-", "-", given=sealed)
        return key_of(key, str(path))

    def _run(self, verb: str, *arguments: str, given: bytes) -> bytes:
        device = [f"--tpm2-device={self._options.device}"] if self._options.device else []
        return run_tool(["systemd-creds", *device, verb, *arguments], given, self._options.timeout_s)


class Tpm2Witness:
    """A counter in the TPM's own memory (TPM2_NT_COUNTER): it grows by one and never falls, whatever the card does.

    Through tpm2-tools; `tcti` as in $TPM2TOOLS_TCTI. Each write to the store costs the TPM one step: enrolments, not
    payments.
    """

    def __init__(self, index: int = 0x01500F00, tcti: str | None = None, timeout_s: float = 30.0) -> None:
        self._index = f"0x{index:08x}"
        self._tcti = [f"--tcti={tcti}"] if tcti else []
        self._timeout_s = timeout_s
        self._reached: int | None = None

    def read(self) -> int | None:
        """None when the counter was never made, or never counted. Raises OSError when there is no TPM to ask, or when
        it does not give the counter that it has.
        """
        handles = self._run("tpm2_getcap", "handles-nv-index").decode("ascii", "replace").lower()
        if f"{int(self._index, 16):x}" not in handles:
            return None
        try:
            value = self._run("tpm2_nvread", "-C", "o", "-s", "8", self._index)
        except OSError:
            if self._has_counted():
                raise
            return None
        if len(value) != COUNTER_BYTES:
            raise OSError(errno.EIO, f"the TPM gave {len(value)} bytes of the counter {self._index}")
        self._reached = int.from_bytes(value, "big")
        return self._reached

    def _has_counted(self) -> bool:
        """Whether the TPM's own entry says so (TPMA_NV_WRITTEN, TPM 2.0 part 2): before, it has no value to read."""
        return b"written" in self._run("tpm2_nvreadpublic", self._index)

    def advance(self, to: int) -> None:
        if self._reached is None and self.read() is None:
            attributes = "ownerread|ownerwrite|authread|authwrite|nt=counter"
            with contextlib.suppress(OSError):
                self._run("tpm2_nvdefine", "-C", "o", "-s", "8", "-a", attributes, self._index)
            self._run("tpm2_nvincrement", "-C", "o", self._index)
            self.read()
        while self._reached is not None and self._reached < to:
            self._run("tpm2_nvincrement", "-C", "o", self._index)
            self._reached += 1

    def _run(self, tool: str, *arguments: str) -> bytes:
        try:
            return run_tool([tool, *self._tcti, *arguments], b"", self._timeout_s)
        except KeyMissing as missing:
            raise OSError(errno.EIO, missing.why) from None


def run_tool(command: list[str], given: bytes, timeout_s: float) -> bytes:
    """Raises KeyMissing with the tool's last line, which is never about what went through it."""
    found = shutil.which(command[0])
    if found is None:
        raise KeyMissing(command[0], "this program is not installed", f"apt-get install {_package(command[0])}")
    try:
        done = subprocess.run([found, *command[1:]], input=given, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise KeyMissing(command[0], f"the TPM did not answer within {timeout_s:g} s") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise KeyMissing(command[0], said[-1] if said else f"it ended with {done.returncode}", TPM_HINT)
    return done.stdout


TPM_HINT = "Is this the box, and the boot state, that the key was sealed on? `kingfisher doctor` shows the TPM."


def _package(tool: str) -> str:
    return "systemd" if tool == "systemd-creds" else "tpm2-tools"
