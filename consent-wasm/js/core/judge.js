// The border to the Rust core: one question in lines of text, one answer (consent-wasm/src/lib.rs says what each line means).

// Set once by start(): the loader's side.
let page;

const signalled = () => page.signals.gpc || page.signals.dnt;
const list = (text) => (text ? text.split("~") : []);

// What holds for this person now, from what is stored and what more is said: a decision, or an answer of the server.
const ask = (...more) => {
  const { v, days, idr, name, c } = page.config;
  const lines = [
    ["n", v, days, +signalled(), +!!idr, Date.now()],
    ...c.flatMap(([id, refusable, marked, since, services]) => [
      ["c", id, +!refusable, marked, since],
      ...services.map((service) => ["s", ...service]),
    ]),
    ["k", name, document.cookie],
    ...recall().queue.map(({ decided_at, signals, method, layer, granted, subject, notice }) => [
      "q", Date.parse(decided_at), +signals.said, method, layer, granted.join("~"), subject, notice,
    ]),
    more,
  ];
  const [id, status, granted, all, show, withheld, cookie, subject, damaged] = judge(lines.map((line) => line.join(" ")).join("\n")).split(" ");
  return { id, status, granted: list(granted), all: list(all), show, withheld, cookie, subject, damaged };
};

// Tells the page what holds.
const publish = ({ status, granted, all }) => page.hold(status, granted, all);
