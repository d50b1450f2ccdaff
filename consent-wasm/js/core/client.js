// Sends what is queued, one at a time, in order, and follows what the server says holds.

let busy;
let timer;
let wait = 1e3;
// The last answer: its subject is shown once to those whose cookie carries none.
let receipt;

const drain = async () => {
  if (busy) return;
  busy = true;
  clearTimeout(timer);
  let later = true;
  try {
    // Two tabs must not send at the same time: the order of one browser's decisions is part of what they mean.
    // Where storage is blocked, so are locks.
    later = await (navigator.locks ? navigator.locks.request("consent-" + config.site, sendAll) : sendAll()).catch((error) =>
      error.name === "SecurityError" ? sendAll() : true,
    );
  } catch {}
  busy = false;
  if (later) {
    timer = setTimeout(drain, wait);
    wait = Math.min(wait * 2, 3e5);
  } else {
    wait = 1e3;
    // One that came in as the last one left.
    if (recall().queue.length) drain();
  }
};

// Returns true if something must wait; throws if the network does.
const sendAll = async () => {
  for (let entry; (entry = recall().queue[0]); ) {
    const response = await request("decisions", {
      method: "POST",
      keepalive: true,
      // Without a preflight where the service is on another host.
      headers: { "content-type": endpoint("").origin === location.origin ? "application/json" : "text/plain" },
      body: JSON.stringify(entry),
      signal: AbortSignal.timeout(2e4),
    });
    const { status } = response;
    // Only these two say that the record is durable.
    if (status === 200 || status === 201) await heard(entry, await response.json());
    // What time or a limit can cure is tried again; nothing else ever will be accepted.
    else if (status < 400 || status > 499 || [408, 429].includes(status)) return true;
    else {
      console.warn("consent: refused by the server:", await response.text());
      await lost(entry);
    }
  }
};

// Recorded.
const heard = async (entry, answer) => {
  const store = recall();
  store.queue = store.queue.filter(({ id }) => id !== entry.id);
  // Queued behind a grant that came too late, another grant knew no more than that one did: it can never count.
  if (answer.effect === "stale") drop(store, ({ subject, granted }) => subject === entry.subject && granted.length);
  keep(store);
  receipt = answer;
  let now = await ask();
  // The answer came with a cookie; where that could not be set, its body says the same.
  if (entry.subject && entry.subject === now.subject && !store.queue.length) {
    const { status, categories } = answer.consent;
    now = await ask("f", status, Object.keys(categories).filter((id) => categories[id] !== "granted").join("~"));
  }
  writeCookie(now);
  publish(now);
  // Who carries no ID has no last decision to continue.
  if (!now.subject && !store.queue.length) keep({ queue: [] });
  sweep(unswept.splice(0)).catch(console.warn);
};

// Never recorded, and never will be: what it granted must not hold here either.
const lost = async (entry) => {
  const store = recall();
  drop(store, ({ id }) => id === entry.id);
  keep(store);
  if (entry.granted.length && entry.layer !== "placeholder") {
    const now = await ask("f", "none", "");
    writeCookie(now);
    publish(now);
  }
};

addEventListener("online", () => {
  wait = 1e3;
  drain();
});
