"""Control PDUs: what smpplib writes after its habits are undone, and binds read field by field."""

from __future__ import annotations

import pytest

from smpp import control
from smpp.control import Bind, BindMode, bind, bind_resp, decode_bind, decode_bind_resp, generic_nack, unbind, unbind_resp
from smpp.errors import BadPdu, LocalProtocolError

TRX = BindMode.TRANSCEIVER


def test_bytes_as_the_specification_has_them() -> None:
    """The bytes of SMPP 3.4's own layout, sequence and version included (smpplib alone would lose both)."""
    wire = bind(TRX, "me", "secret", system_type="x", version=0x50, sequence=7, addr_ton=1, addr_npi=2, address_range="^4")
    assert wire == b"\x00\x00\x00\x22\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x07me\0secret\0x\0\x50\x01\x02^4\0"
    assert unbind(8) == b"\x00\x00\x00\x10\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x08"
    assert unbind_resp(8, 4) == b"\x00\x00\x00\x10\x80\x00\x00\x06\x00\x00\x00\x04\x00\x00\x00\x08"
    assert generic_nack(0, 3) == b"\x00\x00\x00\x10\x80\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00"
    answer = bind_resp(TRX, 0, 7, "smsc")
    assert answer == b"\x00\x00\x00\x1a\x80\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x07smsc\0\x02\x10\x00\x01\x34"


@pytest.mark.parametrize("mode", list(BindMode))
def test_bind_round_trip(mode: BindMode) -> None:
    """Every mode with every field."""
    wire = bind(mode, "system", "p" * 8, system_type="type", version=0x33, sequence=0x7FFFFFFF, address_range="r")
    assert Bind(mode, 0x7FFFFFFF, "system", "p" * 8, "type", 0x33, 0, 0, "r") == decode_bind(wire)
    assert mode is BindMode.of(mode.short)


def test_long_passwords() -> None:
    """Some carriers issue passwords of more than 8 characters: sent whole, never cut."""
    assert decode_bind(bind(TRX, "me", "p" * 32)).password == "p" * 32
    with pytest.raises(LocalProtocolError, match="password"):
        bind(TRX, "me", "p" * 33)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("system_id", {"system_id": "x" * 16}),
        ("system_id", {"system_id": "x\0"}),
        ("system_id", {"system_id": "ж"}),
        ("system_type", {"system_type": "x" * 13}),
        ("address_range", {"address_range": "x" * 41}),
    ],
)
def test_what_does_not_fit_is_refused(name: str, arguments: dict[str, str]) -> None:
    """smpplib cuts in silence; here the field is named."""
    with pytest.raises(LocalProtocolError, match=name):
        bind(TRX, **{"system_id": "me", "password": "secret"} | arguments)  # type: ignore[arg-type]


def test_password_is_not_shown() -> None:
    """A bind can be logged."""
    assert "secret" not in repr(decode_bind(bind(TRX, "me", "secret")))


@pytest.mark.parametrize(
    ("cut_at", "name"), [(17, "system_id"), (20, "password"), (26, "system_type"), (28, "interface_version")]
)
def test_short_binds_name_the_field(cut_at: int, name: str) -> None:
    """A bind that ends early says where."""
    wire = bind(TRX, "me", "secret", sequence=5)
    with pytest.raises(BadPdu) as caught:
        decode_bind(wire[:cut_at])
    assert (name, 5, TRX) == (caught.value.field, caught.value.sequence, caught.value.command_id)


def test_not_a_bind() -> None:
    """Another command is no bind."""
    with pytest.raises(BadPdu, match="command_id"):
        decode_bind(unbind(1))


@pytest.mark.parametrize(
    ("body", "system_id", "version"),
    [
        (b"smsc\0\x02\x10\0\x01\x34", "smsc", 0x34),
        (b"smsc\0", "smsc", None),
        (b"smsc", "smsc", None),
        (b"", "", None),
        (b"smsc\0\x02\x10\0", "smsc", None),  # a TLV cut off
        (b"smsc\0\x02\x10\0\x02\x34\x35", "smsc", None),  # a version of two bytes
    ],
)
def test_bind_responses_always_answer(body: bytes, system_id: str, version: int | None) -> None:
    """Whatever the body looks like, the bind is answered."""
    wire = (16 + len(body)).to_bytes(4, "big") + b"\x80\0\0\x09" + b"\0\0\0\0" + b"\0\0\0\x05" + body
    assert (0, 5, system_id, version) == decode_bind_resp(wire)


def test_error_bind_response_has_no_tlv() -> None:
    """A refused bind carries its status and no version."""
    assert decode_bind_resp(bind_resp(TRX, 0x0E, 3, "smsc")) == (0x0E, 3, "smsc", None)


def test_unknown_mode() -> None:
    """Only rx, tx and trx are modes."""
    with pytest.raises(LocalProtocolError):
        control.BindMode.of("tr")
