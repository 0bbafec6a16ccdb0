"""Foreign calculators count our segments and foreign decoders read our octets, over random texts in every script.

`python -m tests.interop.segments --texts 100000 --seed 1`: counts by Twilio's sms-segments-calculator and split-sms (npm) and
smsutil (PyPI); septets read by gsm0338 and smsutil, packed ones by smspdudecoder and python-gsmmodem, UTF-16 by Node. Every
disagreement must be one of those explained in EXPLAINED, which are counted; the last line is `segments: PASS ...` or FAIL.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

from smpp.segments import count, cut
from smpp.septets import pack, unpack
from smpp.text import Encoding, gsm7, narrowest
from tests.interop.foreign import OWN, Missing, environment, program, run
from tests.smpp.foreign_decoder import EXTENSION_CHARACTERS, GSM_CHARACTERS, septets_to_text

NODE_PACKAGES = ("sms-segments-calculator@1.3.0", "split-sms@0.1.7")
PYTHON_PACKAGES = ("gsm0338==1.1.0", "smsutil==1.1.3", "smspdudecoder==2.2.0", "bitstring<5", "python-gsmmodem-2025==0.1.3")
EXPLAINED = {
    "empty": "smsutil takes a text without characters for UCS-2",
    "crlf": "Twilio takes CR LF for one character, which is in no GSM table, and counts the text as UCS-2",
    "grapheme": "Twilio never cuts what is seen as one character, even where that costs a segment; we only where it costs none",
    "gsmmodem": "python-gsmmodem has a backtick for the paragraph sign, no form feed, pads with CR or @ otherwise",
}
"""Why foreign programs say something else: each case is recognised by a rule of its own, anything else is a fault."""
SCRIPT = """
const { SegmentedMessage } = require('sms-segments-calculator');
const split = require('split-sms').split;
const decoder = new TextDecoder('utf-16be', { fatal: true, ignoreBOM: true });
const lines = require('readline').createInterface({ input: process.stdin });
lines.on('line', line => {
  const [text, parts] = JSON.parse(line);
  let read = null;
  try { read = parts.map(part => decoder.decode(Buffer.from(part, 'hex'))); } catch (error) { read = String(error); }
  const twilio = new SegmentedMessage(text);
  const other = split(text, { summary: true });
  console.log(JSON.stringify([twilio.encodingName, twilio.segmentsCount, other.characterSet, other.parts.length, read,
    twilio.graphemes.some(each => [...each].length > 1)]));
});
"""
CHUNK = 2_000


def installed() -> Path:
    """Where the foreign packages are; fetched when they are not there. Raises Missing."""
    node, python = OWN / "node", OWN / "python"
    if not (node / "node_modules" / "split-sms").exists():
        node.mkdir(parents=True, exist_ok=True)
        run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(node), *NODE_PACKAGES)
    if not (python / "smspdudecoder").exists():
        run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(python), *PYTHON_PACKAGES)
    sys.path.append(str(python))
    return node


def scripts() -> list[list[str]]:
    """Assigned characters of the first two planes by block of 256, without surrogates and private ones."""
    found: list[list[str]] = []
    for start in (*range(0, 0xD800, 0x100), *range(0xF900, 0x20000, 0x100)):
        block = [chr(point) for point in range(start, start + 0x100)]
        block = [each for each in block if unicodedata.category(each) not in {"Cn", "Cs", "Co", "Cc"}]
        if block:
            found.append(block)
    return found


def texts(number: int, seed: int) -> list[str]:
    """Half of them near the limits; a third GSM, a third of one script with Latin between, a third of anything."""
    chance = random.Random(seed)
    blocks, gsm = scripts(), GSM_CHARACTERS + EXTENSION_CHARACTERS * 2
    emoji = ["🙂", "👩🏽", "👨\u200d👩\u200d👧", "🇩🇪", "❤\ufe0f", "e\u0301", "\r\n", "€"]
    found: list[str] = []
    for _ in range(number):
        kind = chance.randrange(3)
        limit = chance.choice((70, 134, 160, 201, 268, 306, 459)) + chance.randrange(-3, 4)
        size = limit if chance.random() < 0.5 else chance.randrange(500)
        alphabet: list[str] = list(gsm)
        if kind == 1:
            alphabet = chance.choice(blocks) + list("abc 123.") * 4
        elif kind == 2:
            alphabet = [each for block in chance.sample(blocks, 3) for each in block] + emoji * 8 + list(GSM_CHARACTERS)
        found.append("".join(chance.choices(alphabet, k=size)))
    return found


def explained(text: str, whose: str, theirs: tuple[str, int], ours: tuple[str, int], *, joined: bool) -> str:
    """Why a calculator says something else, "" when nobody knows. `joined`: some characters are seen as one."""
    if whose == "smsutil" and not text:
        return "empty"
    if whose == "twilio" and ours[0] == "GSM-7" and theirs[0] == "UCS-2" and "\r\n" in text:
        return "crlf"
    if whose == "twilio" and ours[0] == theirs[0] == "UCS-2" and theirs[1] > ours[1] and joined:
        return "grapheme"
    return ""


def mended(text: str) -> str:
    """A text as python-gsmmodem's table has it."""
    return text.replace("§", "`").replace("\f", "")


def padded(shown: str, septets: bytes) -> str:
    """What python-gsmmodem shows, but for padding: it keeps the CR in seven bits left over, and drops an @ that is the last of
    eight septets."""
    right = mended(septets_to_text(septets))
    if len(septets) % 8 == 0 and septets.endswith(b"\0") and shown == right[:-1]:
        return right
    return right if len(septets) % 8 == 7 and shown in {right, f"{right}\r"} else shown


def check_texts(node: Path, some: list[str], tally: Counter[str], faults: list[str]) -> None:
    """All calculators and decoders over some texts."""
    import gsm0338  # type: ignore[import-not-found]
    import smsutil  # type: ignore[import-not-found]
    from gsmmodem.pdu import decodeGsm7, unpackSeptets  # type: ignore[import-not-found]
    from smspdudecoder.codecs import GSM  # type: ignore[import-not-found]

    codec: Any = gsm0338.Codec()
    both = (Encoding.GSM7, Encoding.UCS2)
    plan: list[tuple[str, Encoding, list[bytes]]] = []
    for text in some:
        encoding = narrowest(text, both)
        assert encoding is not None
        plan.append((text, encoding, cut(text, encoding)))
    lines = [json.dumps([text, [p.hex() for p in parts] if enc == Encoding.UCS2 else []]) for text, enc, parts in plan]
    ended = subprocess.run(
        [program("node", "nodejs"), "-e", SCRIPT],
        input="\n".join(lines) + "\n",
        cwd=node,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    if ended.returncode:
        raise Missing(f"node: {ended.stderr[-300:]}")
    for (text, encoding, parts), line in zip(plan, ended.stdout.rstrip("\n").split("\n"), strict=True):
        name = "GSM-7" if encoding == Encoding.GSM7 else "UCS-2"
        ours = (name, len(parts))
        twilio, twilio_count, other, other_count, read, joined = json.loads(line)
        foreign = smsutil.split(text)
        said = {
            "twilio": (twilio, twilio_count),
            "split-sms": ("GSM-7" if other == "GSM" else "UCS-2", other_count),
            "smsutil": ("GSM-7" if foreign.encoding == "gsm0338" else "UCS-2", len(foreign.parts) or 1),
        }
        if count(text, encoding) != len(parts):
            faults.append(f"count and cut differ: {text!r}")
        for whose, theirs in said.items():
            if theirs != ours:
                why = explained(text, whose, theirs, ours, joined=joined)
                tally[f"{whose}: {why or 'unexplained'}"] += 1
                if not why:
                    faults.append(f"{whose} says {theirs}, we {ours}: {text!r}")
        tally[name] += 1
        if encoding == Encoding.UCS2:
            if not isinstance(read, list) or "".join(read) != text:
                faults.append(f"Node reads something else: {text!r}")
            continue
        for whose, shown in (
            ("gsm0338", "".join(codec.decode(part)[0] for part in parts)),
            ("smsutil", "".join(smsutil.decode(part) for part in parts)),
            ("smspdudecoder", "".join(GSM.decode(pack(p).hex(), strip_padding=len(p) % 8 == 7) if p else "" for p in parts)),
            ("python-gsmmodem", "".join(padded(decodeGsm7(unpackSeptets(pack(p), len(p))), p) for p in parts)),
        ):
            if whose == "python-gsmmodem" and shown == mended(text) != text:
                tally[f"{whose}: gsmmodem"] += 1
            elif shown != text:
                tally[f"{whose}: reads something else"] += 1
                faults.append(f"{whose} reads {shown!r} for {text!r}")
        if any(unpack(pack(p)) != p for p in parts if not (len(p) % 8 == 0 and p[-1:] in {b"\0", b"\r"})):
            faults.append(f"unpacked is something else: {text!r}")
        assert gsm7(text) is not None


def main() -> int:
    """1 when anything is unexplained."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop.segments", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--texts", type=int, default=2_000, metavar="N", help="how many (default 2,000)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the texts (default 1)")
    wanted = parser.parse_args()
    faults: list[str] = []
    tally: Counter[str] = Counter()
    try:
        node = installed()
        everything = texts(wanted.texts, wanted.seed)
        for start in range(0, len(everything), CHUNK):
            check_texts(node, everything[start : start + CHUNK], tally, faults)
    except Missing as error:
        faults.append(str(error))
    for name, number in sorted(tally.items()):
        why = EXPLAINED.get(name.partition(": ")[2], "")
        print(f"{number:>8}  {name.partition(': ')[0] if why else name}{': ' + why if why else ''}")
    for fault in faults[:20]:
        print(f"FAIL {fault[:500]}")
    print(f"segments: {'FAIL' if faults else 'PASS'} {wanted.texts} texts, seed {wanted.seed}, {len(faults)} unexplained")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
