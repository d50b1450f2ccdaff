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
    const [, , marked, , , name] = listed(id);
    const said = signalled && marked;
    const holder = host("placeholder");
    const box = el(config.p, name);
    box.children[1].hidden = !said;
    box.onclick = pressed(async (control) => {
      if (control === "once") {
        await act("save", "placeholder", [id], "save", said);
        once.add(node);
        scan();
      } else
        // A save says all of what is granted: what holds, and this category.
        await act("save", "none", [...state.granted.filter((held) => held.split(":")[0] !== category), category], "save", said);
    });
    // The same room as the thing it stands for, in a line or as a block of its own, so that nothing on the page moves. An image
    // that has nothing to show is as small as its words.
    const inline = getComputedStyle(node).display === "inline";
    const height = Math.max(node.offsetHeight, parseInt(node.getAttribute("height")) || 0);
    box.style.cssText = `min-height:${height}px;` + (inline ? `display:inline-flex;width:${node.offsetWidth}px` : "");
    holder.shadowRoot.append(box);
    placeholders.set(node, holder);
    // Out and in again: what was loaded into the frame is gone.
    node.removeAttribute("src");
    node.before(holder);
    holder.after(node);
    style.display = "none";
  }
};
