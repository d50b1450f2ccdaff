// A backend on Node alone: CONSENT_SERVICE=http://127.0.0.1:8080 CONSENT_SITE=shop CONSENT_KEY=… CONSENT_CORE=core-….wasm node server.mjs

import { createServer } from "node:http";
import { Consent } from "./consent.mjs";

const { CONSENT_SERVICE: service, CONSENT_SITE: site, CONSENT_KEY: key, CONSENT_CORE: core, PORT = 0 } = process.env;
const consent = await Consent.open({ service, site, key, core });

const counted = (request, response) => response.end("counted");
const guards = { "/statistics": consent.require("statistics"), "/marketing": consent.require("marketing") };

const server = createServer(async (request, response) => {
  const guard = guards[request.url];
  // Reached only with consent: whatever happens in there may use what was granted.
  if (guard) return guard(request, response, () => counted(request, response));
  // There for everybody, with a part that is not. A cache must keep it for nobody else.
  response.setHeader("cache-control", "private, no-store");
  response.end(`statistics: ${(await consent.granted(request, "statistics")) ? "on" : "off"}`);
});
server.listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
