"""Which addresses may be called: every form that leads inside is refused, whatever it is written like."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from dispatcher.core.notices import Origin
from dispatcher.notices import addresses
from dispatcher.notices.addresses import ACCOUNT_LOOKUPS_MAX, Allowed, Names, judged

INSIDE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
OUTSIDE = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", INSIDE)
def test_inside_is_refused(address: str) -> None:
    """Loopback, private, link-local, carriers' NAT, metadata, multicast, reserved; also inside IPv6 forms."""
    assert not Allowed().permits(address, 443)


@pytest.mark.parametrize("address", OUTSIDE)
def test_outside_may_be_called(address: str) -> None:
    """One beside each range; an IPv4 address in an IPv6 form is judged as itself."""
    assert Allowed().permits(address, 443)


def test_ports() -> None:
    """443 and what no system service listens on; 80 only where http is allowed."""
    assert [p for p in (1, 22, 25, 80, 442, 443, 444, 1023, 1024, 8443, 65535) if Allowed().permits("8.8.8.8", p)] == [
        443,
        1024,
        8443,
        65535,
    ]
    assert Allowed(insecure=True).permits("8.8.8.8", 80)
    assert not Allowed(insecure=True).permits("8.8.8.8", 25)


def test_an_operator_may_open_networks() -> None:
    """Only those, whatever port, also in their IPv6 form; not what lies beside."""
    allowed = Allowed(["10.1.0.0/16", "fd00::/8"])
    assert allowed.permits("10.1.2.3", 80)
    assert allowed.permits("::ffff:10.1.2.3", 443)
    assert allowed.permits("fd00::1", 443)
    assert not allowed.permits("10.2.0.1", 443)
    assert not allowed.permits("fe80::1", 443)
    assert not allowed.permits("not an address", 443)
    with pytest.raises(ValueError, match="does not appear"):
        Allowed(["everything"])


def test_one_address_inside_refuses_the_name() -> None:
    """A name that leads outside and inside is refused whole."""
    origin = Origin("https", "x.example", 443)
    assert judged(["8.8.8.8", "1.1.1.1"], origin, Allowed()) == ["8.8.8.8", "1.1.1.1"]
    assert judged(["8.8.8.8", "127.0.0.1"], origin, Allowed()) == ()
    assert judged([], origin, Allowed()) == []


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "localhost", "127.0.0.1"])
def test_odd_spellings_are_judged_by_what_they_lead_to(host: str) -> None:
    """The system's resolver reads them; the result is what counts."""

    async def case() -> None:
        names = Names()
        found = await names.resolve("acme", host, 443)
        names.close()
        assert found
        assert judged(found, Origin("https", host, 443), Allowed()) == ()

    asyncio.run(case())


def test_slow_names_of_one_account_leave_threads_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account has a few lookups at once, counted until their threads end, not until somebody stops waiting."""
    release = threading.Event()

    def look_up(host: str, _: int) -> list[str]:
        if host == "slow":
            release.wait(10)
        return ["8.8.8.8"]

    monkeypatch.setattr(addresses, "_look_up", look_up)

    async def case() -> None:
        names = Names()
        slow = [asyncio.create_task(names.resolve("bad", "slow", 1)) for _ in range(ACCOUNT_LOOKUPS_MAX)]
        await asyncio.sleep(0.05)
        with pytest.raises(OSError, match="too many"):
            await names.resolve("bad", "slow", 1)
        for one in slow:
            one.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        with pytest.raises(OSError, match="too many"):
            await names.resolve("bad", "quick", 1)
        began = time.monotonic()
        assert await names.resolve("good", "quick", 1) == ["8.8.8.8"]
        assert time.monotonic() - began < 1
        release.set()
        for _ in range(100):
            await asyncio.sleep(0.01)
            try:
                assert await names.resolve("bad", "quick", 1) == ["8.8.8.8"]
                break
            except OSError:
                continue
        else:
            raise AssertionError("its turns never came back")
        names.close()

    asyncio.run(case())
