// Microsoft Advertising's Universal Event Tracking: a default before its tag, an update for each choice.
//
// The queue takes the parts of a command one by one; its tag puts an object in its place that goes on taking them. As with Google,
// only the blocking form of consent.js's script tag comes before tags that are not behind the gate.
(map) => {
  const consent = (command, granted) => {
    const types = {};
    for (const type in map) types[type] = map[type] === true || granted(map[type]) ? "granted" : "denied";
    try {
      (window.uetq ||= []).push("consent", command, types);
    } catch (error) {
      console.warn(error);
    }
  };
  consent("default", () => false);
  return (granted) => consent("update", granted);
};
