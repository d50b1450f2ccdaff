// Cookies are set and deleted by name, domain and path; only all three together find one again.

// A browser keeps no Secure cookie for plain HTTP; on the machine itself that is how sites are tried out.
const plain = /^http:\/\/(localhost|.+\.localhost|127\.[\d.]+|\[::1\])(:|$)/.test(location.origin);

// A site that is to work inside other sites has a cookie that goes along there, in a jar of its own for each of them (CHIPS).
const put = (pair, age, path, domain) =>
  (document.cookie =
    `${pair}; Path=${path}; Max-Age=${age}; SameSite=` +
    (config.frames ? "None; Secure" + (framed ? "; Partitioned" : "") : "Lax" + (plain ? "" : "; Secure")) +
    (domain ? "; Domain=" + domain : ""));

// Whoever set it may have chosen any domain and path above this page: all of them are tried.
const erase = (name) => {
  const labels = location.hostname.split(".");
  const parts = location.pathname.split("/");
  for (const i of parts.keys())
    for (const path of [parts.slice(0, i).join("/") + "/", parts.slice(0, i + 1).join("/")])
      for (const domain of ["", ...labels.map((_, i) => labels.slice(i).join("."))]) put(name + "=", 0, path, domain);
};

const cookieNames = () => document.cookie.split("; ").map((pair) => pair.split("=")[0]);

// Makes the consent cookie say what holds. A cookie that says so already is left alone: if the server has set it, Safari keeps it
// for its whole life, and one that a script writes only seven days.
const writeCookie = ({ cookie }) => {
  const { name, days, domain } = config;
  const found = read();
  const want = cookie ? [name + "=" + cookie] : [];
  if (found.join() !== want.join()) {
    // Where a page may not keep cookies, what holds holds for this page view.
    try {
      erase(name);
      if (cookie) put(want, days * 86400, "/", domain);
    } catch {}
  }
};
