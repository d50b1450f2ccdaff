// Microsoft Clarity, Consent API v2: one call for what holds at the start and for each change.
//
// Where Clarity is not there yet, calls wait in the queue that its own tag would make, in the same place and form, so that the tag
// goes on with it.
(map) => {
  const consent = (granted) => {
    const types = {};
    for (const type in map) types[type] = map[type] === true || granted(map[type]) ? "granted" : "denied";
    try {
      window.clarity ||= function () {
        (window.clarity.q ||= []).push(arguments);
      };
      window.clarity("consentv2", types);
    } catch (error) {
      console.warn(error);
    }
  };
  consent(() => false);
  return consent;
};
