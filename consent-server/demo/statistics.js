// The demo's own statistics script. Nothing here asks about consent: the gate starts it, or does not.
(() => {
  const name = "demo_visits";
  const found = document.cookie.match(/(?:^|; )demo_visits=(\d+)/);
  const visits = (found ? Number(found[1]) : 0) + 1;
  document.cookie = `${name}=${visits}; Path=/; Max-Age=${30 * 86400}; SameSite=Lax`;
  window.demoRan?.("statistics.js", `it has counted ${visits} page ${visits === 1 ? "view" : "views"} in this browser (cookie ${name})`);
})();
