// Frames and images: a placeholder in their place says why, and lets a person grant right there.

const placeholders = new WeakMap();
const once = new Set();

const embed = (node, open, id, category) => {
  const { style, dataset } = node;
  const there = placeholders.get(node);
  if (open || once.has(node)) {
    if (there) {
      const focused = there.shadowRoot.activeElement;
      there.remove();
      placeholders.delete(node);
      style.display = "";
      if (focused) {
        // Said to the attribute, an image can take it too.
        node.tabIndex = node.tabIndex;
        node.focus();
      }
    }
    if (node.getAttribute("src") !== dataset.src) node.src = dataset.src;
  } else if (!there) {
    const said = signalled && listed(id)[2];
    const holder = host("placeholder");
    holder.shadowRoot.append(
      el(
        "div",
        { class: "placeholder", dir: "auto" },
        el("p", {}, texts.placeholder_text),
        said && note(texts.signal_said),
        el(
          "div",
          { class: "actions" },
          button(
            texts.placeholder_once,
            "",
            press(async () => {
              await act("save", "placeholder", [id], "save", said);
              once.add(node);
              scan();
            }),
          ),
          // A save says all of what is granted: what holds, and this category.
          button(
            texts.placeholder_always,
            "",
            press(() => act("save", "none", [...state.granted.filter((held) => held.split(":")[0] !== category), category], "save", said)),
          ),
        ),
      ),
    );
    // The same room as the thing it stands for, in a line or as a block of its own, so that nothing on the page moves. An image
    // that has nothing to show is as small as its words.
    const inline = getComputedStyle(node).display === "inline";
    const height = Math.max(node.offsetHeight, parseInt(node.getAttribute("height")) || 0);
    holder.style.cssText = `overflow:hidden;min-height:${height}px;display:` + (inline ? `inline-block;width:${node.offsetWidth}px` : "block");
    placeholders.set(node, holder);
    // Out and in again: what was loaded into the frame is gone.
    node.removeAttribute("src");
    node.before(holder);
    holder.after(node);
    style.display = "none";
  }
};
