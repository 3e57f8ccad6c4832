"""Who may come in: the keys of the moment, client secrets, and the pages that may connect."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from websockets.http11 import Request

from realtime.errors import ClientError
from realtime.server.client_secrets import PREFIX, Claims, ClientSecrets
from realtime.server.credentials import presented
from realtime.server.keys import Key, Keys
from realtime.server.origins import Origins

UNAUTHORIZED = 3000
"""Close code of a socket whose client may not come in (PROTOCOL 1.4)."""


class Admission(Struct, frozen=True):
    """Somebody may come in."""

    key: Key | None = None
    """Theirs, or the one that their client secret was minted with; None where no keys are needed."""
    claims: Claims | None = None
    """Of their client secret, if they came with one."""


class Access:
    """The rules of one server."""

    def __init__(self, read: Callable[[], Keys] | None, client_secrets: ClientSecrets, origins: Origins) -> None:
        """`read`: reads the keys; None where nobody needs one. Raises what it raises."""
        self._read = read
        self._keys = Keys() if read is None else read()
        self.client_secrets = client_secrets
        self.origins = origins

    @property
    def keys(self) -> int | None:
        """How many there are; None where nobody needs one. Where there are none left, nobody comes in."""
        return None if self._read is None else len(self._keys)

    def reload(self) -> None:
        """Read the keys again, for those who come from now on. Raises what reading raises, and then the old ones hold."""
        if self._read is not None:
            self._keys = self._read()

    def admit(self, request: Request, now: float) -> Admission:
        """`now`: Unix seconds. Raises `ClientError` (PROTOCOL 6)."""
        credentials = presented(request)
        for each in credentials:
            if key := self._keys.find(each):
                return Admission(key)
        for each in credentials:
            # Such a one is judged even where nobody needs a key: what it opens is not just any session.
            if each.startswith(PREFIX):
                return self._admit_by_secret(each, now)
        if self._read is None:
            return Admission()
        if not credentials:
            raise ClientError(None, "Missing bearer or basic authentication in header")
        raise ClientError("invalid_api_key", "Incorrect API key provided: it is none of those that this server knows.")

    def admit_minter(self, request: Request, now: float) -> Admission:
        """Who may mint client secrets: holders of keys, not of client secrets. Raises `ClientError`."""
        admission = self.admit(request, now)
        if admission.claims is not None:
            raise ClientError("invalid_api_key", "Incorrect API key provided: a client secret can't mint another.")
        return admission

    def _admit_by_secret(self, secret: str, now: float) -> Admission:
        minters: Keys | tuple[None] = (None,) if self._read is None else self._keys
        claims, key = self.client_secrets.read(secret, minters, now)
        return Admission(key, claims)
