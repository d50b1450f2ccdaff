// Frames and images: a placeholder in their place says why, and lets a person grant right there.

const placeholders = new WeakMap();
const once = new Set();

const embed = (node, open, id, category) => {
  const { style, dataset } = node;
  const there = placeholders.get(node);
  if (open || once.has(node)) {
    if (there) {
      there.remove();
      placeholders.delete(node);
      style.display = "";
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
    // The same room as the thing it stands for, so that nothing on the page moves.
    holder.style.cssText = `display: grid; min-height: ${node.offsetHeight}px`;
    placeholders.set(node, holder);
    // Out and in again: what was loaded into the frame is gone.
    node.removeAttribute("src");
    node.before(holder);
    holder.after(node);
    style.display = "none";
  }
};
