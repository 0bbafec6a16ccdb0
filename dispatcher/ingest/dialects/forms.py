"""Forms: application/x-www-form-urlencoded and multipart/form-data into name and value, in order. UTF-8 only.

This module refuses to keep files: a part with a file name is passed over.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

_NAME = re.compile(rb';\s*name="?([^";\r\n]*)"?', re.IGNORECASE)
_FILE = re.compile(rb";\s*filename\*?=", re.IGNORECASE)
PARTS_MAX = 1000


class NotText(ValueError):
    """Not UTF-8, or no form at all."""


def media_type(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def form_pairs(content_type: str, body: bytes) -> list[tuple[str, str]]:
    """Names and values; blank ones are kept. Anything that is not multipart is taken as URL-encoded. Raises NotText."""
    try:
        if media_type(content_type) == "multipart/form-data":
            return _multipart(content_type, body)
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=PARTS_MAX)
    except ValueError as error:
        raise NotText from error


def _multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    found = re.search(r'boundary="?([^";]{1,70})"?', content_type, re.IGNORECASE)
    if found is None:
        raise NotText
    parts = (b"\r\n" + body).split(b"\r\n--" + found[1].strip().encode())
    if len(parts) < 2 or len(parts) > PARTS_MAX:
        raise NotText
    pairs: list[tuple[str, str]] = []
    for part in parts[1:]:
        if part.startswith(b"--"):
            break
        head, gap, value = part.partition(b"\r\n\r\n")
        disposition = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"content-disposition:")), b"")
        name = _NAME.search(disposition)
        if gap and name is not None and not _FILE.search(disposition):
            pairs.append((name[1].decode(), value.decode()))
    return pairs
