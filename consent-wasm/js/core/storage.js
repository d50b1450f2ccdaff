// Decisions that the server has not confirmed, in local storage under the cookie's name:
// {"prev": <id of the last decision of the subject that this browser knows>, "queue": [<bodies to post, oldest first>]}.

// Where storage is forbidden, for this page view.
let memory = { queue: [] };

const recall = () => {
  try {
    const kept = JSON.parse(localStorage.getItem(config.name));
    return Array.isArray(kept?.queue) ? kept : { queue: [] };
  } catch {
    return memory;
  }
};

const keep = (store) => {
  memory = store;
  try {
    // Nothing identifying stays behind when there is nothing left to send and no subject to continue.
    if (store.queue.length || store.prev) localStorage.setItem(config.name, JSON.stringify(store));
    else localStorage.removeItem(config.name);
  } catch {}
};

// Takes entries out and closes the gaps in the chain of `prev`, so that what follows does not name what will never arrive.
const drop = (store, gone) => {
  for (const entry of store.queue.filter(gone))
    for (const holder of [store, ...store.queue]) if (holder.prev === entry.id) holder.prev = entry.prev;
  store.queue = store.queue.filter((entry) => !gone(entry));
};
