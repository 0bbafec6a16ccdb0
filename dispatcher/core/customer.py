"""Customers: an account's settings, its money as it is shown, the credentials it presents, and their part of the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec


class Account(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An account's settings. Balances are kept apart (`Balance`). `floor` in micro-units: the lowest available balance.
    Empty `refund_on` means the default (failed, rejected).

    `senders`: what a send may name besides `sender` (empty: anything). `countries`: ISO 3166 codes it may send to (empty:
    every priced one); `premium`: premium and satellite ranges too. `velocity`: (seconds, sends) per 7-digit prefix for
    every class (empty: the configuration's, for otp); `velocity_account`, `velocity_country`: over all of the account's
    sends, and over those to one country. `spend_cap`: micro-units in 24 hours, 0 none. `feedback`: it reports which of its
    codes were used, all of them. `country_code`: of local numbers, and `zone` (IANA name, empty: UTC) of local dates, where
    a dialect has such. `texts`: of one-time passwords by language, with {code}.
    """

    name: str
    currency: str
    tariff: str = ""
    sender: str = ""
    number_check: Literal["possible", "valid", "shape"] = "possible"
    floor: int = 0
    suspended: bool = False
    refund_on: tuple[str, ...] = ("failed", "rejected")
    unknown: Literal["post", "void"] = "post"
    bulk_receipt_retries: bool = False
    show_numbers: bool = False
    created_at: int = 0
    payment: Literal["prepaid", "postpaid"] = "prepaid"
    senders: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    premium: bool = False
    velocity: tuple[tuple[int, int], ...] = ()
    velocity_account: tuple[tuple[int, int], ...] = ()
    velocity_country: tuple[tuple[int, int], ...] = ()
    spend_cap: int = 0
    feedback: bool = False
    country_code: str = ""
    texts: dict[str, str] = {}
    project: str = ""
    trial_number: str = ""
    zone: str = ""
    callback_secret: str = ""


class Balance(msgspec.Struct):
    """Money of one account, micro-units of `currency`."""

    account: str
    available: int
    reserved: int
    floor: int
    currency: str


class ApiKey(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A credential; only a hash of its secret is kept (SHA-256 of random ones, scrypt of passwords). `expires_at` ms, 0 never.

    Ours are `id.secret` and have no dialect. A dialect's are found by a keyed hash of what the customer presents
    (ingest/keys.py); `label` is what an operator may see of them."""

    id: str
    account: str
    secret_hash: bytes
    scopes: tuple[str, ...] = ("send", "read")
    created_at: int = 0
    expires_at: int = 0
    revoked: bool = False
    dialect: str = ""
    hashing: Literal["sha256", "scrypt"] = "sha256"
    label: str = ""


class CustomerStore(Protocol):
    """Settings, money and credentials, one at a time. Raises StoreUnavailable."""

    async def put_account(self, account: Account) -> None:
        """Creates or replaces an account's settings; its balance is created at 0 if absent and its floor updated."""

    async def account(self, name: str) -> Account | None:
        """The account's settings."""

    async def accounts(self) -> Sequence[Account]:
        """All accounts, by name."""

    async def balance(self, account: str) -> Balance | None:
        """The account's money now."""

    async def credit(self, account: str, credit_id: str, amount: int, at: int) -> Balance | None:
        """Adds `amount` (negative: adjusts down) once per `credit_id` with its fact (S10). None: no such account."""

    async def put_key(self, key: ApiKey) -> None:
        """Creates or replaces an API key."""

    async def key(self, key_id: str) -> ApiKey | None:
        """One API key."""

    async def keys(self, account: str = "") -> Sequence[ApiKey]:
        """All keys, or one account's."""

    async def account_keys(self, account: str) -> tuple[int, Sequence[ApiKey]]:
        """One account's keys and their version, which every change of one of them raises."""

    async def change_keys(self, account: str, version: int, keys: Sequence[ApiKey], gone: Sequence[str] = ()) -> bool:
        """Writes keys of the account and forgets those whose ids are `gone`, all in one step, if none of its keys was written
        since `version`; else False and nothing. When a reply was lost, False may follow what did take effect: look at the
        keys again."""
