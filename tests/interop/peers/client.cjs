// An SMPP client by npm's smpp: node client.cjs PORT COUNT HANDSETS. Binds as demo:demo, submits COUNT texts (one in ten long, in three
// parts), waits for a receipt of each part and for HANDSETS messages, unbinds, prints what it counted as one line of JSON.
const smpp = require("smpp");
const [port, count, handsets] = process.argv.slice(2).map(Number);
const found = { answered: 0, refused: 0, receipts: 0, handsets: [], unbound: false };
const ids = new Set();
let wanted = 0;
let open = 0;
const queue = [];

for (let n = 0; n < count; n++) {
  const way = { source_addr: "Shop", source_addr_ton: 5, destination_addr: String(447700100000 + n), dest_addr_ton: 1,
    dest_addr_npi: 1, registered_delivery: 1 };
  if (n % 10) queue.push({ ...way, short_message: `Hello ${n} €` });
  else for (const part of [1, 2, 3]) {
    const udh = Buffer.from([5, 0, 3, n & 255, 3, part]);
    queue.push({ ...way, esm_class: 0x40, short_message: { udh, message: "x".repeat(150) } });
  }
}
wanted = queue.length;

const session = smpp.connect({ url: `smpp://127.0.0.1:${port}` }, () => {
  session.bind_transceiver({ system_id: "demo", password: "demo" }, (pdu) => {
    if (pdu.command_status) throw new Error(`bind refused: ${pdu.command_status}`);
    console.log("bound");
    more();
  });
});
session.on("error", (error) => { throw error; });
session.on("enquire_link", (pdu) => session.send(pdu.response()));
session.on("deliver_sm", (pdu) => {
  session.send(pdu.response());
  if (pdu.esm_class & 4) {
    if (ids.delete(pdu.receipted_message_id)) found.receipts++;
  } else found.handsets.push(pdu.short_message.message);
  done();
});

function more() {
  while (open < 50 && queue.length) {
    open++;
    session.submit_sm(queue.shift(), (pdu) => {
      open--;
      if (pdu.command_status) found.refused++;
      else { found.answered++; ids.add(pdu.message_id); }
      more();
    });
  }
}

function done() {
  if (found.receipts !== wanted || found.handsets.length !== handsets) return;
  session.unbind((pdu) => {
    found.unbound = pdu.command_status === 0;
    console.log(JSON.stringify(found));
    session.close();
    process.exit(0);
  });
}
