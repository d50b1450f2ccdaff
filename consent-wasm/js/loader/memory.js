// What the cookie says, for those who have chosen before: a part of the core's judgement in a few bytes, so that most page views
// need nothing but this file. It answers only where no rule is in doubt; for all else it returns nothing and the core is asked.

// The category that an id names, itself or by one of its services.
const listed = (id) => config.c.find(([name, , , , services]) => name === id || services.some(([service]) => name + ":" + service === id));

const optional = () => config.c.filter((category) => category[1]).map((category) => category[0]);

// All ids that may be used while `ids` are granted: necessary ones, and of a category the services that its version listed.
const expand = (ids, version) =>
  config.c.flatMap(([name, refusable, , , services]) =>
    refusable && !ids.includes(name)
      ? ids.filter((id) => id.startsWith(name + ":"))
      : [name, ...services.filter(([, since]) => !refusable || since <= version).map(([service]) => name + ":" + service)],
  );

const prefix = config.name + "=";
// The consent cookie, as often as the page sees it.
const read = () => {
  // A page in a sandbox may not even look.
  try {
    return document.cookie.split("; ").filter((pair) => pair.startsWith(prefix));
  } catch {
    return [];
  }
};
const cookies = [...new Set(read())];

// Decisions that the server has not confirmed yet. Reading may throw where storage is forbidden.
let pending;
try {
  pending = !/^null$|"queue":\[]/.test(localStorage.getItem(config.name));
} catch {}

const remembered = () => {
  const value = cookies[0]?.slice(prefix.length);
  // The bits of a UUID of version 4 or 7 are in the pattern: what the core would not read, this must not read either.
  const [, version, decided, , list = "", said] =
    /^1\.([1-9]\d{0,8})\.([1-9]\d{0,10})\.(?:-\.|([\w-]{8}[Q-Tc-f][\w-][CGKOSWaeimquy26-][\w-]{10}[AQgw])\.([a-z\d:~-]*))\.(s?)$/.exec(
      value,
    ) || [];
  const ids = list ? list.split("~") : [];
  const age = Date.now() - decided * 1e3;
  return (
    cookies.length < 2 &&
    !pending &&
    value?.length < 1025 &&
    version <= config.v &&
    age > -3e5 &&
    age < config.days * 864e5 &&
    new Set(ids).size === ids.length &&
    config.c.every(([, refusable, , since]) => !refusable || since <= version) &&
    ids.every((id) => {
      const category = listed(id);
      return category && category[1] && (!signalled || said || !category[2]);
    }) && { ids, version }
  );
};
