"""An ESME: sends one text and waits for its receipts. Run as: esme.py HOST PORT NUMBER TEXT"""

import sys

import trio

from smpp import Encoding, SubmitTemplate, cut, parse
from smpp.link import Link
from smpp.session import Login, Session, SessionSettings


async def main(host, port, number, text):
    parts = cut(text, Encoding.UCS2)
    udhi = 0x40 if len(parts) > 1 else 0
    template = SubmitTemplate("Shop", source_ton=5, source_npi=0, dest_ton=1, dest_npi=1, esm_class=udhi, data_coding=8)
    receipts = []

    def on_events(events):
        if events.bound:
            link.queue([(template.body(number, part), place) for place, part in enumerate(parts, 1)])
        for place, status, message_id in events.answers:
            print(f"part {place}: status {status}, id {message_id}")
        for deliver in events.delivers:
            receipts.append(parse(deliver))
            link.answer([deliver.sequence])
        if len(receipts) == len(parts):
            link.session.start_unbind(trio.current_time())

    stream = await trio.open_tcp_stream(host, int(port))
    link = Link(stream, Session(SessionSettings(), Login("demo", "demo")), on_events=on_events)
    ended = await link.run()
    print(*[f"{receipt.id} {receipt.state}" for receipt in receipts], ended.reason, sep="\n")


trio.run(main, *sys.argv[1:])
