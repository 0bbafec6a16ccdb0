"""Preflight: each setting that breaks promise P1 is named, with its value and the one wanted."""

from __future__ import annotations

import pytest

from dispatcher.ops.preflight import judge

GOOD = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory": "1000",
    "maxmemory-policy": "noeviction",
    "used_memory": "800",
    "version": "7.0.0",
    "aof_last_write_status": "ok",
    "role": "master",
}


def test_a_good_server_has_no_objection() -> None:
    """At exactly the memory limit, with the oldest version."""
    assert judge(GOOD, "fsync") == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("appendonly", "no"),
        ("appendonly", ""),
        ("appendfsync", "everysec"),
        ("no-appendfsync-on-rewrite", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
        ("used_memory", "801"),
        ("version", "6.2.14"),
        ("version", ""),
        ("aof_last_write_status", "err"),
        ("role", "slave"),
        ("loading", "1"),
    ],
)
def test_each_broken_setting_is_named(setting: str, value: str) -> None:
    """One change, one objection, about that setting."""
    found = judge({**GOOD, setting: value}, "fsync")
    assert [(objection.setting, objection.value) for objection in found] == [(setting, value)]
    assert setting in str(found[0])
    assert "wanted" in str(found[0])


def test_everysec_when_chosen() -> None:
    """The weaker durability accepts both policies, and a rewrite must not suspend it."""
    assert judge({**GOOD, "appendfsync": "everysec"}, "everysec") == []
    assert judge(GOOD, "everysec") == []
    weak = {**GOOD, "appendfsync": "everysec", "no-appendfsync-on-rewrite": "yes"}
    assert [objection.setting for objection in judge(weak, "everysec")] == ["no-appendfsync-on-rewrite"]
    assert [objection.setting for objection in judge({**GOOD, "appendfsync": "no"}, "everysec")] == ["appendfsync"]


def test_our_own_limit_counts_too() -> None:
    """retention.store_bytes_max below maxmemory refuses earlier."""
    assert [objection.setting for objection in judge(GOOD, "fsync", bytes_max=900)] == ["used_memory"]


def test_a_server_that_shows_nothing_keeps_nothing() -> None:
    """A managed server without CONFIG: the promise cannot be checked."""
    assert {objection.setting for objection in judge({}, "fsync")} >= {
        "appendonly",
        "appendfsync",
        "maxmemory-policy",
        "version",
    }
