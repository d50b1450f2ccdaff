// The border to the Rust core: one question in lines of text, one answer (consent-wasm/src/lib.rs says what each line means).

// What js/loader/start.js hands over, in its order.
let config, address, signals, signalled, framed, read, expand, el, host, hold, say, emit, pressed, act, once, showLayer, hideLayer, showReopen, reopen;

const list = (text) => (text ? text.split("~") : []);

// Where the page's policy forbids WebAssembly, the same core answers on the server.
let judging = judge;
const judgeThere = async (lines) => {
  const response = await request("judge", { method: "POST", headers: { "content-type": "text/plain" }, body: lines });
  return response.ok ? response.text() : Promise.reject(response);
};

// What holds for this person now, from what is stored and what more is said: a decision, or an answer of the server.
const ask = async (...more) => {
  const { v, days, idr, name, c } = config;
  const lines = [
    ["n", v, days, +signalled, +!!idr, Date.now()],
    ...c.flatMap(([id, refusable, marked, since, services]) => [
      ["c", id, +!refusable, marked, since],
      ...services.map((service) => ["s", ...service]),
    ]),
    ["k", name, read().join("; ")],
    ...recall().queue.map(({ decided_at, signals, method, layer, granted, subject, notice }) => [
      "q", Date.parse(decided_at), +signals.said, method, layer, granted.join("~"), subject, notice,
    ]),
    more,
  ];
  const answer = await judging(lines.map((line) => line.join(" ")).join("\n"));
  const [id, status, granted, all, show, withheld, cookie, subject, damaged] = answer.split(" ");
  return { id, status, granted: list(granted), all: list(all), show, withheld, cookie, subject, damaged };
};

// Tells the page what holds.
const publish = ({ status, granted, all }) => hold(status, granted, all);
