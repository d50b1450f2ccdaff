// The pixel of TikTok: held before it is loaded, granted or revoked by each choice.
//
// TikTok's own tag goes on with an array that it finds as `ttq`, but pages that ask whether `ttq` is there would find one without
// methods. So `ttq` reads as undefined until the tag sets it; what we have to say is then the first thing in it.
(map) => {
  let word;
  const tell = (method) => {
    const { ttq } = window;
    try {
      if (ttq?.[method]) ttq[method]();
      else ttq?.push([method]);
    } catch (error) {
      console.warn(error);
    }
  };
  const begin = () => {
    const words = ["holdConsent", ...(word ? [word] : [])];
    // Where the tag was here first, its queue has commands already; the script that works it off has put something else in its place.
    if (Array.isArray(window.ttq)) window.ttq.unshift(...words.map((method) => [method]));
    else words.forEach(tell);
  };
  try {
    if (window.ttq) begin();
    else
      Object.defineProperty(window, "ttq", {
        configurable: true,
        get() {},
        set(value) {
          Object.defineProperty(window, "ttq", { configurable: true, enumerable: true, writable: true, value });
          begin();
        },
      });
  } catch (error) {
    console.warn(error);
  }
  return (granted) => {
    word = map.pixel === true || granted(map.pixel) ? "grantConsent" : "revokeConsent";
    tell(word);
  };
};
