// The gate: starts what is marked data-category once that category holds. It never decides.

let allowed = [];
const warned = [];
// Ordered external scripts that were started and have not run yet.
let running = 0;

// While the page is being read, a script whose end the parser has not seen may lack half its text: something must follow it.
const complete = (node) => document.readyState !== "loading" || (node && (node.nextSibling || complete(node.parentNode)));

const start = (node) => {
  const { parentNode, nextSibling } = node;
  const { type } = node.dataset;
  // The same node is put back, not a copy: its text never passes through a string, so strict CSP, nonces and Trusted Types hold.
  node.remove();
  if (type) node.type = type;
  else node.removeAttribute("type");
  if (node.src && !node.hasAttribute("async")) {
    // Scripts put in by script are async unless told otherwise; written ones run in document order.
    node.async = false;
    if (type !== "module") {
      running++;
      const ran = () => {
        running--;
        scan();
      };
      node.addEventListener("load", ran);
      node.addEventListener("error", ran);
    }
  }
  parentNode.insertBefore(node, nextSibling);
};

const scan = () => {
  let held;
  for (const node of document.querySelectorAll('[data-category]:is([type="text/plain"],[data-src])')) {
    const { category, service } = node.dataset;
    const id = service ? category + ":" + service : category;
    const open = allowed.includes(id);
    if (!listed(id)) {
      if (!warned.includes(id)) console.warn("consent: not in the notice:", id);
      warned.push(id);
    } else if (node.localName !== "script") embed(node, open, id, category);
    else if (open && complete(node)) {
      // An inline script that follows an external one may need it, so it waits, and so does whatever follows it.
      held ||= running && !node.src;
      if (!held) start(node);
    }
  }
};
