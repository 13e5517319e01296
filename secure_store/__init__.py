"""Templates, consent and factors of the people of one box: nothing is readable off this box, and delete means gone."""

from __future__ import annotations

from secure_store.errors import StoreError
from secure_store.gallery import Gallery
from secure_store.keys import FileKeyProvider, KeyProvider
from secure_store.person import Consent, NewPerson, PinResult, Template
from secure_store.store import SecureStore, StoreOptions, StoreStatus

__all__ = [
    "Consent",
    "FileKeyProvider",
    "Gallery",
    "KeyProvider",
    "NewPerson",
    "PinResult",
    "SecureStore",
    "StoreError",
    "StoreOptions",
    "StoreStatus",
    "Template",
]
