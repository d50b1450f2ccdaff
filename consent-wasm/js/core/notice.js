// Requests to the service, and the notice with its texts.

const endpoint = (path) => page.address(`/v1/sites/${page.config.site}/${path}`);

// Cookies go along to another host of the same site only where one cookie serves both.
const request = (path, options) => fetch(endpoint(path), { credentials: page.config.domain ? "include" : "same-origin", ...options });

let loading;

// consent.js may be older than the notice in force (it is cached): what a person reads in the settings is what they decide on, so
// the newer version takes over.
const fetchNotice = () =>
  (loading ||= request("notice?lang=" + page.config.lang)
    .then((response) => response.json())
    .then((notice) => {
      const { config } = page;
      if (notice.version > config.v) {
        config.v = notice.version;
        config.days = notice.renew_after_days;
        config.c = notice.categories.map(({ id, necessary, signals, since, services }) => [
          id,
          +!necessary,
          +signals,
          since,
          services.map((service) => [service.id, service.since]),
        ]);
        publish(ask());
      }
      // An error of the server is JSON too.
      return notice.categories ? notice : Promise.reject(notice);
    })
    .catch((error) => {
      loading = 0;
      throw error;
    }));
