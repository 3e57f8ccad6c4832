"""Client secrets (PROTOCOL 1.6): what a browser is given instead of a key. They expire, and open the session they were minted for.

A client secret is signed and stored nowhere, so every instance that knows the key it was minted with accepts it, until that key is taken
away. It is not encrypted: who holds it can read the session's configuration, as a client is told it anyway.

    ek_ + base64url(HMAC-SHA256 of the rest, then the rest: `Claims` as JSON, deflated)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import zlib
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct

from realtime.errors import ClientError
from realtime.server.keys import Key

PREFIX = "ek_"
"""agents-realtime takes nothing else in a browser (PROTOCOL 1.6)."""

MAX_LENGTH = 7 * 1024
"""Characters. It travels in a header, of which websockets and most proxies take 8 KiB."""

_SIGNATURE = hashlib.sha256().digest_size
_LABEL = b"realtime client secrets 1\0"
"""Counts up when `Claims` change: an instance of another version shall refuse what it would misread."""


class Claims(Struct, frozen=True, kw_only=True):
    """What a client secret says."""

    expires_at: int
    """Unix seconds."""
    dialect: Literal["ga", "beta"] = "ga"
    """Of `update`."""
    update: str | None = None
    """The `session.update` that the session begins with, as JSON; None binds it to nothing."""
    nonce: str
    """So that no two are the same."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Claims).decode


class ClientSecrets:
    """Mints and reads them."""

    def __init__(self, secret: str | None) -> None:
        """`secret`: of all instances. Without one a signature is made from the hash of the key, which only those instances know that have
        it; where there are no keys either, from dice: then no other instance can read it."""
        self._secret = secret.encode() if secret else b""
        self._dice = secrets.token_bytes(_SIGNATURE)

    def mint(self, key: Key | None, *, expires_at: int, update: str | None, dialect: Literal["ga", "beta"]) -> str:
        """A client secret of the holder of that key; None where nobody needs one. Raises `ClientError` if the session does not fit."""
        claims = Claims(expires_at=expires_at, dialect=dialect, update=update, nonce=secrets.token_urlsafe(9))
        said = zlib.compress(_encode(claims), 9)
        minted = PREFIX + base64.urlsafe_b64encode(self._sign(key, said) + said).rstrip(b"=").decode()
        if len(minted) > MAX_LENGTH:
            raise ClientError(
                "string_above_max_length",
                f"The session does not fit into a client secret, which travels in a header: {len(minted)} of {MAX_LENGTH} characters. "
                "Have the client send the rest in a session.update.",
                param="session",
            )
        return minted

    def read(self, secret: str, keys: Iterable[Key | None], now: float) -> tuple[Claims, Key | None]:
        """What it says, and the key among `keys` that it was minted with. Raises `ClientError`."""
        signature, said = _split(secret)
        for key in keys:
            if hmac.compare_digest(self._sign(key, said), signature):
                break
        else:
            raise ClientError("invalid_api_key", "Incorrect API key provided: it is no client secret of this server.")
        claims = _decode(zlib.decompress(said))  # only what was signed is looked into
        if now >= claims.expires_at:
            raise ClientError("invalid_api_key", "Incorrect API key provided: this client secret has expired.")
        return claims, key

    def _sign(self, key: Key | None, said: bytes) -> bytes:
        secret, whose = (self._secret or self._dice, b"") if key is None else (self._secret, key.digest)
        own = hmac.digest(secret, _LABEL + whose, "sha256")
        return hmac.digest(own, said, "sha256")


def _split(secret: str) -> tuple[bytes, bytes]:
    """Signature and what is signed; nothing, where it can't be a client secret."""
    text = secret.removeprefix(PREFIX)
    try:
        whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return b"", b""
    return whole[:_SIGNATURE], whole[_SIGNATURE:]
