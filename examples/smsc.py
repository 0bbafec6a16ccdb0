"""An SMSC: lets demo/demo in, accepts everything, delivers it at once. Run as: smsc.py PORT"""

import sys

import trio

from smpp import deliver_sm_body
from smpp.server import Server, ServerSettings


class Handler:
    def judge(self, peer, login):
        return 0 if (login.system_id, login.password) == ("demo", "demo") else 0x0E

    def bound(self, peer):
        print(f"{peer.login.system_id} is bound", flush=True)

    def submits(self, peer, submits):
        for submit in submits:
            text = f"id:{submit.sequence} sub:001 dlvrd:001 stat:DELIVRD err:000"
            receipt = deliver_sm_body(submit.destination_addr, submit.source_addr, text.encode(), esm_class=4)
            peer.answer([(submit.sequence, 0, str(submit.sequence))])
            peer.deliver([(receipt, submit.sequence)])

    def delivered(self, peer, answers):
        print(f"{len(answers)} receipts were answered", flush=True)

    def ended(self, peer, ended):
        print(f"a link has ended: {ended.reason}", flush=True)


async def main(port):
    listeners = await trio.open_tcp_listeners(int(port), host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    await Server(ServerSettings("EXAMPLE"), Handler()).serve(listeners)


trio.run(main, *sys.argv[1:])
