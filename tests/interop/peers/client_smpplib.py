"""An SMPP client by smpplib: client_smpplib.py PORT COUNT HANDSETS. What client.cjs does, with that library's words."""

from __future__ import annotations

import json
import sys
from typing import Any

import smpplib.client
import smpplib.consts
import smpplib.gsm

WINDOW = 50


def main(port: int, count: int, handsets: int) -> None:
    """Runs to its end or raises."""
    found: dict[str, Any] = {"answered": 0, "refused": 0, "receipts": 0, "handsets": [], "unbound": False}
    ids: set[bytes] = set()
    client = smpplib.client.Client("127.0.0.1", port, timeout=20, allow_unknown_opt_params=True)

    def sent(pdu: Any) -> None:
        found["answered"] += 1
        ids.add(pdu.message_id.rstrip(b"\0"))

    def received(pdu: Any) -> int:
        if pdu.esm_class & 4:
            receipted = pdu.receipted_message_id.rstrip(b"\0")
            found["receipts"] += receipted in ids
            ids.discard(receipted)
        else:
            found["handsets"].append(pdu.short_message.decode("latin-1"))
        return 0

    client.set_message_sent_handler(sent)
    client.set_message_received_handler(received)
    client.connect()
    client.bind_transceiver(system_id="demo", password="demo")
    sys.stdout.write("bound\n")
    sys.stdout.flush()
    queue = []
    for number in range(count):
        text = f"Hello {number} €" if number % 10 else "x" * 450
        parts, coding, esm_class = smpplib.gsm.make_parts(text)
        queue += [(str(447700100000 + number), part, coding, esm_class) for part in parts]
    wanted = len(queue)
    submitted = 0
    while found["receipts"] < wanted or len(found["handsets"]) < handsets:
        while queue and submitted - found["answered"] < WINDOW:
            to, part, coding, esm_class = queue.pop(0)
            client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
                source_addr="Shop",
                dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                destination_addr=to,
                short_message=part,
                data_coding=coding,
                esm_class=esm_class,
                registered_delivery=True,
            )
            submitted += 1
        client.read_once()
    client.unbind()
    found["unbound"] = True
    client.disconnect()
    sys.stdout.write(json.dumps(found) + "\n")


main(*map(int, sys.argv[1:]))
