// vanilla-cookieconsent as its "Getting started" sets it up in plain HTML: this module imports the UMD file and runs it. Three
// categories; first layer and settings say what the demo's notice says; everything else is its default.
import "./cookieconsent.umd.js";

CookieConsent.run({
  categories: {
    necessary: { enabled: true, readOnly: true },
    analytics: { autoClear: { cookies: [{ name: "demo_visits" }] } },
    marketing: { autoClear: { cookies: [{ name: "demo_offer" }] } },
  },
  language: {
    default: "en",
    translations: {
      en: {
        consentModal: {
          title: "Privacy on this site",
          description:
            "Example Gardens Ltd asks for your permission for: Website statistics, Marketing. What the site needs to work is always on. You can change or withdraw your choice at any time, on every page.",
          acceptAllBtn: "Accept all",
          acceptNecessaryBtn: "Reject all",
          showPreferencesBtn: "Settings",
          footer: '<a href="/privacy">Privacy policy</a>',
        },
        preferencesModal: {
          title: "Privacy settings",
          acceptAllBtn: "Accept all",
          acceptNecessaryBtn: "Reject all",
          savePreferencesBtn: "Save",
          closeIconLabel: "Close",
          sections: [
            {
              title: "Your choice",
              description: "What is optional stays off unless you switch it on. You can come back here and change it on every page.",
            },
            {
              title: "Functional cookies",
              description: "Remember your privacy choice, and the text size if you change it.",
              linkedCategory: "necessary",
              cookieTable: {
                headers: { name: "Cookie", purpose: "Purpose", lifetime: "Kept for" },
                body: [
                  { name: "cc_cookie", purpose: "Keeps what you chose here.", lifetime: "182 days" },
                  { name: "demo_text_size", purpose: "Keeps the text size. Set only when you change it.", lifetime: "30 days" },
                ],
              },
            },
            {
              title: "Website statistics",
              description: "Count page views, to see which articles are read. The cookie for 30 days; counts are kept as totals that name nobody.",
              linkedCategory: "analytics",
              cookieTable: {
                headers: { name: "Cookie", purpose: "Purpose", lifetime: "Kept for" },
                body: [{ name: "demo_visits", purpose: "Counts the pages that this browser has opened.", lifetime: "30 days" }],
              },
            },
            {
              title: "Marketing",
              description: "Show an offer for our newsletter, and not the same one again. The cookie for 7 days; nothing about it is kept on our server.",
              linkedCategory: "marketing",
              cookieTable: {
                headers: { name: "Cookie", purpose: "Purpose", lifetime: "Kept for" },
                body: [{ name: "demo_offer", purpose: "Keeps which offer was shown.", lifetime: "7 days" }],
              },
            },
            {
              title: "More",
              description: 'Who we are and how to reach us is in the <a href="/privacy">privacy policy</a>.',
            },
          ],
        },
      },
    },
  },
});
