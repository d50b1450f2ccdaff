// After a withdrawal: what the refused categories have stored goes too, as far as the notice names it and a script may delete it.

const unswept = [];

const sweep = async (ids) => {
  if (!ids.length) return;
  const { stored } = await fetchNotice();
  for (const [id, storage, name] of stored) {
    if (!ids.includes(id)) continue;
    // "_ga_*" names everything that begins so.
    const fits = (key) => (name.endsWith("*") ? key.startsWith(name.slice(0, -1)) : key === name);
    if (storage === "cookie") cookieNames().filter(fits).forEach(erase);
    else if (storage === "indexeddb") {
      // Not every browser lists them; one that does not can only be told a whole name.
      const known = (await indexedDB.databases?.()) || [{ name }];
      for (const { name } of known) if (fits(name)) indexedDB.deleteDatabase(name);
    } else {
      const area = storage === "local" ? localStorage : sessionStorage;
      Object.keys(area).filter(fits).forEach((key) => area.removeItem(key));
    }
  }
};
