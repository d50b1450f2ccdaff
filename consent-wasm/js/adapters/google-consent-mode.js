// Google Consent Mode v2: a default before any tag's command, an update for each choice and on each page with a stored one.
//
// All seven types are always sent: one that is left out counts as granted. Only the blocking form of consent.js's script tag makes
// sure that the default is there before the tags that follow it; in basic mode they are behind the gate, so that any form does.
(map, options) => {
  // Google's tags tell commands from other entries of their queue by this: they are `arguments`, not arrays.
  const gtag = function () {
    try {
      (window.dataLayer ||= []).push(arguments);
    } catch (error) {
      console.warn(error);
    }
  };
  const consent = (command, granted, more) => {
    const types = {};
    for (const type in map) types[type] = map[type] === true || granted(map[type]) ? "granted" : "denied";
    gtag("consent", command, { ...types, ...more });
  };

  const { regions, elsewhere, wait_for_update, ads_data_redaction, url_passthrough } = options;
  const wait = wait_for_update && { wait_for_update };
  const none = () => false;
  // A default for a region stands against one without a region, whoever sends that and when.
  if (regions) consent("default", none, { region: regions, ...wait });
  if (!elsewhere) consent("default", none, wait);
  if (ads_data_redaction) gtag("set", "ads_data_redaction", true);
  if (url_passthrough) gtag("set", "url_passthrough", true);
  return (granted) => consent("update", granted);
};
