"""Templates, consent and factors of the people of one box: nothing is readable off this box, and delete means gone."""

from __future__ import annotations

from secure_store.errors import StoreError
from secure_store.gallery import Gallery
from secure_store.keys import FileKeyProvider, KeyProvider
from secure_store.open_loop import OpenLoopStore, StoreStatus
from secure_store.options import Refusal, StoreOptions
from secure_store.person import Consent, NewPerson, OwnData, PinResult, Template
from secure_store.store import SecureStore

__all__ = [
    "Consent",
    "FileKeyProvider",
    "Gallery",
    "KeyProvider",
    "NewPerson",
    "OpenLoopStore",
    "OwnData",
    "PinResult",
    "Refusal",
    "SecureStore",
    "StoreError",
    "StoreOptions",
    "StoreStatus",
    "Template",
]
