// Requests to the service, and the notice with its texts.

const endpoint = (path) => address(`/v1/sites/${config.site}/${path}`);

// Cookies go along to another host of the same site only where one cookie serves both.
// Inside another site the answer's body says all that its cookie would.
const request = (path, options) =>
  fetch(endpoint(path), { credentials: framed ? "omit" : config.domain ? "include" : "same-origin", ...options });

// What cannot be used is an error, although it is JSON too.
const json = async (path, options) => {
  const response = await request(path, options);
  return response.ok ? response.json() : Promise.reject(response);
};

let loading;

// Everything that the settings show, drawn by the server, with what has changed since the person chose.
//
// consent.js may be older than the notice in force (it is cached): what a person reads in the settings is what they decide on, so
// the newer version takes over.
const fetchNotice = () =>
  (loading ||= json(`settings?lang=${config.lang}&since=${(read()[0] || "").split(".")[1] || ""}`)
    .then(async (notice) => {
      if (!notice.dialog) throw notice;
      if (notice.v > config.v) {
        Object.assign(config, { v: notice.v, days: notice.days, c: notice.c });
        publish(await ask());
      }
      return notice;
    })
    .catch((error) => {
      loading = 0;
      throw error;
    }));

// Lists what the notice declares, where the policy page has left room for it.
const declared = new WeakSet();
const declare = async (node) => {
  if (declared.has(node)) return;
  declared.add(node);
  try {
    const tree = el(await json("declaration?lang=" + config.lang));
    nameCountries(tree);
    node.append(tree);
  } catch {
    declared.delete(node);
  }
};

// Countries by their names in the page's language.
const nameCountries = (tree) => {
  const regions = new Intl.DisplayNames(config.lang, { type: "region" });
  for (const node of tree.querySelectorAll("[data-country]")) node.textContent = regions.of(node.dataset.country);
};
