"""A keyed orthogonal transform of templates: cosines stay as they were, and templates of two keys cannot be compared.

It gives renewal and unlinkability. It is not irreversible: whoever holds the key can turn a template back.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray


def orthogonal(key: bytes, dimension: int) -> NDArray[np.float64]:
    """A Haar-distributed orthogonal matrix (dimension, dimension), the same for the same key.

    Gaussians from an AES-CTR stream (Box-Muller), then QR with the signs fixed (Mezzadri 2007, arXiv math-ph/0609050).
    """
    count = dimension * dimension
    pairs = (count + 1) // 2
    stream = Cipher(AES256(key), CTR(bytes(16))).encryptor().update(bytes(16 * pairs))
    uniform = (np.frombuffer(stream, "<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform[:pairs]))
    angle = 2.0 * np.pi * uniform[pairs:]
    gaussian = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count].reshape(dimension, dimension)
    q, r = np.linalg.qr(gaussian)
    signs = np.where(np.diag(r) < 0, -1.0, 1.0)
    fixed: NDArray[np.float64] = q * signs
    return fixed


def apply(matrix: NDArray[np.float64], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of `vectors` (N, D) or one (D,) turned by the matrix (D, D); lengths and angles stay."""
    turned: NDArray[np.float32] = np.ascontiguousarray(vectors.astype(np.float64) @ matrix.T, dtype=np.float32)
    return turned
