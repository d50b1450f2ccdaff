// The core: fetched when there is something to decide, asked once for each act, in the order of the acts.

let core;
let tries = 0;

const load = () =>
  (core ||= Promise.all([
    // A module that failed to load is remembered by its address as failed: another try needs another address.
    import(address(config.core + "js?" + tries)),
    fetch(address(config.core + "wasm")),
  ])
    .then(([module, response]) => module.start(response, page))
    .catch((error) => {
      core = 0;
      tries++;
      throw error;
    }));

// What a person decided, and when; the core says what it means, then it is stored, acted on and sent.
//
// Only a person's own act grants: a script that calls this, or clicks for them, has no activation to show. An id that the notice
// does not know counts as a grant here: the core will say what is wrong with it.
const act = async (method, layer, ids, control, said) => {
  if (ids.some((id) => listed(id)?.[1] !== 0)) {
    // In a tab of its own, the page can ask.
    if (framed && config.frames) open(location.href);
    if (framed || !navigator.userActivation?.isActive) throw Error("consent: only a person grants");
  }
  const at = Date.now();
  const { decide } = await load();
  // The press is drawn first.
  await new Promise(setTimeout);
  return decide(method, layer, ids, control, said, at);
};

const settings = async (opener) => outside || (await load()).open(opener);

// Another tab may have decided, or this page was asleep (in the back/forward cache) while it did.
const follow = ({ key, persisted }) => (key === config.name || (persisted && read()[0] !== cookies[0])) && load().then((core) => core.follow());
addEventListener("storage", follow);
addEventListener("pageshow", follow);
