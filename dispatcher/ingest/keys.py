"""Credentials: our API keys `id.secret` and those of the dialects: making them, checking them, remembering them for seconds.

This module refuses to know HTTP and where keys are kept. Secrets are long and random, so their plain SHA-256 is a safe
thing to keep; passwords are guessable and get scrypt. An unknown id costs the same hash and the same comparison as a
known one, and its absence is remembered as a presence is, so that neither time nor load tells which ids exist.

A dialect's customers present what another service gave them: a key, a key with a token, a user name with a password. The
part that tells who it is (the *identifier*) is not kept either: the record's id is its keyed hash. A key alone is
identifier and secret in one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from dispatcher.core.customer import ApiKey

SECRET_BYTES = 32
SCOPES = ("send", "read")
LABELLED_CHARS_MIN = 16
"""Of shorter keys the list shows nothing: four characters of them would be too many."""
_FORM = re.compile(r"([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{16,256})")
_NOBODY = hashlib.sha256(secrets.token_bytes(SECRET_BYTES)).digest()
"""Compared against for unknown ids; nobody knows its preimage."""

SALT_BYTES = 16
_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1, "maxmem": 1 << 25, "dklen": 32}
"""16 MiB and about 50 ms of CPU a password."""
_NOBODYS_PASSWORD = secrets.token_bytes(SALT_BYTES + 32)

T = TypeVar("T")


class Form(NamedTuple):
    """A dialect's kind of credential. `letter` begins its record ids; `pair`: identifier and secret are two things;
    `password`: the secret was chosen by a human."""

    letter: str
    pair: bool = False
    password: bool = False


FORMS: dict[tuple[str, bool], Form] = {
    ("chinqit", False): Form("c"),
    ("laravel", False): Form("l"),
    ("laravel", True): Form("u", pair=True, password=True),
    ("smskit", True): Form("s", pair=True),
    ("otpiq", False): Form("o"),
}
"""By dialect and whether a pair is presented. Chinqit REST and Bulk are one service with the same keys."""
DIALECTS = tuple(dict.fromkeys(dialect for dialect, _ in FORMS))
_MADE: dict[str, Callable[[], str]] = {
    "chinqit": lambda: secrets.token_hex(24),
    "laravel": lambda: secrets.token_hex(32),
    "smskit": lambda: secrets.token_hex(20),
    "otpiq": lambda: f"sk_live_{secrets.token_hex(24)}",
}


def issue(account: str, at: int, scopes: tuple[str, ...] = SCOPES, expires_at: int = 0) -> tuple[str, ApiKey]:
    """A new key: the text `id.secret`, to be shown once and never kept, and the record to keep. Times are ms; 0 never.
    Raises ValueError for a scope that does not exist."""
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise ValueError(f"unknown scope {unknown[0]!r}: {' or '.join(SCOPES)}")
    key_id = secrets.token_hex(8)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    record = ApiKey(
        id=key_id, account=account, secret_hash=hash_secret(secret), scopes=scopes, created_at=at, expires_at=expires_at
    )
    return f"{key_id}.{secret}", record


def dialect_id(keyed: Callable[[str], bytes], dialect: str, identifier: str, *, pair: bool = False) -> str:
    """The record id of what is presented to a dialect: a letter and 32 hex digits of the keyed hash. Raises ValueError for a
    dialect that has no such credentials."""
    form = FORMS.get((dialect, pair))
    if form is None:
        raise ValueError(f"{dialect} has no credentials {'with two parts' if pair else 'of one part'}")
    return form.letter + keyed(f"{form.letter}:{dialect}\0{identifier}").hex()[:32]


def imported(
    keyed: Callable[[str], bytes], account: str, dialect: str, identifier: str, secret: str | None, at: int, expires_at: int = 0
) -> ApiKey:
    """The record of a credential that exists already; `secret` None: the identifier is all there is. Raises ValueError for
    an empty part or a dialect that has no such credentials."""
    if not identifier or secret == "":
        raise ValueError("an empty credential")
    pair = secret is not None
    key_id = dialect_id(keyed, dialect, identifier, pair=pair)
    form = FORMS[dialect, pair]
    return ApiKey(
        id=key_id,
        account=account,
        secret_hash=hash_password(secret or "") if form.password else hash_secret(identifier if secret is None else secret),
        created_at=at,
        expires_at=expires_at,
        dialect=dialect,
        hashing="scrypt" if form.password else "sha256",
        label=identifier if form.password else "..." + identifier[-4:] if len(identifier) >= LABELLED_CHARS_MIN else "",
    )


def issue_for(
    keyed: Callable[[str], bytes], account: str, dialect: str, at: int, expires_at: int = 0
) -> tuple[str, str | None, ApiKey]:
    """A new credential in the dialect's form: the key, the token where the dialect has one, and the record. Raises ValueError
    for an unknown dialect."""
    make = _MADE.get(dialect)
    if make is None:
        raise ValueError(f"unknown dialect {dialect!r}: {', '.join(DIALECTS)}")
    identifier, secret = make(), make() if dialect == "smskit" else None
    return identifier, secret, imported(keyed, account, dialect, identifier, secret, at, expires_at)


def hash_password(password: str, salt: bytes = b"") -> bytes:
    """Salt (drawn when not given) and scrypt of a password, as kept. About 50 ms of CPU: in a thread."""
    salt = salt or secrets.token_bytes(SALT_BYTES)
    return salt + hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)


def hash_secret(secret: str) -> bytes:
    """SHA-256 of the secret, as kept."""
    return hashlib.sha256(secret.encode()).digest()


def parse(presented: str) -> tuple[str, str] | None:
    """Id and secret of what a caller presented; None when it does not have the form of a key."""
    match = _FORM.fullmatch(presented)
    return (match[1], match[2]) if match else None


def verify(secret: str, key: ApiKey | None, now: int) -> bool:
    """True when the secret is this key's and the key is neither revoked nor expired at `now` (ms). With None it does
    the same work and says False."""
    return matches(secret, key) and key is not None and not key.revoked and not 0 < key.expires_at <= now


def matches(secret: str, key: ApiKey | None) -> bool:
    """True when the secret is this key's, whatever else is to be said of it. The same work with None, which is False."""
    same = hmac.compare_digest(hash_secret(secret), _NOBODY if key is None else key.secret_hash)
    return same and key is not None


def password_matches(password: str, key: ApiKey | None) -> bool:
    """The same for a password. About 50 ms of CPU: in a thread."""
    kept = _NOBODYS_PASSWORD if key is None else key.secret_hash
    same = hmac.compare_digest(hash_password(password, kept[:SALT_BYTES]), kept)
    return same and key is not None


class Recent(Generic[T]):
    """What `fetch` found lately, by name: bounded, at most `ttl_s` old, absence remembered too (in its own space, so
    that made-up names cannot push real ones out). Raises what `fetch` raises, and remembers nothing then."""

    def __init__(
        self, fetch: Callable[[str], Awaitable[T | None]], monotonic: Callable[[], float], *, ttl_s: float, entries_max: int
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._ttl_s = ttl_s
        self._entries_max = entries_max
        self._present: OrderedDict[str, tuple[T | None, float]] = OrderedDict()
        self._absent: OrderedDict[str, tuple[T | None, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._present) + len(self._absent)

    def known(self, name: str) -> tuple[T | None] | None:
        """The remembered answer in a tuple, or None when it must be fetched."""
        found = self._present.get(name) or self._absent.get(name)
        if found is None or found[1] < self._monotonic():
            return None
        return (found[0],)

    async def get(self, name: str) -> T | None:
        """What is kept under `name`, at most `ttl_s` seconds old."""
        known = self.known(name)
        if known is not None:
            return known[0]
        value = await self._fetch(name)
        into, out = (self._absent, self._present) if value is None else (self._present, self._absent)
        out.pop(name, None)
        into[name] = (value, self._monotonic() + self._ttl_s)
        into.move_to_end(name)
        if len(into) > self._entries_max:
            into.popitem(last=False)
        return value
