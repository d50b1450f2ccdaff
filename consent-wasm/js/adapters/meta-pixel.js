// The pixel of Meta: revoked before it is set up, granted or revoked by each choice.
//
// Meta's own tag does nothing where `fbq` exists, so a queue of ours in its place would keep the pixel from ever loading. It also
// forgets what it finds elsewhere. So nothing is defined: `fbq` reads as undefined until the tag sets it, and then our word goes to
// the head of the tag's queue, before the commands that the same tag has put there. The script that works the queue off cannot have
// run by then, because it is loaded.
(map) => {
  let word = "revoke";
  const tell = (first) => {
    const { fbq } = window;
    try {
      if (first && fbq?.queue && !fbq.callMethod) fbq.queue.unshift(["consent", word]);
      else fbq?.("consent", word);
    } catch (error) {
      console.warn(error);
    }
  };
  try {
    if (window.fbq) tell(true);
    else
      Object.defineProperty(window, "fbq", {
        configurable: true,
        get() {},
        set(value) {
          Object.defineProperty(window, "fbq", { configurable: true, enumerable: true, writable: true, value });
          // The tag sets it first and gives it its queue afterwards, in one go.
          queueMicrotask(() => tell(true));
        },
      });
  } catch (error) {
    console.warn(error);
  }
  return (granted) => {
    word = map.pixel === true || granted(map.pixel) ? "grant" : "revoke";
    tell();
  };
};
