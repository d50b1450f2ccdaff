// Shopify's Customer Privacy API.
//
// Told only what it does not know already: each word of ours is a request to the shop's server. It is loaded by the shop's own
// loader if it is not there, and kept waiting until what holds is known, so that a stored choice is not first taken back.
(map) => {
  let known;
  let asked;
  // What was said last, on this page or before.
  let said;
  const tell = () => {
    try {
      const shop = window.Shopify;
      if (!known || !shop) return;
      const api = shop.customerPrivacy;
      if (!api?.setTrackingConsent) {
        if (!asked) {
          asked = true;
          shop.loadFeatures([{ name: "consent-tracking-api", version: "0.1" }], (error) => (error ? console.warn(error) : tell()));
        }
        return;
      }
      const { granted } = window.consent;
      const wanted = {};
      for (const word in map) wanted[word] = map[word] === true || granted(map[word]);
      said ||= api.currentVisitorConsent?.() || {};
      if (Object.keys(wanted).some((word) => said[word] !== (wanted[word] ? "yes" : "no"))) {
        said = {};
        for (const word in wanted) said[word] = wanted[word] ? "yes" : "no";
        api.setTrackingConsent(wanted, () => {});
      }
    } catch (error) {
      console.warn(error);
    }
  };
  document.addEventListener("consent:ready", () => {
    known = true;
    tell();
  });
  document.addEventListener("DOMContentLoaded", tell);
  addEventListener("load", tell);
  return tell;
};
