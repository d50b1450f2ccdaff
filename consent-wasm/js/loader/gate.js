// The gate: starts what is marked data-category once that category holds. It never decides.

let allowed = [];
// Ordered external scripts that were started and have not run yet.
let running = 0;

// While the page is being read, a script whose end the parser has not seen may lack half its text: something must follow it.
const complete = (node) => document.readyState !== "loading" || (node && (node.nextSibling || complete(node.parentNode)));

const start = (node) => {
  const { parentNode, nextSibling } = node;
  const { type } = node.dataset;
  // The same node is put back, not a copy: its text never passes through a string, so strict CSP, nonces and Trusted Types hold.
  node.remove();
  node.type = type || "";
  if ((node.src || type === "module") && !node.hasAttribute("async")) {
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
  for (const node of document.querySelectorAll("[data-category]:is([type$=plain],[data-src]),[data-consent-declaration]:empty,[data-consent=banner]")) {
    const { category, service, consent } = node.dataset;
    const id = service ? category + ":" + service : category;
    const open = allowed.includes(id);
    // A layer in the page's HTML that was read after ours was drawn, or that nobody needs.
    if (consent) node === layer || node.remove();
    // Where the policy page wants to list what the notice declares.
    else if (category == null) load().then((core) => core.declare(node));
    else if (node.localName !== "script") listed(id) && embed(node, open, id, category);
    else if (open && complete(node)) {
      // An inline script that follows an external one may need it, so it waits, and so does whatever follows it.
      held ||= running && !node.src;
      if (!held) start(node);
    }
  }
};
