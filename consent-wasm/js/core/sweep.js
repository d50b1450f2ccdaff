// After a withdrawal: what the refused categories have stored goes too, as far as the notice names it and a script may delete it.

const unswept = [];

const sweep = async (ids) => {
  if (!ids.length) return;
  const { categories } = await fetchNotice();
  for (const { id, services } of categories) {
    if (!ids.includes(id)) continue;
    for (const { name, storage } of services.flatMap((service) => service.cookies)) {
      // "_ga_*" names every cookie that begins so.
      const fits = (key) => (name.endsWith("*") ? key.startsWith(name.slice(0, -1)) : key === name);
      if (storage === "cookie") cookieNames().filter(fits).forEach(erase);
      else if (storage === "indexeddb") indexedDB.deleteDatabase(name);
      else {
        const area = storage === "local" ? localStorage : sessionStorage;
        Object.keys(area).filter(fits).forEach((key) => area.removeItem(key));
      }
    }
  }
};
