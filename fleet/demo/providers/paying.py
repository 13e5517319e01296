"""A provider's double running, and the gateway's settings for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from fleet.demo.providers.alipay import AlipayDouble
from fleet.demo.providers.bank import Bank, ProviderServer
from fleet.demo.providers.wechat import WechatDouble
from mqtt.identity import write_file

KINDS = ("alipay-like", "wechat-like")
API_KEY = "0123456789abcdef0123456789abcdef"
TIMES = "call_s = 0.5\nquery_s = [0.1, 0.2]\nretry_s = 0.1\n"


@cache
def our_key() -> RSAPrivateKey:
    """The gateway's, of this process."""
    return generate_private_key(65537, 2048)


@cache
def their_key() -> RSAPrivateKey:
    """The provider's."""
    return generate_private_key(65537, 2048)


@dataclass
class PayingProvider:
    """`kind` is alipay-like or wechat-like; its channel goes by that name."""

    kind: str
    bank: Bank = field(default_factory=Bank)
    server: ProviderServer = field(init=False)

    def __post_init__(self) -> None:
        double: AlipayDouble | WechatDouble
        if self.kind == "alipay-like":
            double = AlipayDouble(self.bank, their_key(), our_key().public_key())
        else:
            double = WechatDouble(self.bank, API_KEY)
        self.server = ProviderServer(double.app)
        self.server.start()

    def stop(self) -> None:
        self.bank.gate.set()
        self.server.stop()

    def go_away(self) -> None:
        """Nobody can connect any more, until `come_back`."""
        self.server.close_door()

    def come_back(self) -> None:
        self.server.open_door()

    def settings(self, folder: Path, times: str = TIMES, lost_after_s: float = 1.0, give_up_s: float = 20.0) -> str:
        """A table of channels.toml; the keys are written beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        limits = f"{times}lost_after_s = {lost_after_s}\ngive_up_s = {give_up_s}\n"
        head = f'[[channel]]\nname = "{self.kind}"\ntype = "{self.kind}"\nbase_url = "{self.server.url}"\n'
        if self.kind == "alipay-like":
            write_file(folder / "ours.pem", _private(our_key()), mode=0o600)
            public = their_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            (folder / "theirs.pem").write_bytes(public)
            keys = 'private_key = "ours.pem"\nprovider_public_key = "theirs.pem"\n'
            return f'{head}app_id = "2014072300007148"\n{keys}{limits}'
        write_file(folder / "wechat.key", f"{API_KEY}\n".encode(), mode=0o600)
        keys = 'merchant_id = "1230000109"\napi_key_file = "wechat.key"\nreverse_after_s = 0.0\n'
        return f'{head}app_id = "wxd678efh567hg6787"\n{keys}{limits}'


def _private(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@contextmanager
def standing(wanted: bool = True) -> Iterator[Mapping[str, PayingProvider]]:
    """One of each kind, by the name of its channel; none where none are wanted."""
    providers = {kind: PayingProvider(kind) for kind in KINDS} if wanted else {}
    try:
        yield providers
    finally:
        for provider in providers.values():
            provider.stop()


def settle(providers: Mapping[str, PayingProvider], fleet: Path) -> None:
    """Writes the channels.toml of a gateway's state folder, with the keys beside it."""
    tables = [provider.settings(fleet) for provider in providers.values()]
    (fleet / "channels.toml").write_text("\n".join(tables), encoding="utf-8")
