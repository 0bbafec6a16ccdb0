"""Numbers and words of the inbox: what the configuration refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.ops import config

ENTRY = '[[inbound]]\nnumber = "4321"\naccount = "acme"\n'


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        (ENTRY + 'carrier = "nobody"', "inbound", "is not the name of a [[carrier]]"),
        (ENTRY + 'keyword = "two words"', "inbound", "is not one word"),
        (ENTRY + 'keyword = "!"', "inbound", "is not one word"),
        (ENTRY + 'keyword = "Shop"\n' + ENTRY + 'keyword = "SHOP"', "inbound", "already"),
        (ENTRY + ENTRY, "inbound", "already"),
        ('[[inbound]]\nnumber = "+4321"\naccount = "acme"', "inbound", ""),
        ('[[inbound]]\nnumber = "43*21"\naccount = "acme"', "inbound", ""),
        ('[inbox.stop]\nen = ["STOP"]\n[inbox.start]\nen = ["Stop!"]', "inbox.start", "is a word of stop too"),
        ('[inbox.help]\nen = ["?"]', "inbox.help", "holds a word without letters"),
        ("[inbox]\nparts_max = 0", "inbox.parts_max", ""),
    ],
)
def test_what_cannot_count_is_refused(tmp_path: Path, text: str, key: str, problem: str) -> None:
    """Each mistake names its key and what to do, before anything starts."""
    file = tmp_path / "dispatcher.toml"
    file.write_text(text)
    settings, findings = config.inspect(file)
    assert settings is None
    found = [finding for finding in findings if finding.key.startswith(key)]
    assert found, findings
    assert problem in found[0].problem
    assert found[0].remedy


def test_entries_that_differ_are_taken(tmp_path: Path) -> None:
    """The same number with keywords; a beginning; words of a language of one's own."""
    file = tmp_path / "dispatcher.toml"
    more = '[[inbound]]\nnumber = "222*"\naccount = "other"\nsenders = ["Other"]\n[inbox.stop]\nwo = ["TAXAW"]\n'
    file.write_text(ENTRY + ENTRY + 'keyword = "SHOP"\n' + more)
    settings, findings = config.inspect(file)
    assert settings is not None, findings
    assert [entry.account for entry in settings.inbound] == ["acme", "acme", "other"]
