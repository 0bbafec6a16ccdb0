// An SMPP server by npm's smpp: node server.cjs PORT. Accepts demo:demo, answers each submit_sm with an id, sends a receipt and, once,
// handsets' messages; at SIGTERM it prints what it counted as one line of JSON.
const fs = require("fs");
const smpp = require("smpp");

const found = { binds: 0, refused: 0, submits: 0, acked: 0, nacked: 0, unbinds: 0, messages: [] };
let next = 1000;
let told = false;

function deliver(session, pdu) {
  session.deliver_sm(pdu, (answer) => (answer.command_status === 0 ? found.acked++ : found.nacked++));
}

function handsets(session) {
  told = true;
  const way = { source_addr: "447700900123", destination_addr: "447700900999", source_addr_ton: 1, source_addr_npi: 1 };
  for (let n = 0; n < 20; n++) deliver(session, { ...way, short_message: `Answer ${n} naïve €` });
  for (const part of [2, 1]) {
    const message = `part ${part}, `;
    deliver(session, { ...way, esm_class: 0x40, short_message: { udh: Buffer.from([5, 0, 3, 7, 2, part]), message } });
  }
}

const server = smpp.createServer({}, (session) => {
  session.on("error", () => {});
  session.on("bind_transceiver", (pdu) => {
    const well = pdu.system_id === "demo" && pdu.password === "demo";
    found[well ? "binds" : "refused"]++;
    session.send(pdu.response({ command_status: well ? 0 : smpp.ESME_RBINDFAIL, system_id: "node" }));
  });
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("submit_sm", (pdu) => {
    const id = (next++).toString(16).toUpperCase();
    found.submits++;
    found.messages.push([pdu.destination_addr, pdu.esm_class, -1, pdu.short_message.message]);
    session.send(pdu.response({ message_id: id }));
    if (!told) handsets(session);
    const text = `id:${id} sub:001 dlvrd:001 submit date:2611300300 done date:2611300301 stat:DELIVRD err:000 text:`;
    deliver(session, {
      source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, esm_class: 4,
      short_message: text, receipted_message_id: id, message_state: 2,
    });
  });
  session.on("unbind", (pdu) => {
    found.unbinds++;
    session.send(pdu.response());
    session.close();
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
process.on("SIGTERM", () => {
  // console.log does not wait for a pipe that is full
  const report = Buffer.from(JSON.stringify(found) + "\n");
  for (let done = 0; done < report.length;) {
    try { done += fs.writeSync(1, report, done); } catch (error) { if (error.code !== "EAGAIN") throw error; }
  }
  process.exit(0);
});
