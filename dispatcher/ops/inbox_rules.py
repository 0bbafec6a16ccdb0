"""What [[inbound]] and [inbox] may say, checked before a process starts: carriers that exist, entries and words that differ."""

from __future__ import annotations

from typing import Any

from dispatcher.core.inbox import folded
from dispatcher.ops.findings import Report, did_you_mean


def check_inbox(report: Report, carriers: list[str]) -> None:
    """Adds a finding for each entry that could never count, and each word that would mean two things."""
    seen: dict[tuple[str, ...], str] = {}
    entries = report.data.get("inbound", [])
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            _entry(report, ("inbound", index), entry, carriers, seen)
    inbox = report.data.get("inbox", {})
    if not isinstance(inbox, dict):
        return
    known: dict[str, str] = {}
    for kind in ("stop", "start", "help"):
        languages = inbox.get(kind, {})
        for language, words in languages.items() if isinstance(languages, dict) else ():
            for word in words if isinstance(words, list) else ():
                if known.setdefault(folded(str(word)), kind) != kind:
                    what = f"is a word of {known[folded(str(word))]} too"
                    report.add(("inbox", kind, language), what, "keep it in one of them", value=word)
                elif not folded(str(word)):
                    report.add(("inbox", kind, language), "holds a word without letters", "remove it", value=word)


def _entry(
    report: Report, path: tuple[str, int], entry: dict[str, Any], carriers: list[str], seen: dict[tuple[str, ...], str]
) -> None:
    number, keyword, carrier = (str(entry.get(name, "")) for name in ("number", "keyword", "carrier"))
    if carrier and carrier not in carriers:
        report.add((*path, "carrier"), "is not the name of a [[carrier]]", did_you_mean(carrier, carriers), value=carrier)
    if keyword and (not folded(keyword) or " " in folded(keyword)):
        remedy = "write one word of letters and digits: only a message's first word is compared"
        report.add((*path, "keyword"), "is not one word", remedy, value=keyword)
    same = (number.casefold(), folded(keyword), carrier)
    line = str(report.lines.get(path, 0))
    if number and same in seen:
        report.add((*path, "number"), f"stands in line {seen[same]} already", "change its keyword or carrier", value=number)
    seen.setdefault(same, line)
