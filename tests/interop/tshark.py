"""Wireshark reads what a dispatcher sends: carriers of every quirk, every encoding, every way to join parts, ports and a WAP
push, TLVs, flash, receipts, handsets' messages, binding and unbinding. No frame may be malformed, and the fields that tshark
shows must be what was meant, which this module knows from the sends alone.

`python -m tests.interop.tshark` prints one line a check; `make interop` calls `tshark_checks`.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from smpp.ports import ported, wap_push
from tests.interop.foreign import Missing, environment, program
from tests.process.installation import Carrier, Installation, wait_for
from tests.smpp.foreign_decoder import septets_to_text

Check = Callable[[str, bool, str], None]
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "national.json").read_text())
CARRIERS = {
    "plain": "",
    "wide": 'concat = "udh16"',
    "sar": 'concat = "sar"',
    "whole": 'concat = "payload"',
    "packed": 'packed = true\nnational = ["turkish", "hindi"]',
    "languages": 'national = ["turkish", "spanish", "portuguese", "hindi", "tamil", "urdu"]',
    "ascii": 'encodings = ["ascii", "ucs2"]\ndcs = { ucs2 = 24 }',
    "latin": 'encodings = ["latin1", "ucs2", "binary"]',
    "numbers": 'plus = true\nto_strip = "49"\nto_add = "4900"',
    "letters": 'sender_alphabet = "gsm7"',
}


ASKED, TAKEN_BACK = "491511299998", "491511299999"
"""Numbers without receipts: of the one the carrier is asked, the other's message is cancelled."""
SCENARIO = 'answer_ms = [1, 3]\nreceipt_ms = [5, 20]\nquery = "answer"\ncancel = "answer"\n'
SCENARIO += f'[[rule]]\nnumber = "{ASKED}"\noutcome = "no_receipt"\n'
SCENARIO += f'[[rule]]\nnumber = "{TAKEN_BACK}"\noutcome = "no_receipt"\ntruth = "ENROUTE"\n'
SCENARIO += "".join(f'[[login]]\nsystem_id = "{name}"\npassword = "demo"\n' for name in CARRIERS)


WANTED = {"bind": "0x00000009", "unbind": "0x00000006", "enquire_link": "0x00000015", "deliver_sm_resp": "0x80000005"}
WANTED |= {"query_sm": "0x00000003", "cancel_sm": "0x00000008"}
"""Beside submit_sm."""


class Case(NamedTuple):
    """A send over the carrier of that name, and what tshark must show of each of its `parts` (`whole`: of the one with all)."""

    carrier: str
    text: str = ""
    parts: int = 1
    coding: int = 0
    udhi: bool = False
    fields: Mapping[str, str] = MappingProxyType({})
    send: Mapping[str, Any] = MappingProxyType({})
    whole: bool = False


def b64(data: bytes) -> str:
    """As the API takes octets."""
    return base64.b64encode(data).decode()


PORTS = ported(16_000, 16_001)
PUSH_UDH, PUSH = wap_push("http://example.com/a", "Look at this")
CASES = (
    Case("plain", "Hello @£ €[]"),
    Case("plain", "Hello " * 60, 3, udhi=True),
    Case("plain", "€" * 100, 2, udhi=True),
    Case("plain", "Привет, мир", coding=8),
    Case("plain", "Привет 🙂 " * 20, 3, coding=8, udhi=True),
    Case("plain", "Flash!", coding=0x10, send={"flash": True}),
    Case("plain", "Вспышка", coding=0x18, send={"flash": True}),
    Case("plain", "x", fields={"smpp.source_addr": "12345", "smpp.source_addr_ton": "0x03"}, send={"from": "12345"}),
    Case("plain", "x", fields={"smpp.source_addr": "4917000000", "smpp.source_addr_ton": "0x01"}, send={"from": "+4917000000"}),
    Case("plain", "x", fields={"smpp.source_port": "0x1234"}, send={"tlvs": {"source_port": "0x1234"}}),
    Case("plain", "x", fields={"smpp.opt_param_tag": "0x1400,0x1401"}, send={"entity": "1101", "template": "7"}),
    Case("plain", coding=4, send={"binary": b64(bytes(range(100)))}),
    Case("plain", parts=3, coding=4, udhi=True, send={"binary": b64(bytes(range(256)) + bytes(90))}),
    Case("plain", coding=4, udhi=True, send={"binary": b64(b"ring"), "udh": b64(ported(240, 241, wide=False))}),
    Case("plain", coding=4, udhi=True, send={"binary": b64(b"card"), "udh": b64(PORTS)}),
    Case("plain", coding=4, udhi=True, send={"binary": b64(PUSH), "udh": b64(PUSH_UDH)}),
    Case("wide", "Hello " * 60, 3, udhi=True),
    Case("wide", "Привет" * 30, 3, coding=8, udhi=True),
    Case("sar", "Hello " * 60, 3),
    Case("sar", "Привет" * 30, 3, coding=8),
    Case("whole", "Hello " * 60, 3, whole=True),
    Case("whole", "Привет" * 30, 3, coding=8, whole=True),
    Case("whole", parts=3, coding=4, send={"binary": b64(bytes(range(256)) + bytes(90))}, whole=True),
    Case("whole", "Hello"),
    Case("packed", "Hello @£ €"),
    Case("packed", "Seven77"),
    Case("packed", "Hello " * 60, 3, udhi=True),
    Case("packed", "Işık ğüşiöç " * 10, udhi=True),
    Case("languages", "Işık ğüşiöç " * 10, udhi=True),
    Case("languages", "Işık ğüşiöç " * 20, 2, udhi=True),
    Case("languages", "Ação não é opção; água à noite, José Ângelo. " * 4, 2, udhi=True),
    Case("languages", "नमस्ते दुनिया, आप कैसे हैं? " * 6, 2, udhi=True),
    Case("languages", "அனைவருக்கும் வணக்கம் " * 8, 2, udhi=True),
    Case("ascii", "Hello [world]", coding=1),
    Case("ascii", "a{b}" * 60, 3, coding=1, udhi=True),
    Case("ascii", "Ж" * 71, 2, coding=24, udhi=True),
    Case("latin", "Café ÿ", coding=3),
    Case("latin", "é" * 141, 2, coding=3, udhi=True),
    Case("numbers", "x", fields={"smpp.source_addr": "+491700000000"}, send={"from": "491700000000"}),
    Case("letters", "x", fields={"smpp.source_addr": "ABC_"}, send={"from": "ABC_"[:3] + "§"}),
)


class Recorder:
    """Passes bytes on to `target` and notes every PDU of every connection, both ways: (connection, outward, PDU)."""

    def __init__(self, target: int) -> None:
        self.pdus: list[tuple[int, bool, bytes]] = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No more connections."""
        self._listener.close()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            number += 1
            for source, sink, outward in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pass, args=(number, source, sink, outward), daemon=True).start()

    def _pass(self, number: int, source: socket.socket, sink: socket.socket, outward: bool) -> None:
        pending = b""
        try:
            while data := source.recv(65536):
                pending += data
                while len(pending) >= 16 and len(pending) >= (size := int.from_bytes(pending[:4], "big")):
                    self.pdus.append((number, outward, pending[:size]))
                    pending = pending[size:]
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def write_pcap(path: Path, pdus: list[tuple[int, bool, bytes]]) -> None:
    """A capture with one PDU a TCP segment: raw IPv4, port 2775, a connection a client port."""
    sequences: dict[tuple[int, bool], int] = {}
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 101))
        for place, (number, outward, pdu) in enumerate(pdus):
            ports = (40_000 + number, 2775) if outward else (2775, 40_000 + number)
            sequence = sequences.setdefault((number, outward), 1)
            acknowledged = sequences.setdefault((number, not outward), 1)
            sequences[number, outward] = sequence + len(pdu)
            tcp = struct.pack(">HHIIBBHHH", *ports, sequence, acknowledged, 5 << 4, 0x18, 65_535, 0, 0)
            addresses = bytes((127, 0, 0, 1, 127, 0, 0, 1))
            ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(pdu), place & 0xFFFF, 0, 64, 6, 0) + addresses
            file.write(struct.pack("<IIII", 1_700_000_000 + place // 1000, place % 1000, 40 + len(pdu), 40 + len(pdu)))
            file.write(ip + tcp + pdu)


SHOWN = (
    "frame.number", "smpp.command_id", "smpp.sequence_number", "smpp.source_addr", "smpp.source_addr_ton",
    "smpp.source_addr_npi", "smpp.destination_addr", "smpp.dest_addr_ton", "smpp.esm.submit.features", "smpp.data_coding",
    "smpp.sm_length", "smpp.message", "smpp.message_payload", "smpp.regdel.receipt", "smpp.source_port", "smpp.opt_param_tag",
    "smpp.sar_msg_ref_num", "smpp.sar_total_segments", "smpp.sar_segment_seqnum", "gsm_sms.udh.mm.msg_parts",
    "gsm_sms.udh.mm.msg_part", "gsm_sms.udh.mm.msg_id", "smpp.command_status",
)  # fmt: skip


def ask(tshark: str, capture: Path, *arguments: str) -> list[str]:
    """tshark's lines."""
    command = [tshark, "-r", str(capture), "-o", "ip.check_checksum:FALSE", "-o", "tcp.check_checksum:FALSE", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120, check=False)
    if ended.returncode:
        raise Missing(f"tshark ended with {ended.returncode}: {ended.stderr.strip()[-200:]}")
    return ended.stdout.splitlines()


def rows(tshark: str, capture: Path) -> list[dict[str, str]]:
    """The fields of every frame."""
    lines = ask(tshark, capture, "-T", "fields", "-E", "separator=|", *(word for name in SHOWN for word in ("-e", name)))
    return [dict(zip(SHOWN, line.split("|"), strict=True)) for line in lines]


def national(septets: bytes, locking: int, single: int) -> str:
    """Text by oFono's tables, or by the default ones of the tests' own handset."""
    basic = VECTORS["locking"].get(str(locking), "").split()
    shown, rest = "", iter(septets)
    for septet in rest:
        if septet == 0x1B:
            shown += chr(int(VECTORS["single"][str(single)][f"{next(rest):02x}"], 16))
        else:
            shown += chr(int(basic[septet], 16)) if basic else septets_to_text(bytes((septet,)))
    return shown


def unpacked(octets: bytes, header: int) -> bytes:
    """Septets of packed user data, bit by bit, from the first boundary behind the header."""
    bits = "".join(f"{octet:08b}"[::-1] for octet in bytes(header) + octets)
    start = -(-header * 8 // 7) * 7
    found = [int(bits[at : at + 7][::-1], 2) for at in range(start, len(bits) - 6, 7)]
    return bytes(found[:-1] if len(bits) % 7 == 0 and found[-1] == 0x0D else found)


def text_of(case: Case, parts: list[tuple[bytes, bytes]]) -> str:
    """What a handset shows of (header, data), first part first."""
    shown = ""
    for header, data in parts:
        tables = {0x24: 0, 0x25: 0}
        at = 1
        while at < len(header):
            if header[at] in tables:
                tables[header[at]] = header[at + 2]
            at += 2 + header[at + 1]
        if case.coding in {8, 24}:
            shown += data.decode("utf-16-be")
        elif case.coding in {1, 3}:
            shown += data.decode("latin-1")
        else:
            septets = unpacked(data, len(header)) if case.carrier == "packed" else data
            shown += national(septets, tables[0x25], tables[0x24])
    return shown


def number_of(index: int) -> str:
    """A destination of its own for each case."""
    return f"4915112{index:06}"


def compare(cases: tuple[Case, ...], found: list[dict[str, str]], check: Check) -> None:
    """Each case against its frames."""
    submits = [row for row in found if row["smpp.command_id"] == "0x00000004"]
    for index, case in enumerate(cases):
        number = number_of(index)
        to = f"+4900{number[2:]}" if case.carrier == "numbers" else number
        mine = [row for row in submits if row["smpp.destination_addr"] == to]
        name = f"{case.carrier}: {case.text[:12] or 'binary'!r} {dict(case.send) or ''}"[:70]
        frames = 1 if case.whole else case.parts
        wrong = [f"{len(mine)} frames, meant {frames}"] if len(mine) != frames else []
        pieces: list[tuple[int, bytes, bytes]] = []
        for row in mine:
            data = bytes.fromhex(row["smpp.message_payload" if case.whole else "smpp.message"])
            header = data[: data[0] + 1] if case.udhi else b""
            place = row["gsm_sms.udh.mm.msg_part"] or row["smpp.sar_segment_seqnum"] or "1"
            total = row["gsm_sms.udh.mm.msg_parts"] or row["smpp.sar_total_segments"] or "1"
            pieces.append((int(place), header, data[len(header) :]))
            wanted = {
                "smpp.data_coding": f"0x{case.coding:02x}",
                "smpp.esm.submit.features": "0x01" if case.udhi else "0x00",
                "smpp.dest_addr_ton": "0x01",
                "smpp.regdel.receipt": "0x01",
                "smpp.sm_length": "0" if case.whole else str(len(data)),
                "smpp.source_addr": "Shop",
                **case.fields,
            }
            wrong += [f"{key} {row[key]}, meant {value}" for key, value in wanted.items() if row[key] != value]
            wrong += [f"of {total} parts"] if int(total, 0) != frames else []
        pieces.sort()
        whole = [(header, data) for _, header, data in pieces]
        wrong += ["parts are not 1 to the last"] if [place for place, _, _ in pieces] != list(range(1, len(pieces) + 1)) else []
        if case.text and (shown := text_of(case, whole)) != case.text:
            wrong.append(f"shows {shown!r}")
        if not case.text and b64(b"".join(data for _, data in whole)) != case.send["binary"]:
            wrong.append("other octets")
        check(f"tshark {name}", not wrong, "; ".join(wrong))


def config(port: int) -> str:
    """All carriers, one route each."""
    text = '[receipts]\nsweep_s = 0.5\n[[tariff]]\nname = "t"\ncurrency = "EUR"\nprices = { "" = "0.01" }\n'
    for name, quirks in CARRIERS.items():
        text += f'\n[[carrier]]\nname = "{name}"\nsender = "Shop"\n[carrier.quirks]\n{quirks}\n'
        text += "[carrier.questions]\nquery_after_s = 0.5\ncancel = true\n"
        text += f'[[carrier.bind]]\nname = "{name}"\nhost = "127.0.0.1"\nport = {port}\nsystem_id = "{name}"\n'
        text += 'password = "demo"\npassword_plain = true\nenquire_link_s = 1.0\n'
        text += f'[[route]]\nname = "{name}"\nmatch = {{ account = ["only-{name}"] }}\n'
        text += f'[[route.group]]\ncarriers = [{{ name = "{name}" }}]\n'
    return text


def capture_run(directory: Path, capture: Path, check: Check) -> None:
    """Runs a dispatcher, sends every case, and writes what went over the wires."""
    carrier = Carrier(directory, "simulator", SCENARIO)
    recorder = Recorder(carrier.port)
    try:
        with Installation(directory, [carrier], config(recorder.port)) as installation:
            key = installation.account("demo")
            for index, case in enumerate(CASES):
                send = {"to": f"+{number_of(index)}", "route": case.carrier, "max_segments": 20, **case.send}
                if case.text:
                    send["text"] = case.text
                answer = installation.http("POST", "/v1/messages", send, key)
                well = answer.status == 202 and answer.body["segments"] == case.parts
                check(f"accepted in {case.parts}", well, f"{case.carrier} {case.text[:20]!r}: {answer}")
            for number in (ASKED, TAKEN_BACK):
                answer = installation.http("POST", "/v1/messages", {"to": f"+{number}", "text": "x", "route": "plain"}, key)
            path = f"/v1/messages/{answer.body['id']}"
            wait_for("submitted", 10, lambda: installation.http("GET", path, key=key).body["state"] == "submitted")
            answer = installation.http("DELETE", path, key=key)
            check("cancelled by cancel_sm", answer.status == 200 and answer.body["state"] == "cancelled", f"{answer}")
            carrier.say("inbound plain 491700000000 12345 Hello from a handset")
            wanted = len(CASES) + 1
            wait_for("delivered", 20, lambda: sum(r["state"] == "delivered" for r in installation.rows("events")) >= wanted)
            time.sleep(1.5)  # enquire_link
    finally:
        recorder.close()
        carrier.end()
    write_pcap(capture, recorder.pdus)


def tshark_checks(directory: Path, check: Check) -> None:
    """Everything. Raises Missing when there is no tshark."""
    tshark = program("tshark", "tshark")
    directory.mkdir(exist_ok=True)
    capture = directory / "sent.pcap"
    capture_run(directory, capture, check)
    found = rows(tshark, capture)
    kinds = {row["smpp.command_id"] for row in found}
    check(f"tshark reads {len(found)} frames", len(found) > 100 and "" not in kinds, f"kinds {sorted(kinds)}")
    for name, kind in WANTED.items():
        check(f"tshark saw {name}", kind in kinds, f"kinds {sorted(kinds)}")
    bad = ask(tshark, capture, "-Y", "_ws.malformed || _ws.expert.severity == error")
    check("tshark finds no malformed frame", not bad, "; ".join(bad[:5]))
    push = " ".join(ask(tshark, capture, "-Y", "wbxml", "-T", "text", "-V"))
    well = "Look at this" in push and "http://" in push and "example" in push
    check("tshark reads the WAP push as a service indication", well, push[-300:])
    compare(CASES, found, check)


def main() -> int:
    """Alone: 1 when anything did not fit."""
    faults: list[str] = []

    def check(name: str, well: bool, why: str) -> None:
        print(f"{'ok  ' if well else 'FAIL'} {name}{'' if well else ': ' + why}", flush=True)
        if not well:
            faults.append(name)

    directory = Path(tempfile.mkdtemp(prefix="tshark-"))
    try:
        tshark_checks(directory, check)
    except Missing as error:
        check("tshark", False, str(error))
    shutil.rmtree(directory, ignore_errors=True)
    print(f"tshark: {'FAIL' if faults else 'PASS'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
