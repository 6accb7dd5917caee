"""Both sides prove that they know the token, without sending it."""

from __future__ import annotations

import hmac
import secrets
from typing import NamedTuple

NONCE_BYTES = 32
TOKEN_BYTES = 32


def new_token() -> bytes:
    """256 fresh bits; each start of the backend has its own."""
    return secrets.token_bytes(TOKEN_BYTES)


def new_nonce() -> str:
    """256 bits that are used once, in hexadecimal."""
    return secrets.token_hex(NONCE_BYTES)


class Exchange(NamedTuple):
    """
    What makes a proof good for one connection only.

    Attributes:
        client_nonce: from hello; a replayed proof is worthless.
        backend_nonce: from challenge; the same.
        endpoint: as the connection file has it; a proof can't be passed on from elsewhere.
    """

    client_nonce: str
    backend_nonce: str
    endpoint: str


def compute_proof(token: bytes, role: str, exchange: Exchange) -> str:
    """
    HMAC-SHA256, under the token, of "Smart Matte 1|role|client nonce|backend nonce|endpoint".

    Args:
        token: from the connection file.
        role: who proves, "client" or "backend": a proof can't be reflected.
        exchange: the nonces of this connection, and where it leads.

    Returns:
        64 hexadecimal digits.
    """
    text = "|".join(("Smart Matte 1", role, *exchange))
    return hmac.new(token, text.encode(), "sha256").hexdigest()


def is_proof(proof: str, token: bytes, role: str, exchange: Exchange) -> bool:
    """Whether *proof* is the right one; takes equally long for every wrong one."""
    return hmac.compare_digest(compute_proof(token, role, exchange), proof)
