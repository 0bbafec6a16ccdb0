"""Bodies of submit_sm for a message: through templates that are written once per sender, encoding and validity bucket.

It refuses to know which carrier is right and whether to send at all. Encoding and number of segments were fixed at admission; a
message that cannot be cut into exactly that many raises Unencodable, because its price was for that many.

Validity. The carrier gets what is left of it, the same in all parts of one round, rounded down (10 s below an
hour, 60 s above) so that messages of one second share a template; never less than one second.
"""

from __future__ import annotations

import datetime
from array import array
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from dispatcher.core.model import Body, Options
from dispatcher.core.ports import Chance
from dispatcher.core.settings import Carrier, Settings
from dispatcher.engine.forms import SHORT_CODE_DIGITS_MAX, Form, sar_tlvs
from smpp.codec import SubmitTemplate
from smpp.constants import Npi, Tlv, Ton
from smpp.errors import LocalProtocolError
from smpp.national import elements
from smpp.segments import concat_header, concat_stem, cut, cut_bytes, cut_septets, header
from smpp.text import Encoding, gsm7

TEMPLATES_MAX: Final = 8_192
REFERENCE_SLOTS: Final = 65_536
"""Counters of concatenation references. Each sender and destination has one, which it shares with few others: its references
still follow one another without a repetition, only with gaps. So memory is the same for ten numbers and for ten million."""
_GSM7_SINGLE_MAX: Final = 160
_ROUND_S: Final = 10
_UDH_BIT: Final = 0x40
_NONE: Final = Options()
TLV_ENTITY: Final = 0x1400
TLV_TEMPLATE: Final = 0x1401

_TemplateKey = tuple[str, str, int, bool, bool, int]
_Run = tuple[str, int, int, int, SubmitTemplate | None]
"""Sender, now, first and end of the deadlines (ms) that share the template last used for a carrier's plain texts."""
_Begun = tuple[str, int, int, int, SubmitTemplate]
_NO_RUN: Final[_Run] = ("", 0, 0, 0, None)
_GSM7, _ASCII = int(Encoding.GSM7), int(Encoding.ASCII)


class Unencodable(Exception):
    """The message cannot be written for this carrier. Its text is a reason without content."""


class Encoder:
    """Writes bodies for every carrier of the configuration; counts concatenation references."""

    def __init__(self, settings: Settings, chance: Chance) -> None:
        self._carriers = {carrier.name: carrier for carrier in settings.carrier}
        self._tlvs = {carrier.name: carrier_tlvs(carrier) for carrier in settings.carrier}
        self._forms = {carrier.name: Form(carrier) for carrier in settings.carrier}
        self._odd = frozenset(name for name, form in self._forms.items() if form.odd)
        self._templates: dict[_TemplateKey, SubmitTemplate] = {}
        self._runs: dict[tuple[str, int, bool], _Run] = {}
        self._plain_runs: dict[str, _Run] = {}
        self._last_plain: tuple[str, bytes | None] = ("", b"")
        self._last_cut: tuple[tuple[str, int, int, bool, int] | None, list[bytes]] = (None, [])
        self._references = array("H", bytes(2 * REFERENCE_SLOTS))
        self._chance = chance

    def reference(self, body: Body, carrier: str) -> int:
        """The next concatenation reference for this sender and destination; 0 where no header is needed."""
        if body.segments == 1:
            return 0
        last_value = 0xFFFF if self._forms[carrier].wide else 0xFF  # 0 means "none yet" in a head
        slot = crc32(f"{body.sender} {body.to}".encode()) % REFERENCE_SLOTS
        last = self._references[slot] or int(self._chance.random() * last_value)
        self._references[slot] = value = 1 + last % last_value
        return value

    def plain(self, body: Body, carrier: str, now: int) -> bytes | None:
        """What `bodies` makes of a GSM-7 text of one segment without options for an ordinary carrier; None for anything else
        (ask `bodies`).

        Messages come in runs: one sender, deadlines of one second. Such a run looks for its template once.
        """
        if body.options is not None or body.encoding != _GSM7 or body.segments != 1:
            return None
        text, payload = self._last_plain
        if text != body.text:
            text, payload = self._last_plain = body.text, gsm7(body.text)
        if payload is None or len(payload) > _GSM7_SINGLE_MAX:
            return None
        deadline_at = body.deadline_at
        sender, at, first, end, template = self._plain_runs.get(carrier) or _NO_RUN
        if sender != body.sender or at != now or not first <= deadline_at < end or template is None:
            if carrier in self._odd:
                return None
            run = self._plain_runs[carrier] = self._run(body, carrier, False, now)
            template = run[4]
        try:
            return template.body(body.to, payload)
        except LocalProtocolError as error:
            raise Unencodable(str(error)) from error

    def bodies(self, body: Body, carrier: str, segments: Sequence[int], reference: int, now: int) -> list[bytes]:
        """What follows the header, for each of the 1-based `segments`, or once for all of them where the carrier takes a long
        message whole; `now` in ms. Raises Unencodable."""
        options = body.options
        try:
            if options is not None or carrier in self._odd or body.encoding == _ASCII:
                return self._unusual(body, options or _NONE, carrier, segments, reference, now)
            many, wide, key = body.segments > 1, self._forms[carrier].wide, (carrier, body.encoding, body.segments > 1)
            sender, at, first, end, template = self._runs.get(key) or _NO_RUN
            if sender != body.sender or at != now or not first <= body.deadline_at < end or template is None:
                run = self._runs[key] = self._run(body, carrier, many, now)
                template = run[4]
            parts = self._parts(body, wide)
            if not many:
                return [template.body(body.to, parts[0])]
            return template.parts(body.to, concat_stem(reference, len(parts), wide), parts, segments)
        except LocalProtocolError as error:
            raise Unencodable(str(error)) from error

    def _parts(self, body: Body, wide: bool, shift: int = 0) -> list[bytes]:
        """The text's parts without headers, as many as were admitted; ASCII as the septets that it becomes. A batch has one
        text for thousands of numbers, so the last cut is remembered."""
        key = (body.text, body.encoding, body.segments, wide, shift)
        if key == self._last_cut[0]:
            return self._last_cut[1]
        encoding = body.encoding
        if encoding == _GSM7 and not shift and (septets := gsm7(body.text)) is not None:
            parts = cut_septets(septets, wide)
        else:
            encoding = Encoding.GSM7 if encoding == _ASCII else Encoding(encoding)
            parts = cut(body.text, encoding, wide, shift)
        if len(parts) != body.segments and not wide:
            # admission cut for the route's widest header; shorter parts are right with a shorter header too
            parts = cut(body.text, Encoding(encoding), True, shift)
        self._last_cut = (key, _all(body, parts))
        return parts

    def _unusual(
        self, body: Body, options: Options, carrier: str, segments: Sequence[int], reference: int, now: int
    ) -> list[bytes]:
        """Options, or a carrier that differs: the long way, part by part."""
        form, total = self._forms[carrier], body.segments
        own = options.udh or header(elements(options.shift))
        if options.binary:
            size = len(own) if total == 1 else len(concat_header(reference, 2, 1, form.wide, own))
            parts = _all(body, [options.binary] if total == 1 else cut_bytes(options.binary, size))
        else:
            parts = self._parts(body, form.wide, options.shift)
        sender, tlvs, to = form.sender(body)[0], own_tlvs(options), form.dest_addr(body.to)
        if form.payload and 1 < total == len(segments) and not own:
            whole = {int(Tlv.MESSAGE_PAYLOAD): form.user_data(body, b"", b"".join(parts))}
            return [self._template(body, sender, carrier, False, options.flash, now, {**tlvs, **whole}).body(to, b"")]
        found: list[bytes] = []
        for number in segments:
            udh, sar = own, {}
            if total > 1 and form.sar:
                sar = sar_tlvs(reference, total, number)
            elif total > 1:
                udh = concat_header(reference, total, number, form.wide, own)
            template = self._template(body, sender, carrier, bool(udh), options.flash, now, {**tlvs, **sar})
            found.append(template.body(to, form.user_data(body, udh, parts[number - 1])))
        return found

    def _run(self, body: Body, carrier: str, udh: bool, now: int) -> _Begun:
        """The run of messages that this one begins: all of a sender, encoding and carrier whose deadlines lie in one second."""
        deadline_at = body.deadline_at
        template = self._template(body, body.sender, carrier, udh, False, now)
        first = max(now + (deadline_at - now) // 1000 * 1000, deadline_at // 1000 * 1000)
        end = min(now + (deadline_at - now) // 1000 * 1000, deadline_at // 1000 * 1000) + 1000
        return body.sender, now, first, end, template

    def _template(
        self,
        body: Body,
        sender: str,
        carrier: str,
        udh: bool,
        flash: bool,
        now: int,
        tlvs: dict[int, bytes] | None = None,
    ) -> SubmitTemplate:
        key = (carrier, sender, body.encoding, udh, flash, bucket := self._bucket(body.deadline_at, carrier, now))
        if not tlvs:
            template = self._templates.get(key)
            if template is not None:
                return template
        template = self._make(body, sender, carrier, udh, flash, validity(self._carriers[carrier], bucket), tlvs or {})
        if not tlvs:
            if len(self._templates) >= TEMPLATES_MAX:
                self._templates.clear()
            self._templates[key] = template
        return template

    def _bucket(self, deadline_at: int, carrier: str, now: int) -> int:
        """Seconds left, or for carriers that want an instant its seconds since 1970, rounded down as the module says."""
        left_s = (deadline_at - now) // 1000
        step = 1 if left_s <= _ROUND_S else _ROUND_S if left_s < 3600 else 60
        rounded = max(1, left_s - left_s % step)
        if self._carriers[carrier].quirks.validity != "absolute":
            return rounded
        instant = deadline_at // 1000
        return instant - instant % _ROUND_S if left_s > _ROUND_S else now // 1000 + rounded

    def _make(
        self, body: Body, sender: str, carrier: str, udh: bool, flash: bool, validity_period: str, tlvs: dict[int, bytes]
    ) -> SubmitTemplate:
        settings = self._carriers[carrier]
        quirks, form = settings.quirks, self._forms[carrier]
        sender = sender or settings.sender
        ton, npi = quirks.source_ton_npi or ton_npi(sender)
        return SubmitTemplate(
            form.source_addr(sender),
            source_ton=ton,
            source_npi=npi,
            dest_ton=quirks.dest_ton,
            dest_npi=quirks.dest_npi,
            service_type=quirks.service_type,
            esm_class=_UDH_BIT if udh else 0,
            data_coding=form.coding(body.encoding, flash),
            validity=validity_period,
            registered_delivery=1,
            tlvs={**self._tlvs[carrier], **tlvs},
        )


def _all(body: Body, parts: list[bytes]) -> list[bytes]:
    """`parts`, when they are as many as were paid for. Raises Unencodable."""
    if len(parts) != body.segments:
        raise Unencodable(f"{len(parts)} segments, admitted with {body.segments}")
    return parts


def ton_npi(sender: str) -> tuple[int, int]:
    """TON and NPI by a sender's form: letters 5/0; up to 8 digits a short code 3/0; else an international number 1/1."""
    digits = sender.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return (Ton.ALPHANUMERIC, Npi.UNKNOWN) if digits else (Ton.UNKNOWN, Npi.UNKNOWN)
    if len(digits) <= SHORT_CODE_DIGITS_MAX and not sender.startswith("+"):
        return Ton.NETWORK_SPECIFIC, Npi.UNKNOWN
    return Ton.INTERNATIONAL, Npi.ISDN


def validity(carrier: Carrier, bucket: int) -> str:
    """validity_period (SMPP 3.4, 7.1.1) for a bucket: relative (seconds left), absolute in UTC (seconds since 1970), none."""
    form = carrier.quirks.validity
    if form == "none":
        return ""
    if form == "absolute":
        return datetime.datetime.fromtimestamp(bucket, datetime.UTC).strftime("%y%m%d%H%M%S") + "000+"
    days, rest = divmod(bucket, 86_400)
    hours, rest = divmod(rest, 3600)
    return f"0000{min(days, 30):02d}{hours:02d}{rest // 60:02d}{rest % 60:02d}000R"


def carrier_tlvs(carrier: Carrier) -> dict[int, bytes]:
    """A carrier's TLVs by number: values in hex ("0x...") or text."""
    return {int(tag, 0): tlv_value(value) for tag, value in carrier.tlvs.items()}


def tlv_value(text: str) -> bytes:
    """ "0x0102" is those octets, anything else its own characters."""
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode("utf-8")


def own_tlvs(options: Options) -> dict[int, bytes]:
    """A send's own TLVs, with its registered entity and template where the market wants them (TLVs 0x1400, 0x1401)."""
    tlvs = dict(options.tlvs)
    if options.entity:
        tlvs[TLV_ENTITY] = options.entity.encode("utf-8")
    if options.template:
        tlvs[TLV_TEMPLATE] = options.template.encode("utf-8")
    return tlvs
