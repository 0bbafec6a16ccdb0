"""core/notices.py: who a notice is for, when it is tried again, which URLs are some."""

from __future__ import annotations

import pytest

from dispatcher.core.notices import RETRY_AFTER_MAX_S, Notice, Origin, fresh, next_try, origin_of, target_of, tried

NOW = 1_790_000_000_000
DAY_S = 86_400.0


def notice(url: str = "https://Example.com/x", tries: int = 0, first_at: int = 0) -> Notice:
    """A notice."""
    return Notice("evt_1", "m1", "acme", url, "", "standard", True, b"", NOW, tries, first_at)


def test_delays_double_from_ten_seconds_to_a_day() -> None:
    """The last try is just a day after the first; then it is over."""
    one, now, delays = notice(), NOW, []
    while True:
        one = tried(one, now)
        at = next_try(one, now, 10.0, DAY_S)
        if not at:
            break
        delays.append((at - now) // 1000)
        now = at
    assert delays == [10 * 2**n for n in range(13)] + [86_400 - 10 * (2**13 - 1)]
    assert now - NOW == 86_400_000
    assert (one.tries, one.first_at) == (15, NOW)
    assert (fresh(one).tries, fresh(one).first_at, fresh(one).id) == (0, 0, one.id)


def test_retry_after_counts_within_an_hour_and_within_the_day() -> None:
    """Longer than the delay it counts, shorter it does not."""
    first = tried(notice(), NOW)
    assert next_try(first, NOW, 10.0, DAY_S, 5.0) == NOW + 10_000
    assert next_try(first, NOW, 10.0, DAY_S, 60.0) == NOW + 60_000
    assert next_try(first, NOW, 10.0, DAY_S, 1e9) == NOW + RETRY_AFTER_MAX_S * 1000
    late = notice(tries=14, first_at=NOW - 86_399_000)
    assert next_try(late, NOW, 10.0, DAY_S, 3600.0) == NOW + 1000
    assert next_try(late, NOW + 1000, 10.0, DAY_S) == 0


@pytest.mark.parametrize(
    ("url", "origin", "text"),
    [
        ("https://example.com", Origin("https", "example.com", 443), "example.com"),
        ("https://EXAMPLE.com:443/a?b", Origin("https", "example.com", 443), "example.com"),
        ("https://example.com:8443/", Origin("https", "example.com", 8443), "example.com:8443"),
        ("http://10.0.0.1/", Origin("http", "10.0.0.1", 80), "10.0.0.1"),
        ("https://[2001:DB8::1]:444/", Origin("https", "2001:db8::1", 444), "[2001:db8::1]:444"),
        ("https://a_b.example./", Origin("https", "a_b.example.", 443), "a_b.example."),
    ],
)
def test_origins(url: str, origin: Origin, text: str) -> None:
    """Scheme, host in lower case, port."""
    assert (origin_of(url), origin.text) == (origin, text)
    assert target_of(notice(url)) == f"acme {origin.scheme}://{text}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "https://",
        "https:///path",
        "https://:443/",
        "https://user@example.com/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com/#part",
        "https://example.com/#",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://b\u00fccher.example/",
        "https://-example.com/",
        "https://a..b/",
        "https://" + "a" * 64 + ".com/",
        "https://" + "a." * 127 + "com/",
        "https://[::1",
        "https://[nonsense]/",
        "https://[fe80::1%25eth0]/",
        "https://{p0}/",
        "https://a:b:c/",
    ],
)
def test_what_is_no_url(url: str) -> None:
    """Refused with a ValueError, whatever is wrong."""
    with pytest.raises(ValueError, match=r"."):
        origin_of(url)
