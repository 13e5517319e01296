"""The key as a systemd credential: `LoadCredentialEncrypted=` hands it to this one service, in memory that is never
swapped.
"""

from __future__ import annotations

import os
from pathlib import Path

from secure_store.errors import KeyMissing
from secure_store.keys import key_of
from secure_store.sealed import KEY_BYTES


class CredentialKeyProvider:
    """Reads `name` from the folder that systemd names in $CREDENTIALS_DIRECTORY.

    How well the key is kept is the credential's affair: `systemd-creds encrypt --with-key=tpm2` binds it to this box's
    TPM; with `--with-key=host` the host's key lies on the same card as the data.
    """

    name = "credential"
    warning = None

    def __init__(self, credential: str = "kingfisher-store", folder: Path | None = None) -> None:
        self._credential = credential
        self._folder = folder

    def __repr__(self) -> str:
        return f"CredentialKeyProvider({self._credential!r})"

    def load(self) -> bytes:
        """Raises KeyMissing."""
        named = os.environ.get("CREDENTIALS_DIRECTORY")
        folder = self._folder or (Path(named) if named else None)
        if folder is None:
            raise KeyMissing(
                self._credential,
                "systemd gave this process no credentials ($CREDENTIALS_DIRECTORY is not set)",
                f"Add LoadCredentialEncrypted={self._credential}:/path/to/it.cred to the unit; "
                f"make it with: head -c 32 /dev/urandom | systemd-creds encrypt --name={self._credential} - it.cred",
            )
        path = folder / self._credential
        try:
            # Not held to a file's mode: systemd guards this folder itself, and keeps it readable for the service alone.
            with path.open("rb") as file:
                content = file.read(KEY_BYTES + 1)
        except OSError as error:
            raise KeyMissing(self._credential, f"the credential cannot be read ({error.strerror})") from None
        return key_of(content, self._credential)
