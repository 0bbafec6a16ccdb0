"""Ways over the wire that few carriers want: a transmitter beside a receiver, TLS, absolute validity, data_sm of handsets."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trustme

from dispatcher.core.settings import Bind, Settings
from dispatcher.ops import roles
from smpp.constants import Command
from smpp.pdus import Pdu, encode
from smpp.simulator.forms import Whole
from smpp.tlvs import pairs
from tests.dispatcher.engine.world import NUMBER, World, carrier, eventually, route, settings_of, world

# -- tx+rx ---------------------------------------------------------------------------------------------------------------

PAIR = settings_of([carrier(bind={"mode": "tx+rx", "name": "main"})], [route({"alpha": 1})])


def modes(here: World) -> list[str]:
    """Modes of the sessions that are bound at alpha."""
    peers = here.smscs["alpha"].server.peers.values()
    return sorted(peer.login.mode for peer in peers if peer.login is not None and peer.link.ended is None)


async def paired(here: World) -> None:
    """Waits for both to be bound."""

    async def both() -> bool:
        return modes(here) == ["rx", "tx"]

    await eventually(both)


def test_a_pair_submits_over_one_and_hears_over_the_other() -> None:
    """Submits leave over the transmitter alone; receipts and handsets' messages come, and are answered, over the receiver."""

    async def main() -> None:
        async with world(PAIR) as here:
            await paired(here)
            for number in range(20):
                here.send(NUMBER + number, text="Hello " * 40)
            await here.until({"delivered": 20})
            smsc = here.smscs["alpha"]
            by_number = {peer.number: peer.login.mode for peer in smsc.server.peers.values() if peer.login is not None}
            assert {by_number[each.session] for each in smsc.received} == {"tx"}
            smsc.inbound("demo", "447700900123", "Shop", b"Thanks")
            await eventually(lambda: _inbound(here, 1))

            async def answered() -> bool:
                return smsc.stats.receipts_answered == smsc.stats.receipts_sent == 41

            await eventually(answered)

    trio.run(main)


async def _inbound(here: World, count: int) -> bool:
    return len(await here.rows("inbound")) == count


@pytest.mark.parametrize("dies", ["tx", "rx"])
def test_a_pair_lives_and_dies_together(dies: str) -> None:
    """One half is cut: the other unbinds, both come again, and what was accepted is delivered over the new receiver."""

    async def main() -> None:
        async with world(PAIR, scenarios={"alpha": {"receipt_ms": (300, 300)}}) as here:
            await paired(here)
            here.send_many(20)
            await here.until({"submitted": 20})
            smsc = here.smscs["alpha"]
            next(p for p in smsc.server.peers.values() if p.login is not None and p.login.mode == dies).link.drop()
            await here.until({"delivered": 20})
            await paired(here)
            assert smsc.stats.binds == 4
            assert smsc.stats.submits == 20
            here.send(NUMBER + 100)
            await here.until({"delivered": 21})

    trio.run(main)


def test_a_pair_whose_second_connection_fails_keeps_none() -> None:
    """The first is closed again, nothing is sent over half a pair; when it can, it binds both."""

    async def main() -> None:
        async with world(PAIR, start=False) as here:
            real, calls, made = here.connect, 0, []

            async def connect(bind: Bind) -> trio.abc.Stream:
                nonlocal calls
                calls += 1
                if calls % 2 == 0 and calls <= 4:
                    raise OSError("refused")
                made.append(await real(bind))
                return made[-1]

            here.connect = connect  # type: ignore[method-assign]
            here.send()
            await here.start()
            await here.until({"delivered": 1})
            for stream in made[:2]:
                with pytest.raises(trio.ClosedResourceError):
                    await stream.send_all(b"x")
            assert here.log.names().count("connect_failed") == 2
            assert here.smscs["alpha"].stats.binds == 2

    trio.run(main)


# -- TLS -----------------------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority, the carrier's certificate for NAME, and one of ours."""

    NAME = "smpp.carrier.example"

    def __init__(self, folder: Path) -> None:
        self.ca, self.other = trustme.CA(), trustme.CA()
        self.folder = folder
        self.ca.cert_pem.write_to_path(self.ca_file)
        self.other.cert_pem.write_to_path(self.other_file)
        self.ca.issue_cert(self.NAME).private_key_and_cert_chain_pem.write_to_path(self.carrier_file)
        self.ca.issue_cert("we@dispatcher.example").private_key_and_cert_chain_pem.write_to_path(self.our_file)

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    @property
    def other_file(self) -> str:
        return str(self.folder / "other.pem")

    @property
    def carrier_file(self) -> str:
        return str(self.folder / "carrier.pem")

    @property
    def our_file(self) -> str:
        return str(self.folder / "ours.pem")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One for all tests: keys take time."""
    return Authority(tmp_path_factory.mktemp("ca"))


def secured(**bind: Any) -> Settings:
    """One carrier, with these keys of its bind."""
    return settings_of([carrier(bind={"connect_timeout_s": 2.0, "reconnect_max_s": 0.1} | bind)], [route({"alpha": 1})])


async def run_secured(settings: Settings, scenario: dict[str, Any], *, reached: bool) -> World:
    """The engine connects as in production, by address; a send is delivered, or nothing is ever bound."""
    async with world(settings, scenarios={"alpha": scenario}, start=False) as here:

        async def connect(bind: Bind) -> trio.abc.Stream:
            return await roles.connect(msgspec.structs.replace(bind, host="127.0.0.1", port=here.smscs["alpha"].port))

        here.connect = connect  # type: ignore[method-assign]
        await here.start()
        here.send(text="Hello " * 60)
        if reached:
            await here.until({"delivered": 1})
        else:
            await eventually(lambda: _tried(here))
            stats = here.smscs["alpha"].stats
            assert (stats.binds, stats.submits) == (0, 0)
    return here


async def _tried(here: World) -> bool:
    return sum(name in {"connect_failed", "session_ended"} for name in here.log.names()) >= 2


def test_a_bind_over_tls(authority: Authority) -> None:
    """Verified by its authority and its name (SNI), which is not its address."""
    bind = {"tls": True, "tls_ca_file": authority.ca_file, "tls_server_name": authority.NAME}
    trio.run(lambda: run_secured(secured(**bind), {"tls_cert_file": authority.carrier_file}, reached=True))


@pytest.mark.parametrize("wrong", ["authority", "system", "name", "plain"])
def test_nothing_is_sent_to_whom_the_certificate_does_not_name(authority: Authority, wrong: str) -> None:
    """Another authority, the system's only, another name, no TLS at all: no bind, so no password, leaves."""
    bind = {"tls": True, "tls_ca_file": authority.ca_file, "tls_server_name": authority.NAME} | {
        "authority": {"tls_ca_file": authority.other_file},
        "system": {"tls_ca_file": ""},
        "name": {"tls_server_name": "other.example"},
        "plain": {},
    }[wrong]
    scenario = {} if wrong == "plain" else {"tls_cert_file": authority.carrier_file}
    here = trio.run(lambda: run_secured(secured(**bind), scenario, reached=False))
    assert "connect_failed" in here.log.names()


def test_plain_text_to_a_carrier_that_speaks_tls(authority: Authority) -> None:
    """It cannot bind; each try ends and the next follows."""
    trio.run(lambda: run_secured(secured(tls=False), {"tls_cert_file": authority.carrier_file}, reached=False))


@pytest.mark.parametrize("shown", [True, False])
def test_a_carrier_that_asks_for_our_certificate(authority: Authority, shown: bool) -> None:
    """With it we are let in, without it we are not."""
    bind = {"tls": True, "tls_ca_file": authority.ca_file, "tls_server_name": authority.NAME}
    if shown:
        bind["tls_cert_file"] = authority.our_file
    scenario = {"tls_cert_file": authority.carrier_file, "tls_client_ca_file": authority.ca_file}
    trio.run(lambda: run_secured(secured(**bind), scenario, reached=shown))


def test_a_pair_over_tls(authority: Authority) -> None:
    """Both connections are secured."""
    bind = {"tls": True, "tls_ca_file": authority.ca_file, "tls_server_name": authority.NAME, "mode": "tx+rx"}
    trio.run(lambda: run_secured(secured(**bind), {"tls_cert_file": authority.carrier_file}, reached=True))


# -- absolute validity ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("validity_s", [30, 600, 86_400])
def test_absolute_validity_is_the_instant_of_the_deadline(validity_s: int) -> None:
    """In UTC, the same in all parts, never later than the deadline and at most a rounding step earlier."""

    async def main() -> None:
        settings = settings_of([carrier(quirks={"validity": "absolute"})], [route({"alpha": 1})])
        async with world(settings) as here:
            deadline = time.time() + validity_s
            here.send(text="Hello " * 60, validity_s=validity_s)
            await here.until({"delivered": 1})
            found = {each.submit.validity_period for each in here.smscs["alpha"].received}
            (text,) = found
            assert text.endswith("000+")
            told = datetime.datetime.strptime(text[:12], "%y%m%d%H%M%S").replace(tzinfo=datetime.UTC).timestamp()
            assert deadline - 11 <= told <= deadline + 1

    trio.run(main)


# -- data_sm -------------------------------------------------------------------------------------------------------------


def test_a_handsets_message_as_data_sm() -> None:
    """Text in message_payload, by data_coding; parts by SAR; each answered by data_sm_resp, deliver_sm beside it goes on."""

    def data_sm(sequence: int, data: bytes, coding: int = 0, **tlvs: int) -> Whole:
        fields: dict[str, int | str] = {"source_addr_ton": 1, "source_addr_npi": 1, "source_addr": "447700900123"}
        fields |= {"destination_addr": "Shop", "data_coding": coding}
        return Whole(encode(Pdu(Command.DATA_SM, fields, pairs({"message_payload": data, **tlvs}), sequence)))

    async def main() -> None:
        async with world(settings_of([carrier()], [route({"alpha": 1})])) as here:
            here.send()
            await here.until({"delivered": 1})
            smsc = here.smscs["alpha"]
            (peer,) = smsc.server.peers.values()
            strays = peer.link.session.strays
            parts = {"sar_msg_ref_num": 7, "sar_total_segments": 2}
            smsc.inbound_over("demo", 0, data_sm(501, b"Hello"))
            smsc.inbound_over("demo", 0, data_sm(502, "Привет".encode("utf-16-be"), 8))
            smsc.inbound_over("demo", 0, data_sm(503, b"two", **parts, sar_segment_seqnum=2))
            smsc.inbound_over("demo", 0, data_sm(504, b"one ", **parts, sar_segment_seqnum=1))
            smsc.inbound("demo", "447700900124", "Shop", b"plain")
            await eventually(lambda: _inbound(here, 4))
            found = {row["text"]: row["from"] for row in await here.rows("inbound")}
            assert found == dict.fromkeys(("Hello", "Привет", "one two"), "447700900123") | {"plain": "447700900124"}

            async def answered() -> bool:  # the simulator's session did not ask, so each data_sm_resp is a stray to it
                return peer.link.session.strays == strays + 4

            await eventually(answered)
            here.send(NUMBER + 1)
            await here.until({"delivered": 2})

    trio.run(main)
