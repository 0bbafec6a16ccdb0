"""The doors' part of the configuration file: HTTP and its dialects, one-time passwords, guards, the inbox, callbacks.

Shapes only, as in settings.py, of which this is a part.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from dispatcher.core.tables import NotNegative, Positive, Seconds, Table, WholeSeconds

DialectName = Literal["chinqit", "chinqit_bulk", "laravel", "smskit", "otpiq"]

PerSpan = tuple[NotNegative, NotNegative, NotNegative]


class Http(Table, kw_only=True, frozen=True):
    """The HTTP door."""

    listen: Annotated[str, Meta(description="host:port")] = "127.0.0.1:8080"
    processes: Annotated[int, Meta(ge=0, le=64, description="HTTP processes; 0 turns the door off")] = 1
    body_bytes_max: Annotated[Positive, Meta(description="largest request body")] = 33_554_432
    batch_messages_max: Annotated[int, Meta(ge=1, le=50_000, description="messages of one batch")] = 50_000
    group_commit_ms: Annotated[float, Meta(ge=0, le=50, description="requests within it share one write")] = 1.5
    connections_max: Annotated[Positive, Meta(description="open connections per process")] = 1000
    header_timeout_s: Annotated[Seconds, Meta(description="a request's head must have arrived by then")] = 10.0
    body_timeout_s: Annotated[Seconds, Meta(description="a request's body must have arrived by then")] = 30.0
    key_requests_per_s: Annotated[float, Meta(ge=0, description="of one API key per process, 429 beyond; 0: unlimited")] = 0.0
    dialects: Annotated[tuple[DialectName, ...], Meta(description="public APIs that are answered besides the native one")] = (
        "chinqit",
        "chinqit_bulk",
        "laravel",
        "smskit",
        "otpiq",
    )
    mount: Annotated[
        dict[DialectName, Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._-]+)+$")]],
        Meta(description='paths in front of a dialect\'s own, laravel = "/old"; none: all at the root'),
    ] = {}
    tls_cert_file: Annotated[str, Meta(description="certificate chain, PEM: the door speaks TLS; empty: a proxy does")] = ""
    tls_key_file: Annotated[str, Meta(description="its private key, PEM")] = ""
    trusted_proxies: Annotated[
        tuple[str, ...], Meta(description="addresses or networks whose X-Forwarded-For is believed; empty: nobody's")
    ] = ()


class Inbox(Table, kw_only=True, frozen=True):
    """Messages from handsets: how long they are kept, how parts are put together, which words mean STOP, START and HELP.

    A word counts when it is the whole message, whatever its case and the punctuation around it."""

    keep_s: Annotated[WholeSeconds, Meta(description="how long an account can read a message, seconds")] = 604_800
    messages_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="messages kept per account; the oldest goes for the next")
    ] = 10_000
    parts_s: Annotated[
        WholeSeconds, Meta(description="a long message without all its parts is given out as it is after so many seconds")
    ] = 86_400
    parts_max: Annotated[int, Meta(ge=1, description="parts that may wait in all; beyond it the oldest are given out")] = 20_000
    carrier_parts_max: Annotated[int, Meta(ge=1, description="parts that may wait of one carrier")] = 10_000
    stop: Annotated[dict[str, tuple[str, ...]], Meta(description="STOP words of a language, instead of ours for it")] = {}
    start: Annotated[dict[str, tuple[str, ...]], Meta(description="the same for START")] = {}
    help: Annotated[dict[str, tuple[str, ...]], Meta(description="the same for HELP")] = {}


class Inbound(Table, kw_only=True, frozen=True):
    """A number that handsets write to, and whose it is. Without one for its number a message belongs to no account: it is
    on the stream and in no inbox. The most exact entry counts: the whole number before a beginning, a longer beginning before
    a shorter one, then one with the message's keyword, then one for its carrier."""

    number: Annotated[
        str,
        Meta(
            pattern=r"^[0-9A-Za-z]{1,20}\*?$|^\*$",
            description="number without + or short code; with * at its end: all that begin so",
        ),
    ]
    account: Annotated[str, Meta(min_length=1, max_length=64, description="whose inbox it is, and who pays for answers")]
    keyword: Annotated[str, Meta(max_length=32, description="only messages whose first word it is; empty: all others")] = ""
    carrier: Annotated[str, Meta(description="only what this carrier brings: short codes are a carrier's own")] = ""
    senders: Annotated[
        tuple[str, ...],
        Meta(description="STOP to this number counts for the number itself and these; empty: every sender of the account"),
    ] = ()
    stop_answer: Annotated[
        str, Meta(max_length=1000, description="sent to who said STOP, at the account's cost; empty: none")
    ] = ""
    start_answer: Annotated[str, Meta(max_length=1000, description="the same for START")] = ""
    help_answer: Annotated[str, Meta(max_length=1000, description="the same for HELP")] = ""


class Fraud(Table, kw_only=True, frozen=True):
    """Guards against traffic that somebody is paid for (SMS pumping). Velocities: sends per minute, hour and day of one account
    to one 7-digit prefix; 0: unlimited. An account may have its own (`accounts add --velocity`)."""

    velocity_otp: Annotated[PerSpan, Meta(description="class otp: per minute, hour, day")] = (30, 100, 500)
    velocity_transactional: Annotated[PerSpan, Meta(description="class transactional: per minute, hour, day")] = (0, 0, 0)
    velocity_bulk: Annotated[PerSpan, Meta(description="class bulk: per minute, hour, day")] = (0, 0, 0)
    conversion_hours: Annotated[int, Meta(ge=1, le=168, description="codes sent and used are compared over so long")] = 24
    conversion_grace_s: Annotated[Seconds, Meta(description="how long a code may take to be used before it counts")] = 600.0
    conversion_sent_min: Annotated[Positive, Meta(description="fewer codes of an account to a country are not judged")] = 100
    conversion_alert: Annotated[float, Meta(ge=0, le=1, description="a smaller part used is an alert; 0: never")] = 0.3
    conversion_pause: Annotated[float, Meta(ge=0, le=1, description="a smaller part used pauses it; 0: never")] = 0.1
    conversion_pause_s: Annotated[Seconds, Meta(description="how long, unless an operator resumes it")] = 3600.0


CodeText = Annotated[str, Meta(pattern=r"\{code\}", max_length=160, description="holds {code}; {minutes} is the validity")]


class OtpTexts(Table, kw_only=True, frozen=True):
    """Texts of one-time passwords that we make, by language; an account may have its own."""

    fr: CodeText = "Votre code de vérification est : {code}. Il expire dans {minutes} minutes."
    en: CodeText = "Your verification code is: {code}. It expires in {minutes} minutes."
    ar: CodeText = "رمز التحقق الخاص بك هو: {code}. تنتهي صلاحيته خلال {minutes} دقائق."


class Otp(Table, kw_only=True, frozen=True):
    """One-time passwords that we make and check for customers."""

    validity_s: Annotated[int, Meta(ge=60, le=86_400, description="how long a code may be used, and its message be tried")] = (
        600
    )
    tries: Annotated[int, Meta(ge=1, le=10, description="guesses per code")] = 3
    limits: Annotated[
        tuple[tuple[WholeSeconds, Positive], ...],
        Meta(max_length=5, description="accepted sends per number and API key: [seconds, sends], sliding"),
    ] = ((60, 3), (3600, 10), (86_400, 20))
    texts: OtpTexts = OtpTexts()


class Chinqit(Table, kw_only=True, frozen=True):
    """The Chinqit APIs."""

    mauritania_only: Annotated[bool, Meta(description="refuse numbers of other countries")] = False
    batches_per_hour: Annotated[int, Meta(ge=0, description="batches per API key in 3,600 s, sliding; 0: any")] = 100


class Otpiq(Table, kw_only=True, frozen=True):
    """The OTPIQ API."""

    text: Annotated[
        str,
        Meta(
            pattern=r"\{code\}", max_length=140, description="of a verification, holds {code}; an account's en text comes first"
        ),
    ] = "Your verification code is: {code}"
    sends_max: Annotated[int, Meta(ge=0, description="verifications per number and API key in the window; 0: any")] = 10
    window_minutes: Annotated[Positive, Meta(description="the window, sliding")] = 10


class Notices(Table, kw_only=True, frozen=True):
    """Webhooks: the events of messages, to the callbacks that their sends named."""

    processes: Annotated[
        int, Meta(ge=0, le=4, description="one works, further ones stand by; 0: no webhook is sent, events wait")
    ] = 1
    concurrency: Annotated[int, Meta(ge=1, le=10_000, description="calls under way at once")] = 512
    target_concurrency: Annotated[int, Meta(ge=1, le=1000, description="of them to one host of one account")] = 8
    connect_timeout_s: Annotated[Seconds, Meta(description="for name, connection and TLS")] = 5.0
    timeout_s: Annotated[Seconds, Meta(description="for the whole call, connection included")] = 10.0
    retry_s: Annotated[Seconds, Meta(description="first delay after a failed call; doubles")] = 10.0
    give_up_s: Annotated[Seconds, Meta(description="how long a call is tried before it is parked")] = 86_400.0
    allow_insecure: Annotated[bool, Meta(description="allow http:// and certificates that do not verify")] = False
    allow_networks: Annotated[
        tuple[str, ...], Meta(description='addresses that may be called though they are not public, like "10.0.0.0/8"')
    ] = ()
