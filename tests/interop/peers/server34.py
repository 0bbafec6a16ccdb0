"""An SMPP server by PyPI's smpp34 (Rust): server34.py PORT. What server.cjs does, with that library's words."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

import smpp34

PART = b"\5\0\3\7\2"


async def main(port: int) -> None:
    """Serves until SIGTERM."""
    found: dict[str, Any] = {"binds": 0, "refused": 0, "submits": 0, "acked": 0, "nacked": 0, "unbinds": 0, "messages": []}
    server = smpp34.Server(host="127.0.0.1", port=port, system_id="smpp34")
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    esmes: dict[str, Any] = {}
    tasks: set[asyncio.Task[None]] = set()
    number, told = 1000, False

    async def deliver(esme: Any, to: str, text: bytes, **more: Any) -> None:
        answer = await esme.deliver_sm(to, text, **more)
        found["acked" if answer.is_success else "nacked"] += 1

    def later(*arguments: Any, **more: Any) -> None:
        task = asyncio.create_task(deliver(*arguments, **more))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def serve() -> None:
        nonlocal number, told
        while True:
            event = await server.next()
            if isinstance(event, smpp34.Esme):
                esmes[event.session_id] = event
                found["binds"] += 1
            elif isinstance(event, smpp34.Unbound):
                esmes.pop(event.session_id, None)
                found["unbinds"] += 1
            else:
                number += 1
                text = event.short_message or next((t.value for t in event.tlvs if t.tag == smpp34.TLV_MESSAGE_PAYLOAD), b"")
                found["submits"] += 1
                found["messages"].append([event.destination_addr, event.esm_class, event.data_coding, text.hex()])
                event.accept(message_id=str(number))
                esme = esmes[event.session_id]
                if not told:
                    told = True
                    way = {"source_addr": "447700900123", "source_addr_ton": 1, "source_addr_npi": 1}
                    for each in range(20):
                        later(esme, "447700900999", f"Answer {each} na\x07ve \x1be".encode("latin-1"), **way)
                    for part in (2, 1):
                        later(esme, "447700900999", PART + bytes((part,)) + f"part {part}, ".encode(), esm_class=0x40, **way)
                receipt = (
                    f"id:{number} sub:001 dlvrd:001 submit date:2611300300 done date:2611300301 stat:DELIVRD err:000 text:"
                )
                later(esme, event.source_addr, receipt.encode(), source_addr=event.destination_addr, esm_class=4)

    serving = asyncio.create_task(serve())
    await ended.wait()
    serving.cancel()
    sys.stdout.write(json.dumps(found) + "\n")


asyncio.run(main(int(sys.argv[1])))
