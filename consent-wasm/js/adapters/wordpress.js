// The WP Consent API, by which plugins of WordPress ask what they may do.
//
// With the type "optin", what has no cookie of the API is denied. So a first visit sets none, unless an older one says otherwise.
// What was granted before is not first denied and then allowed on each page: some plugins load the page anew when that changes. The
// API may come after this, in the foot of the page: until it is there, what holds is kept.
(map) => {
  let known;
  let decided;
  let defined;
  const tell = () => {
    if (!known) return;
    try {
      const { granted } = window.consent;
      for (const word in map) {
        const allowed = map[word] === true || granted(map[word]);
        if (decided || allowed || window.wp_has_consent?.(word)) window.wp_set_consent?.(word, allowed ? "allow" : "deny");
      }
      // Plugins listen once the page has been read.
      if (!defined && document.readyState !== "loading") {
        defined = true;
        document.dispatchEvent(new CustomEvent("wp_consent_type_defined"));
      }
    } catch (error) {
      console.warn(error);
    }
  };
  window.wp_consent_type = "optin";
  document.addEventListener("consent:ready", () => {
    known = true;
    tell();
  });
  document.addEventListener("DOMContentLoaded", tell);
  addEventListener("load", tell);
  return () => {
    decided = true;
    tell();
  };
};
