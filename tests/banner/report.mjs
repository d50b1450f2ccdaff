// Numbers into tables that read the same in a terminal and as Markdown.

const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
/** The value below which the share `at` lies, between two neighbours where it falls between them. */
export const quantile = (numbers, at) => {
  const all = sorted(numbers);
  const place = (all.length - 1) * at;
  const low = Math.floor(place);
  return all[low] + (all[Math.ceil(place)] - all[low]) * (place - low);
};
export const median = (numbers) => quantile(numbers, 0.5);

/** The first `left` columns to the left, the others to the right. */
export function table(left, head, rows) {
  const all = [head, ...rows].map((row) => row.map(String));
  const width = head.map((_, i) => Math.max(3, ...all.map((row) => [...row[i]].length)));
  const pad = (text, i) => (i < left ? text + " ".repeat(width[i] - [...text].length) : " ".repeat(width[i] - [...text].length) + text);
  const line = (row) => `| ${row.map(pad).join(" | ")} |`;
  const rule = `| ${width.map((n, i) => (i < left ? "-".repeat(n) : "-".repeat(n - 1) + ":")).join(" | ")} |`;
  return [line(all[0]), rule, ...all.slice(1).map(line)].join("\n");
}

const whole = (number) => number.toFixed(0);
const signed = (number, write) => (write(Math.abs(number)) === write(0) ? "±" : number < 0 ? "−" : "+") + write(Math.abs(number));

// Name, value, what it is compared with in the empty page (the same, another, or nothing), and in which visits (else in the two cold ones).
const measures = [
  { name: "page drawn, ms", of: "drawn", visit: "first returning again" },
  { name: "FCP, ms", of: "fcp", visit: "first returning again" },
  { name: "LCP, ms", of: "lcp" },
  { name: "banner visible, ms", of: "visible", against: "drawn", visit: "first" },
  { name: "banner opaque, ms", of: "opaque", against: "drawn", visit: "first" },
  { name: "banner usable, ms", of: "usable", against: "drawn", visit: "first" },
  { name: "Reject: layer gone, ms", of: "gone", alone: true, visit: "first" },
  { name: "Reject: INP, ms", of: "tap", alone: true, visit: "first" },
  { name: "analytics in the page ran, ms", of: "inline", visit: "returning again" },
  { name: "analytics file ran, ms", of: "file", visit: "returning again" },
  { name: "script, CPU ms", of: "script", write: (n) => n.toFixed(1), visit: "first returning again" },
  { name: "main thread, CPU ms", of: "main", write: (n) => n.toFixed(1) },
  { name: "blocking, ms", of: "blocking" },
  { name: "JS heap, kB", of: "heap" },
  { name: "layout shift", of: "shift", write: (n) => n.toFixed(4) },
  { name: "requests", of: "requests", alone: true },
  { name: "on the wire, B", of: "wire", alone: true },
  { name: "requests over the network", of: "network", alone: true, visit: "again" },
  { name: "requests from the cache", of: "cached", alone: true, visit: "again" },
  { name: "of these, from the renderer’s memory", of: "memory", alone: true, visit: "again" },
];

/** The same round's difference to the page without a banner: what drifts from round to round is in both. */
export const differences = (runs, of, empty, against = of) => runs.map((run, i) => run[of] - empty[i][against]);

export function compare(visit, variants, runs) {
  const keys = Object.keys(runs);
  const rows = measures
    .filter((measure) => (measure.visit ?? "first returning").split(" ").includes(visit))
    .map(({ name, of, against = of, alone, write = whole }) => [
      name,
      ...keys.map((key) => {
        const values = runs[key].map((run) => run[of]);
        if (values.some((value) => value === undefined)) return "–";
        const own = write(median(values));
        return alone || key === "empty" ? own : `${own} (${signed(median(differences(runs[key], of, runs.empty, against)), write)})`;
      }),
    ]);
  const count = (test) => keys.map((key) => `${runs[key].filter(test).length} of ${runs[key].length}`);
  if (visit !== "again") rows.push(["LCP is in the banner", ...count((run) => run.lcpIn === "banner")]);
  rows.push(["WASM fetched", ...count((run) => run.wasm)]);
  if (visit === "returning") rows.push(["banner seen", ...count((run) => run.visible)]);
  return table(1, ["", ...keys.map((key) => variants[key].title)], rows);
}

const bodies = ({ files }) => files.reduce((sum, { body }) => sum + body, 0);

/** What each variant asked for with nothing cached, by file; `when` is "files" or "later", after the choice. */
export function files(variants, measured) {
  const rows = [];
  for (const [visit, runs] of Object.entries(measured)) {
    if (visit === "again") continue;
    for (const [key, variant] of Object.entries(variants)) {
      if (key === "empty") continue;
      // What the banner adds to the page's own markup, compressed as that is.
      const markup = median(runs[key].map(({ page }) => page.body)) - median(runs.empty.map(({ page }) => page.body));
      rows.push([visit, variant.title, "(in the page’s HTML)", whole(markup), ""]);
      for (const [when, after] of [["files", ""], ["later", ", after Reject"]]) {
        const byName = {};
        for (const run of runs[key]) for (const file of run[when] ?? []) (byName[`${file.method} ${file.path}`] ??= []).push(file);
        for (const [name, list] of Object.entries(byName)) {
          const seldom = list.length === runs[key].length ? "" : ` (${list.length} in ${runs[key].length} visits)`;
          const of = (field) => whole(median(list.map((file) => file[field])));
          rows.push([visit + after, variant.title, name.replace("GET ", "") + seldom, of("body"), of("wire")]);
        }
      }
      rows.push([visit, variant.title, "sum before a choice", whole(markup + median(runs[key].map(bodies))), ""]);
    }
  }
  return table(3, ["visit", "variant", "file", "body, B", "with headers, B"], rows);
}

const targets = { plain: { visible: 60, usable: 100, gate: 5 }, slow: { visible: 250, usable: 250, gate: 20 } };
// With the banner in the page, by a slow network.
const inPage = { visible: 30, usable: 80 };

/** The design's targets beside what was measured, and beside the peer's same number. `measured` is by condition, visit and variant. */
export function judge(variants, measured) {
  const rows = [];
  for (const [condition, visits] of Object.entries(measured)) {
    for (const [key, variant] of Object.entries(variants)) {
      if (!variant.decides) continue;
      const limits = { ...targets[condition], ...(condition === "slow" && variant.fragment ? inPage : {}) };

      const span = (visit, what, of, against, limit) => {
        const { [key]: runs, empty, vanilla } = visits[visit];
        const all = differences(runs, of, empty, against);
        const [low, middle, high] = [0.25, 0.5, 0.75].map((at) => quantile(all, at));
        const sure = low > limit === high > limit ? "" : ", within the noise";
        const peer = vanilla ? signed(median(differences(vanilla, of, empty, against)), whole) : "";
        const told = `${signed(middle, whole)} (${signed(low, whole)} … ${signed(high, whole)})`;
        rows.push([what, condition, variant.title, `≤ +${limit} ms`, told, peer, (middle <= limit ? "met" : "MISSED") + sure]);
      };
      // These may not happen even once.
      const most = (visit, what, of, limit, write = whole) => {
        const worst = (runs) => Math.max(...runs.map(of));
        const { [key]: runs, vanilla } = visits[visit];
        const verdict = worst(runs) <= limit ? "met" : "MISSED";
        rows.push([what, condition, variant.title, limit ? `≤ ${limit}` : "0", write(worst(runs)), vanilla ? write(worst(vanilla)) : "", verdict]);
      };

      if (visits.first) {
        span("first", "visible after an empty page’s own text", "visible", "drawn", limits.visible);
        span("first", "usable after an empty page’s own text", "usable", "drawn", limits.usable);
        span("first", "page’s own text drawn", "drawn", "drawn", 30);
        span("first", "first paint of anything (FCP)", "fcp", "fcp", 30);
        most("first", "all of the banner’s files, brotli, B", bodies, 20480);
        most("first", "layout shift, most, first visit", (run) => run.shift, 0, (n) => n.toFixed(4));
      }
      if (visits.returning) {
        const main = (run) => run.files.find(({ path }) => path.endsWith("/consent.js"))?.body ?? bodies(run);
        span("returning", "gated script in the page, after an ungated page’s: cold cache", "inline", "inline", limits.gate);
        span("returning", "gated script’s file, after an ungated page’s: cold cache", "file", "file", limits.gate);
        most("returning", "consent.js, brotli, B", main, 4096);
        most("returning", "requests besides consent.js", (run) => run.files.filter(({ path }) => !path.endsWith("/consent.js")).length, 0);
        most("returning", "WASM fetched, returning", (run) => run.wasm, 0);
        most("returning", "banner seen, returning", (run) => (run.visible ? 1 : 0), 0);
        most("returning", "layout shift, most, returning", (run) => run.shift, 0, (n) => n.toFixed(4));
      }
      if (visits.again?.[key]) {
        span("again", "gated script in the page, after an ungated page’s: within max-age", "inline", "inline", limits.gate);
        span("again", "gated script’s file, after an ungated page’s: within max-age", "file", "file", limits.gate);
        most("again", "requests over the network within max-age", (run) => run.network, 0);
        most("again", "WASM fetched, within max-age", (run) => run.wasm, 0);
      }
    }
  }
  const peer = variants.vanilla ? "vanilla-cookieconsent" : "";
  return table(3, ["target", "condition", "variant", "limit", "measured (quartiles)", peer, "verdict"], rows);
}
