// The life of a decision in the browser: judged by the core, stored, acted on, queued, sent.

let acts = 0;
let turn;

const decide = async (method, layer, granted, control, said, at) => {
  const mine = ++acts;
  try {
    const { subject } = await ask();
    const { prev: had } = recall();
    let prev = had;
    if (granted.length && subject && (!had || config.domain)) {
      // This browser has lost its last decision, or another host of the site may have made a later one.
      prev = await lastRecord(subject).catch(() => had);
      if (mine !== acts) throw Error("consent: a later choice came first");
    }
    // One after the other: each is judged by what the one before has left.
    const work = () => settle(method, layer, granted, control, said, at, had, prev);
    await (turn = Promise.resolve(turn).then(work, work));
  } catch (error) {
    // Nobody could be asked what a refusal means. It means at least that nothing is granted any more.
    if (judging === judgeThere && !granted.length) {
      const [, version, , subject] = (read()[0] || "").split(".");
      writeCookie({ cookie: version && `1.${version}.${(at / 1e3) | 0}.${subject}..` });
      hold("none", [], expand([]));
    }
    throw error;
  }
};

const settle = async (method, layer, granted, control, said, at, had, prev) => {
  const before = await ask();
  const known = before.subject;
  const forgets = method === "forget";
  const { prev: last } = recall();
  // Another act came in between.
  if (last !== had) prev = last;
  said = !!said && signalled;
  const random = Array.from(crypto.getRandomValues(new Uint8Array(26)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  // An id of the page's own making must not end the line it stands in.
  const ids = granted.map((id) => (id + "").replace(/\s/g, "?"));
  const now = await ask("a", at, +said, method, layer, ids.join("~"), random);
  if (now.id[0] === "!")
    throw Error("consent: " + { "!id": "not in the notice", "!all": "accept-all grants all" }[now.id] || "this act cannot do that here");

  // Without an id it was an answer to nothing, as in a second tab whose layer was still open: nothing is recorded.
  if (now.id) {
    const subject = (forgets ? known : now.subject) || undefined;
    const store = recall();
    if (forgets && known) store.queue = store.queue.filter((entry) => entry.subject !== known);
    store.queue.push({
      id: now.id,
      // The chain belongs to one subject: a new one begins anew, nobody has none.
      prev: subject && subject === known ? prev : undefined,
      subject,
      notice: config.v,
      language: config.lang,
      layer,
      method,
      control,
      granted: ids,
      decided_at: new Date(at).toISOString(),
      signals: { ...signals, said },
      widget: __BUILD__,
    });
    store.prev = subject && !forgets ? now.id : undefined;
    keep(store);
    writeCookie(now);
    // What was granted for one page view ends with the next refusal.
    if (!ids.length) once.clear();
  }
  publish(now);
  if (now.show === "reopen") show(now);
  drain();

  const within = (ids, category) => ids.some((id) => id.split(":")[0] === category);
  // What is marked for signals reads as denied before its refusal already.
  const gone = config.c.flatMap(([id, refusable, marked]) =>
    refusable && !within(now.granted, id) && (forgets || within(before.granted, id) || (marked && method === "signal")) ? [id] : [],
  );
  // What the categories have stored goes too. Where the notice that names it cannot be had now, it goes with the next answer.
  await sweep(gone).catch(() => unswept.push(...gone));
  await heed(now);
};

// A signal over an older grant: denied already by the core's view; recorded, so that backends agree.
const heed = async ({ withheld }) => {
  if (withheld) await decide("signal", "none", [], undefined, false, Date.now());
};

const lastRecord = async (subject) => {
  const { records } = await json("records", { headers: { "consent-subject": subject }, signal: AbortSignal.timeout(4e3) });
  return records.at(-1).id;
};
