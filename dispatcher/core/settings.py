"""The typed shape of the configuration file: every key, its default, its unit, what it means.

Reading TOML, secrets and the words of an error are ops/config.py's work; this module is only the shape. Each Struct's
docstring and the `Annotated` descriptions are the source of docs/configuration.md (`dispatcher config schema`). Units
are the last part of a name; `rate` and `window` are segments a second and outstanding submits, as carriers say them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from dispatcher.core.door_settings import Chinqit, Fraud, Http, Inbound, Inbox, Notices, Otp, Otpiq
from dispatcher.core.tables import SECONDS_MAX, Auto, Name, Positive, Rate, Seconds, Table, WholeSeconds


class Server(Table, kw_only=True, frozen=True):
    """The Redis or Valkey server that keeps everything."""

    url: Annotated[str, Meta(description="redis://, rediss:// or unix:// address; empty: an embedded server is started")] = ""
    embedded_port: Annotated[int, Meta(ge=1, le=65535, description="port of the embedded server on 127.0.0.1")] = 6390
    durability: Annotated[
        Literal["fsync", "everysec"],
        Meta(
            description="fsync: on disk before a send is answered (appendfsync always); everysec: a power cut may lose a second"
        ),
    ] = "fsync"
    data_dir: Annotated[str, Meta(description="directory of the embedded server and of the server key")] = "var"
    prefix: Annotated[str, Meta(description="in front of every key", max_length=32)] = "sms:"
    partitions: Annotated[int, Meta(ge=1, le=1, description="number of partitions; one today")] = 1
    preflight_s: Annotated[Seconds, Meta(description="how often the promise's settings are checked")] = 30.0
    timeout_s: Annotated[Seconds, Meta(description="how long a door waits for the server before it answers 503")] = 2.0
    password_file: Annotated[str, Meta(description="file that holds the server's password")] = ""


class Metrics(Table, kw_only=True, frozen=True):
    """The Prometheus door, served by the supervisor for all its processes."""

    listen: Annotated[str, Meta(description="host:port")] = "127.0.0.1:9464"


class Engine(Table, kw_only=True, frozen=True):
    """The sending process."""

    poll_ms: Annotated[float, Meta(gt=0, le=1000, description="how often idle queues are looked at")] = 5.0
    flush_ms: Annotated[
        float, Meta(gt=0, le=1000, description="how long results may wait for company before they are written")
    ] = 5.0
    lease_s: Annotated[Seconds, Meta(description="how long a dead engine's work waits for its successor")] = 3.0
    drain_s: Annotated[Seconds, Meta(description="how long a stop waits for answers in flight")] = 10.0
    ahead_segments_max: Annotated[Positive, Meta(description="segments claimed beyond the free windows")] = 500
    intake: Annotated[bool, Meta(description="admit from the sends stream")] = True
    intake_entries_max: Annotated[int, Meta(ge=1, le=5000, description="entries of the sends stream read at once")] = 500


NationalName = Literal[
    "turkish",
    "spanish",
    "portuguese",
    "bengali",
    "gujarati",
    "hindi",
    "kannada",
    "malayalam",
    "oriya",
    "punjabi",
    "tamil",
    "telugu",
    "urdu",
]
CodingName = Literal["gsm7", "ascii", "latin1", "ucs2", "binary", "gsm7_flash", "ascii_flash", "ucs2_flash", "binary_flash"]


class Senders(Table, kw_only=True, frozen=True):
    """Which senders a carrier takes, for some countries or all. The first table that names the country, or none, counts."""

    country: Annotated[tuple[str, ...], Meta(description="ISO 3166 codes, like DE; empty: every other one")] = ()
    allow: Annotated[tuple[str, ...], Meta(description="senders it takes; empty: any")] = ()
    replace: Annotated[dict[str, str], Meta(description="what is written instead of a sender")] = {}
    otherwise: Annotated[str, Meta(description="written for senders not allowed; empty: they are refused")] = ""


class Quirks(Table, kw_only=True, frozen=True):
    """Where a carrier differs from the specification."""

    ids: Annotated[
        Literal["as_is", "hex", "dec", "auto"], Meta(description="how receipt ids relate to answer ids; auto: learned")
    ] = "as_is"
    concat: Annotated[
        Literal["udh8", "udh16", "sar", "payload"],
        Meta(description="long messages: a header of 8 or 16 bits, SAR TLVs, or one submit_sm with all in message_payload"),
    ] = "udh8"
    encodings: Annotated[
        tuple[Literal["gsm7", "ascii", "latin1", "ucs2", "binary"], ...], Meta(description="what it takes")
    ] = (
        "gsm7",
        "latin1",
        "ucs2",
        "binary",
    )
    national: Annotated[
        tuple[NationalName, ...],
        Meta(description="languages whose 7-bit tables it hands through; used where that saves segments"),
    ] = ()
    packed: Annotated[bool, Meta(description="GSM 7-bit texts as packed septets, to and from it")] = False
    dcs: Annotated[
        dict[CodingName, Annotated[int, Meta(ge=0, le=255)]],
        Meta(description="its own data_coding values, gsm7 = 1; names ending in _flash for flash messages"),
    ] = {}
    plus: Annotated[bool, Meta(description="write + before international numbers")] = False
    to_strip: Annotated[str, Meta(pattern=r"^[0-9]{0,8}$", description="leading digits that destinations lose")] = ""
    to_add: Annotated[str, Meta(pattern=r"^[0-9*#]{0,8}$", description="what then stands before destinations")] = ""
    sender_alphabet: Annotated[
        Literal["latin1", "gsm7"],
        Meta(description="how letters of senders are written; in gsm7 an @ would end the field, so such senders are refused"),
    ] = "latin1"
    source_ton_npi: Annotated[tuple[int, int] | None, Meta(description="fixed TON and NPI of senders; absent: by form")] = None
    dest_ton: Annotated[int, Meta(ge=0, le=7, description="TON of destinations")] = 1
    dest_npi: Annotated[int, Meta(ge=0, le=31, description="NPI of destinations")] = 1
    service_type: Annotated[str, Meta(max_length=5, description="as the carrier wants it, mostly empty")] = ""
    validity: Annotated[Literal["relative", "absolute", "none"], Meta(description="validity_period form")] = "relative"
    country_code: Annotated[
        str,
        Meta(pattern=r"^[0-9]{0,4}$", description="calling code of handsets' numbers that come in national form; empty: left"),
    ] = ""
    receipts_by_text: Annotated[
        bool, Meta(description="a deliver_sm without any mark is a receipt when its text is one; handsets can forge such")
    ] = False
    receipt_per: Annotated[Literal["segment", "message"], Meta(description="one receipt per segment or per message")] = (
        "segment"
    )
    accepted_is_final: Annotated[bool, Meta(description="ACCEPTD is this carrier's last word")] = False
    statuses: Annotated[
        dict[str, Literal["throttled", "temporary", "permanent"]],
        Meta(description='own command_status classes, "0x58" = "throttled"'),
    ] = {}
    causes: Annotated[
        dict[str, Literal["absent", "memory_full", "network", "carrier_fault", "blocked", "invalid_number", "rejected"]],
        Meta(description='receipt err codes by cause, "001" = "absent"'),
    ] = {}


class Questions(Table, kw_only=True, frozen=True):
    """What a carrier may be asked about messages that it has accepted. Needs nothing of a bind but that it submits."""

    query_after_s: Annotated[
        float,
        Meta(
            ge=0,
            le=SECONDS_MAX,
            description="a segment without its receipt for so long is asked for (query_sm), then at twice that; 0: never",
        ),
    ] = 0.0
    rate: Annotated[Rate, Meta(description="questions a second over one login, by all engines together")] = 5.0
    cancel: Annotated[bool, Meta(description="it takes cancel_sm: cancelling reaches messages that it has accepted")] = False


class Bind(Table, kw_only=True, frozen=True):
    """One SMPP login, opened `sessions` times."""

    name: Annotated[str, Meta(description="label in metrics and commands; empty: host and number")] = ""
    host: Annotated[str, Meta(min_length=1, description="host name or address")]
    port: Annotated[int, Meta(ge=1, le=65535, description="the carrier's port")] = 2775
    tls: Annotated[
        bool | None,
        Meta(description="true: TLS with verification; false: plain text, which must be said unless the host is this machine"),
    ] = None
    tls_ca_file: Annotated[str, Meta(description="the authorities that count, PEM; empty: the system's")] = ""
    tls_server_name: Annotated[str, Meta(description="name asked for and expected in the certificate; empty: the host")] = ""
    tls_cert_file: Annotated[str, Meta(description="our own certificate chain, PEM, where the carrier asks for one")] = ""
    tls_key_file: Annotated[str, Meta(description="its private key, PEM; empty: in tls_cert_file")] = ""
    system_id: Annotated[str, Meta(min_length=1, max_length=15, description="login name")]
    password: Annotated[str, Meta(max_length=32, description="only with password_plain = true; prefer password_file")] = ""
    password_plain: Annotated[bool, Meta(description="accept a password written in this file")] = False
    password_file: Annotated[str, Meta(description="file that holds the password")] = ""
    password_env: Annotated[str, Meta(description="environment variable that holds the password")] = ""
    system_type: Annotated[str, Meta(max_length=12, description="as the carrier wants it, mostly empty")] = ""
    mode: Annotated[Literal["trx", "tx", "rx", "tx+rx"], Meta(description="transceiver, one way, or a pair")] = "trx"
    version: Annotated[Literal["3.3", "3.4", "5.0"], Meta(description="interface_version")] = "3.4"
    sessions: Annotated[int, Meta(ge=1, le=64, description="connections with this login")] = 1
    window: Annotated[int, Meta(ge=1, le=10_000, description="outstanding submits per session")] = 10
    window_min: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(description="from here to window by how long answers take; absent: always window"),
    ] = None
    rate: Annotated[
        Rate | Auto | None, Meta(description="segments a second over this bind's sessions; auto: finds what the carrier takes")
    ] = None
    per_day: Annotated[Positive | None, Meta(description="segments in any 24 hours over this bind's sessions")] = None
    submits_per_session: Annotated[
        Positive | None, Meta(description="after so many submits a session is opened anew; some carriers cap them")
    ] = None
    binds_per_hour: Annotated[
        Positive | None, Meta(description="attempts to open one of its sessions, in any hour, over all engines")
    ] = None
    enquire_link_s: Annotated[Seconds, Meta(description="silence after which the peer is asked whether it lives")] = 30.0
    response_timeout_s: Annotated[Seconds, Meta(description="an unanswered submit becomes Unknown, the link is closed")] = 60.0
    connect_timeout_s: Annotated[Seconds, Meta(description="for the connection, TLS included")] = 10.0
    reconnect_s: Annotated[Seconds, Meta(description="first pause before a new connection; doubles")] = 1.0
    reconnect_max_s: Annotated[Seconds, Meta(description="longest pause; after a refused login at once")] = 60.0


class Carrier(Table, kw_only=True, frozen=True):
    """A carrier: its logins, its limits, what it costs and how it differs."""

    name: Name
    rate: Annotated[
        Rate | Auto | None, Meta(description="segments a second over all its binds; auto: finds what the carrier takes")
    ] = None
    per_day: Annotated[Positive | None, Meta(description="segments in any 24 hours over all its binds")] = None
    cost: Annotated[str, Meta(description="name of the [[tariff]] of what it costs us; empty: free")] = ""
    sender: Annotated[str, Meta(description="sender where the send has none")] = ""
    senders: Annotated[tuple[Senders, ...], Meta(description="which senders it takes, by country")] = ()
    throttle_pause_s: Annotated[Seconds, Meta(description="pause of a bind after 'throttled' or 'queue full'")] = 1.0
    throttle_floor: Annotated[float, Meta(gt=0, le=1, description="adaptation never goes below this part of the rate")] = 0.05
    bind: Annotated[tuple[Bind, ...], Meta(min_length=1)]
    quirks: Quirks = Quirks()
    questions: Questions = Questions()
    tlvs: Annotated[dict[str, str], Meta(description='sent with every submit_sm: "0x1400" = hex or text')] = {}
    keep_tlvs: Annotated[
        tuple[str, ...],
        Meta(max_length=16, description='of its answers and receipts, kept on events and cost facts: "0x1401" or a name'),
    ] = ()


class Limit(Table, kw_only=True, frozen=True):
    """At most so much of some traffic, over all carriers and engines. What is over waits; the strictest of several wins."""

    name: Name
    sender: Annotated[tuple[str, ...], Meta(description="senders, as written in the send; empty: any")] = ()
    country: Annotated[tuple[str, ...], Meta(description="ISO 3166 codes of destinations, like DE; empty: any")] = ()
    network: Annotated[tuple[str, ...], Meta(description="MCC and MNC, as the tariff names them; empty: any")] = ()
    each: Annotated[
        Literal["", "sender", "country", "network"], Meta(description="counts each of these on its own; empty: all together")
    ] = ""
    rate: Annotated[Rate | None, Meta(description="segments in any second")] = None
    per_day: Annotated[Positive | None, Meta(description="segments in any 24 hours")] = None


class Weighted(Table, kw_only=True, frozen=True):
    """A carrier's share within a group."""

    name: Name
    weight: Annotated[int, Meta(ge=1, le=1000, description="share of the group's segments")] = 1


class Group(Table, kw_only=True, frozen=True):
    """Carriers that share a route's load by weight; the next group is used when none of these can."""

    carriers: Annotated[tuple[Weighted, ...], Meta(min_length=1)]


class Match(Table, kw_only=True, frozen=True, rename={"lane": "class"}):
    """What a route applies to; empty lists mean any."""

    prefix: Annotated[tuple[str, ...], Meta(description="E.164 prefixes without +; the longest wins")] = ()
    mcc_mnc: Annotated[tuple[str, ...], Meta(description="networks, as the tariff names them")] = ()
    lane: Annotated[tuple[Literal["otp", "transactional", "bulk"], ...], Meta(description="traffic classes (key: class)")] = ()
    account: Annotated[tuple[str, ...], Meta(description="names of accounts")] = ()
    sender: Annotated[tuple[str, ...], Meta(description="senders, as written in the send")] = ()


class Route(Table, kw_only=True, frozen=True):
    """From a kind of send to ordered groups of weighted carriers. The first route in the file that fits best is taken."""

    name: Name
    match: Match = Match()
    group: Annotated[tuple[Group, ...], Meta(min_length=1)]


class Tariff(Table, kw_only=True, frozen=True):
    """Prices by longest prefix: a CSV file (prefix,price[,country[,mccmnc]]) or an inline table."""

    name: Name
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
    file: Annotated[str, Meta(description="CSV, beside the configuration file")] = ""
    prices: Annotated[dict[str, str], Meta(description='"44" = "0.0350"; "" is the price of everything else')] = {}
    valid_from: Annotated[str, Meta(description="RFC 3339; empty: always")] = ""


class Retry(Table, kw_only=True, frozen=True):
    """When and how often again."""

    attempts_max: Annotated[int, Meta(ge=1, le=5, description="the first and up to four retries")] = 5
    temporary_s: Annotated[Seconds, Meta(description="first delay after a temporary refusal; doubles")] = 5.0
    temporary_max_s: Annotated[Seconds, Meta(description="longest delay")] = 300.0
    jitter: Annotated[float, Meta(ge=0, le=0.5, description="part of a delay")] = 0.2
    absent_s: Annotated[
        tuple[Seconds, ...],
        Meta(min_length=1, max_length=4, description="delays after absent and memory_full; the last one again"),
    ] = (60.0, 300.0, 900.0, 3600.0)
    otp_s: Annotated[
        tuple[Seconds, ...], Meta(min_length=1, max_length=4, description="delays of the class otp, whatever the cause")
    ] = (2.0, 5.0, 10.0, 20.0)
    retry_cost_max: Annotated[
        float, Meta(gt=0, description="carriers' cost of all attempts may reach this part of the price")
    ] = 1.0
    retry_cost_max_otp: Annotated[float, Meta(gt=0, description="the same for the class otp")] = 2.0
    multipart_retry_s: Annotated[Seconds, Meta(description="how long one part alone may be sent again")] = 300.0


class Receipts(Table, kw_only=True, frozen=True):
    """How long we wait for the carriers' word."""

    deadline_s: Annotated[Seconds, Meta(description="after the last submission")] = 259_200.0
    deadline_otp_s: Annotated[Seconds, Meta(description="the same for the class otp")] = 3600.0
    grace_s: Annotated[Seconds, Meta(description="after an unknown outcome, before the doubt policy applies")] = 60.0
    deliver_answer_s: Annotated[Seconds, Meta(description="a deliver_sm not durable by then is answered 0x08")] = 0.8
    early_s: Annotated[Seconds, Meta(description="how long a receipt of an unknown id is kept")] = 300.0
    sweep_s: Annotated[Seconds, Meta(description="how often missing receipts are looked for")] = 60.0


class Lanes(Table, kw_only=True, frozen=True):
    """Defaults per traffic class, seconds."""

    validity_otp_s: Annotated[Positive, Meta(description="how long a send without validity_s is tried")] = 600
    validity_transactional_s: Annotated[Positive, Meta(description="how long a send without validity_s is tried")] = 86_400
    validity_bulk_s: Annotated[Positive, Meta(description="how long a send without validity_s is tried")] = 172_800
    validity_max_s: Annotated[int, Meta(ge=1, le=604_800, description="longest that a send may ask for")] = 604_800
    on_unknown_otp: Annotated[Literal["resend", "hold"], Meta(description="send again when the outcome is unknown?")] = "resend"
    on_unknown_transactional: Annotated[
        Literal["resend", "hold"], Meta(description="send again when the outcome is unknown?")
    ] = "resend"
    on_unknown_bulk: Annotated[Literal["resend", "hold"], Meta(description="send again when the outcome is unknown?")] = "hold"


class Charges(Table, kw_only=True, frozen=True):
    """What the charges stream shows."""

    reservations: Annotated[bool, Meta(description="also reserve and void rows")] = False


class Privacy(Table, kw_only=True, frozen=True):
    """Numbers and texts."""

    hash_key_file: Annotated[str, Meta(description="key of the keyed hashes; empty: made once in data_dir")] = ""


class Retention(Table, kw_only=True, frozen=True):
    """How long what is kept."""

    final_s: Annotated[WholeSeconds, Meta(description="records after their final state")] = 86_400
    streams_s: Annotated[WholeSeconds, Meta(description="out streams")] = 604_800
    keys_s: Annotated[
        int,
        Meta(ge=60, le=31_536_000, description="idempotency keys, at least; a change forgets those known so far"),
    ] = 86_400
    store_bytes_max: Annotated[int, Meta(ge=0, description="503 above it; 0: the server's maxmemory decides")] = 0


class Settings(Table, kw_only=True, frozen=True):
    """The whole file."""

    server: Server = Server()
    http: Http = Http()
    metrics: Metrics = Metrics()
    engine: Engine = Engine()
    carrier: tuple[Carrier, ...] = ()
    limit: tuple[Limit, ...] = ()
    route: tuple[Route, ...] = ()
    tariff: tuple[Tariff, ...] = ()
    retry: Retry = Retry()
    receipts: Receipts = Receipts()
    lanes: Lanes = Lanes()
    inbox: Inbox = Inbox()
    inbound: tuple[Inbound, ...] = ()
    charges: Charges = Charges()
    otp: Otp = Otp()
    chinqit: Chinqit = Chinqit()
    otpiq: Otpiq = Otpiq()
    fraud: Fraud = Fraud()
    notices: Notices = Notices()
    privacy: Privacy = Privacy()
    retention: Retention = Retention()
