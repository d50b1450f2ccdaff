//! Hosts that pages of others load from: what each is, and under which category it usually falls.
//!
//! As of 2026-11-24. The hosts are those of the vendors' own installation and Content-Security-Policy guides (Google's for
//! example: developers.google.com/tag-platform/security/guides/csp). The categories were compared with the tracker protection list of
//! Disconnect (2026-08-07); where that goes by the owner, this goes by the product. A host that is missing here is still reported, as
//! unknown.

use serde::Serialize;

use super::address::Address;

/// What a service is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Measures visitors.
    Analytics,
    /// Shows advertisements, or measures and follows people for them.
    Advertising,
    /// Content or a function of others inside the page: films, maps, posts, chats.
    Embed,
    /// Typefaces.
    Font,
    /// Files that any site may load.
    Network,
    /// Tells people from machines.
    Captcha,
    /// Takes payments.
    Payment,
}

impl Kind {
    /// The ids under which notices usually have it, the most usual one first; none for what is better kept on the site's own host.
    pub(crate) fn usual_ids(self) -> &'static [&'static str] {
        match self {
            Self::Analytics => &["statistics", "analytics", "measurement", "performance"],
            Self::Advertising => &["marketing", "advertising", "ads", "targeting"],
            Self::Embed => {
                &["embeds", "external-media", "media", "external-content", "content", "social-media", "social"]
            }
            Self::Captcha => &["captcha", "security", "comfort"],
            Self::Payment | Self::Font | Self::Network => &[],
        }
    }

    /// What loading it means for a visitor.
    pub(crate) fn consequence(self) -> &'static str {
        match self {
            Self::Analytics => {
                "It measures people and reads or stores on their devices: not before they have agreed (ePrivacy Directive Art. 5(3))."
            }
            Self::Advertising => {
                "It follows people for advertising: not before they have agreed (ePrivacy Directive Art. 5(3), GDPR Art. 6(1)(a))."
            }
            Self::Embed => {
                "The embedded service receives the visitor's address, and may read or store on the device, before anybody has asked for it."
            }
            Self::Font => {
                "The visitor's IP address goes to its provider for a typeface that could lie on your own host (LG München I, 20.01.2022, 3 O 17493/20)."
            }
            Self::Network => {
                "Content network: receives the visitor's IP address for a file that could lie on your own host."
            }
            Self::Captcha => {
                "It studies the visitor's device; regulators hold that to need consent unless it serves security alone."
            }
            Self::Payment => {
                "Payment: usually necessary where something is being paid. Keep it off pages where nothing is."
            }
        }
    }

    /// Whether it is a fault to load it before a choice, or only worth a look.
    pub(crate) fn needs_choice(self) -> bool {
        self != Self::Payment
    }
}

/// A row of [`HOSTS`].
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// The host; what is below it belongs to it too.
    pub host: &'static str,
    /// The start of the path, where one host serves several things.
    pub path: &'static str,
    /// The name people know it by.
    pub name: &'static str,
    /// What it is for.
    pub kind: Kind,
}

const fn row(kind: Kind, name: &'static str, host: &'static str) -> Known {
    Known { host, path: "", name, kind }
}

const fn path(kind: Kind, name: &'static str, host: &'static str, path: &'static str) -> Known {
    Known { host, path, name, kind }
}

use Kind::{Advertising, Analytics, Captcha, Embed, Font, Network, Payment};

/// Every known host. Of several that fit an address the longest counts.
pub const HOSTS: &[Known] = &[
    // Google
    row(Analytics, "Google Analytics", "google-analytics.com"),
    row(Analytics, "Google Analytics", "analytics.google.com"),
    row(Analytics, "Google Tag Manager", "googletagmanager.com"),
    path(Analytics, "Google Analytics (gtag)", "www.googletagmanager.com", "/gtag/"),
    row(Analytics, "Google Optimize", "googleoptimize.com"),
    row(Advertising, "Google advertising (DoubleClick)", "doubleclick.net"),
    row(Advertising, "Google AdSense", "googlesyndication.com"),
    row(Advertising, "Google Ads", "googleadservices.com"),
    row(Advertising, "Google Publisher Tag", "googletagservices.com"),
    row(Advertising, "Google advertising", "adservice.google.com"),
    row(Advertising, "Google video advertising", "imasdk.googleapis.com"),
    path(Advertising, "Google Ads", "www.google.com", "/ads"),
    path(Advertising, "Google Ads", "www.google.com", "/pagead"),
    path(Advertising, "Google Ads", "www.google.com", "/ccm/"),
    row(Embed, "YouTube", "youtube.com"),
    row(Embed, "YouTube (without cookies until the film is started)", "youtube-nocookie.com"),
    row(Embed, "YouTube", "youtu.be"),
    row(Embed, "YouTube pictures", "ytimg.com"),
    row(Embed, "Google Maps", "maps.google.com"),
    row(Embed, "Google Maps", "maps.googleapis.com"),
    row(Embed, "Google Maps", "maps.gstatic.com"),
    path(Embed, "Google Maps", "www.google.com", "/maps"),
    path(Embed, "Google Maps", "www.google.de", "/maps"),
    row(Embed, "Google Calendar", "calendar.google.com"),
    row(Embed, "Google documents and forms", "docs.google.com"),
    row(Embed, "Google Translate", "translate.google.com"),
    row(Embed, "Google Translate", "translate.googleapis.com"),
    row(Embed, "Google programmable search", "cse.google.com"),
    row(Embed, "Google sign-in", "accounts.google.com"),
    row(Embed, "Google sign-in and widgets", "apis.google.com"),
    row(Captcha, "Google reCAPTCHA", "recaptcha.net"),
    path(Captcha, "Google reCAPTCHA", "www.google.com", "/recaptcha"),
    path(Captcha, "Google reCAPTCHA", "www.gstatic.com", "/recaptcha"),
    row(Font, "Google Fonts", "fonts.googleapis.com"),
    row(Font, "Google Fonts", "fonts.gstatic.com"),
    row(Network, "Google Hosted Libraries", "ajax.googleapis.com"),
    row(Network, "Google's content network", "gstatic.com"),
    // Meta
    row(Advertising, "Meta Pixel and Facebook SDK", "connect.facebook.net"),
    path(Advertising, "Meta Pixel", "facebook.com", "/tr"),
    row(Embed, "Facebook", "facebook.com"),
    row(Embed, "Facebook", "fbcdn.net"),
    row(Embed, "Instagram", "instagram.com"),
    row(Embed, "Instagram", "cdninstagram.com"),
    row(Embed, "Threads", "threads.net"),
    // Other social networks
    row(Advertising, "TikTok Pixel", "analytics.tiktok.com"),
    row(Embed, "TikTok", "tiktok.com"),
    row(Advertising, "LinkedIn Insight Tag", "snap.licdn.com"),
    row(Advertising, "LinkedIn Insight Tag", "px.ads.linkedin.com"),
    row(Embed, "LinkedIn", "linkedin.com"),
    row(Embed, "LinkedIn", "licdn.com"),
    row(Advertising, "X (Twitter) Pixel", "static.ads-twitter.com"),
    row(Advertising, "X (Twitter) Pixel", "analytics.twitter.com"),
    row(Embed, "X (Twitter)", "platform.twitter.com"),
    row(Embed, "X (Twitter)", "twitter.com"),
    row(Embed, "X (Twitter)", "platform.x.com"),
    row(Embed, "X (Twitter)", "x.com"),
    row(Embed, "X (Twitter)", "twimg.com"),
    path(Advertising, "X (Twitter) Pixel", "t.co", "/i/adsct"),
    row(Advertising, "Pinterest Tag", "ct.pinterest.com"),
    path(Advertising, "Pinterest Tag", "s.pinimg.com", "/ct/"),
    row(Embed, "Pinterest", "pinterest.com"),
    row(Embed, "Pinterest", "pinimg.com"),
    row(Advertising, "Snap Pixel", "sc-static.net"),
    row(Advertising, "Snap Pixel", "tr.snapchat.com"),
    row(Embed, "Snapchat", "snapchat.com"),
    row(Advertising, "Reddit Pixel", "redditstatic.com"),
    row(Advertising, "Reddit Pixel", "alb.reddit.com"),
    row(Embed, "Reddit", "reddit.com"),
    row(Embed, "Bluesky", "embed.bsky.app"),
    // Microsoft
    row(Advertising, "Microsoft Advertising (UET)", "bat.bing.com"),
    row(Advertising, "Microsoft Advertising (UET)", "bat.bing.net"),
    row(Analytics, "Microsoft Clarity", "clarity.ms"),
    row(Embed, "Bing Maps", "bing.com"),
    row(Embed, "Bing Maps", "virtualearth.net"),
    row(Analytics, "Azure Application Insights", "js.monitor.azure.com"),
    row(Network, "Microsoft's content network", "ajax.aspnetcdn.com"),
    // Measuring
    row(Analytics, "Hotjar", "hotjar.com"),
    row(Analytics, "Hotjar", "hotjar.io"),
    row(Analytics, "Contentsquare", "contentsquare.net"),
    row(Analytics, "Matomo Cloud", "matomo.cloud"),
    row(Analytics, "Matomo Cloud", "cdn.matomo.cloud"),
    row(Analytics, "Plausible", "plausible.io"),
    row(Analytics, "Fathom", "cdn.usefathom.com"),
    row(Analytics, "Simple Analytics", "simpleanalyticscdn.com"),
    row(Analytics, "etracker", "etracker.com"),
    row(Analytics, "etracker", "etracker.de"),
    row(Analytics, "econda", "econda-monitor.de"),
    row(Analytics, "Piwik PRO", "piwik.pro"),
    row(Analytics, "AT Internet (Piano)", "xiti.com"),
    row(Analytics, "AT Internet (Piano)", "aticdn.net"),
    row(Analytics, "INFOnline (IVW)", "ioam.de"),
    row(Analytics, "INFOnline (IVW)", "iocnt.net"),
    row(Analytics, "HubSpot", "hs-analytics.net"),
    row(Analytics, "HubSpot", "hs-scripts.com"),
    row(Analytics, "HubSpot", "hsforms.net"),
    row(Analytics, "HubSpot", "hs-banner.com"),
    row(Advertising, "HubSpot", "hsadspixel.net"),
    row(Analytics, "HubSpot", "hubspot.com"),
    row(Analytics, "Segment", "segment.com"),
    row(Analytics, "Segment", "segment.io"),
    row(Analytics, "Mixpanel", "mixpanel.com"),
    row(Analytics, "Mixpanel", "mxpnl.com"),
    row(Analytics, "Amplitude", "amplitude.com"),
    row(Analytics, "Heap", "heapanalytics.com"),
    row(Analytics, "PostHog", "posthog.com"),
    row(Analytics, "FullStory", "fullstory.com"),
    row(Analytics, "Mouseflow", "mouseflow.com"),
    row(Analytics, "Lucky Orange", "luckyorange.com"),
    row(Analytics, "Crazy Egg", "crazyegg.com"),
    row(Analytics, "Smartlook", "smartlook.com"),
    row(Analytics, "Chartbeat", "chartbeat.com"),
    row(Analytics, "Scorecard Research", "scorecardresearch.com"),
    row(Advertising, "Quantcast", "quantserve.com"),
    row(Analytics, "Yandex Metrica", "mc.yandex.ru"),
    row(Analytics, "StatCounter", "statcounter.com"),
    row(Analytics, "Cloudflare Web Analytics", "cloudflareinsights.com"),
    row(Analytics, "New Relic", "nr-data.net"),
    row(Analytics, "New Relic", "js-agent.newrelic.com"),
    row(Analytics, "Datadog", "datadoghq-browser-agent.com"),
    row(Analytics, "Sentry", "sentry-cdn.com"),
    row(Analytics, "Sentry", "sentry.io"),
    row(Analytics, "Bugsnag", "bugsnag.com"),
    row(Analytics, "Optimizely", "optimizely.com"),
    row(Analytics, "VWO", "visualwebsiteoptimizer.com"),
    row(Analytics, "AB Tasty", "abtasty.com"),
    row(Analytics, "Adobe Experience Platform tags", "assets.adobedtm.com"),
    row(Analytics, "Adobe Analytics", "omtrdc.net"),
    row(Analytics, "Adobe Analytics", "2o7.net"),
    row(Analytics, "WordPress.com Stats", "stats.wp.com"),
    row(Analytics, "WordPress.com Stats", "pixel.wp.com"),
    // Advertising
    row(Advertising, "Criteo", "criteo.com"),
    row(Advertising, "Criteo", "criteo.net"),
    row(Advertising, "Taboola", "taboola.com"),
    row(Advertising, "Outbrain", "outbrain.com"),
    row(Advertising, "Amazon Ads", "amazon-adsystem.com"),
    row(Advertising, "Xandr", "adnxs.com"),
    row(Advertising, "The Trade Desk", "adsrvr.org"),
    row(Advertising, "Adform", "adform.net"),
    row(Advertising, "PubMatic", "pubmatic.com"),
    row(Advertising, "Magnite", "rubiconproject.com"),
    row(Advertising, "AdRoll", "adroll.com"),
    row(Advertising, "Adobe Audience Manager", "demdex.net"),
    row(Advertising, "Salesforce Pardot", "pardot.com"),
    row(Advertising, "Klaviyo", "klaviyo.com"),
    row(Advertising, "Quora Pixel", "q.quora.com"),
    row(Advertising, "AWIN", "dwin1.com"),
    row(Advertising, "AWIN", "awin1.com"),
    row(Advertising, "Mailchimp", "chimpstatic.com"),
    row(Advertising, "Mailchimp", "list-manage.com"),
    // Content and functions inside a page
    row(Embed, "Vimeo", "vimeo.com"),
    row(Embed, "Vimeo", "vimeocdn.com"),
    row(Embed, "Dailymotion", "dailymotion.com"),
    row(Embed, "Twitch", "twitch.tv"),
    row(Embed, "Wistia", "wistia.com"),
    row(Embed, "Wistia", "wistia.net"),
    row(Embed, "Spotify", "spotify.com"),
    row(Embed, "Spotify", "scdn.co"),
    row(Embed, "SoundCloud", "soundcloud.com"),
    row(Embed, "Apple Music and podcasts", "embed.music.apple.com"),
    row(Embed, "Apple Music and podcasts", "embed.podcasts.apple.com"),
    row(Embed, "Podigee", "podigee.com"),
    row(Embed, "Issuu", "issuu.com"),
    row(Embed, "Typeform", "typeform.com"),
    row(Embed, "Calendly", "calendly.com"),
    row(Embed, "Disqus", "disqus.com"),
    row(Embed, "Giphy", "giphy.com"),
    row(Embed, "CodePen", "codepen.io"),
    row(Embed, "Trustpilot", "trustpilot.com"),
    row(Embed, "Gravatar", "gravatar.com"),
    row(Embed, "OpenStreetMap", "openstreetmap.org"),
    row(Embed, "Mapbox", "mapbox.com"),
    row(Embed, "Intercom", "intercom.io"),
    row(Embed, "Intercom", "intercomcdn.com"),
    row(Embed, "Zendesk", "zdassets.com"),
    row(Embed, "Tawk.to", "tawk.to"),
    row(Embed, "Crisp", "crisp.chat"),
    row(Embed, "Userlike", "userlike.com"),
    row(Embed, "LiveChat", "livechatinc.com"),
    row(Embed, "Tidio", "tidio.co"),
    // People or machines
    row(Captcha, "hCaptcha", "hcaptcha.com"),
    row(Captcha, "Cloudflare Turnstile", "challenges.cloudflare.com"),
    row(Captcha, "Friendly Captcha", "friendlycaptcha.com"),
    // Payments
    row(Payment, "Stripe", "stripe.com"),
    row(Payment, "Stripe", "stripe.network"),
    row(Payment, "PayPal", "paypal.com"),
    row(Payment, "PayPal", "paypalobjects.com"),
    row(Payment, "Klarna", "klarna.com"),
    row(Payment, "Klarna", "klarnacdn.net"),
    row(Payment, "Adyen", "adyen.com"),
    row(Payment, "Mollie", "mollie.com"),
    row(Payment, "Braintree", "braintreegateway.com"),
    // Typefaces and files
    row(Font, "Adobe Fonts (Typekit)", "typekit.net"),
    row(Font, "Adobe Fonts (Typekit)", "typekit.com"),
    row(Font, "Monotype (fonts.com)", "fast.fonts.net"),
    row(Font, "Font Awesome", "fontawesome.com"),
    row(Font, "Bunny Fonts", "fonts.bunny.net"),
    row(Network, "jsDelivr", "jsdelivr.net"),
    row(Network, "unpkg", "unpkg.com"),
    row(Network, "cdnjs (Cloudflare)", "cdnjs.cloudflare.com"),
    row(Network, "jQuery CDN", "code.jquery.com"),
    row(Network, "Bootstrap CDN", "bootstrapcdn.com"),
    row(Network, "esm.sh", "esm.sh"),
    row(Network, "Skypack", "cdn.skypack.dev"),
    row(Network, "polyfill.io, whose owner changed in 2024: remove it", "polyfill.io"),
];

/// What is known of an address.
pub fn known(address: &Address) -> Option<&'static Known> {
    let fits = |known: &&Known| {
        let below = address.host.strip_suffix(known.host);
        below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) && address.path.starts_with(known.path)
    };
    HOSTS.iter().filter(fits).max_by_key(|known| (known.host.len(), known.path.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_is_listed_once_and_could_be_met() {
        for (at, known) in HOSTS.iter().enumerate() {
            let place = (known.host, known.path);
            assert!(HOSTS[at + 1..].iter().all(|other| (other.host, other.path) != place), "{place:?} twice");
            let address = Address::parse(&format!("https://{}{}", known.host, known.path)).unwrap();
            assert_eq!(address.host, known.host);
            assert_eq!(super::known(&address), Some(known));
        }
    }

    #[test]
    fn the_longest_row_that_fits_counts() {
        for (address, want) in [
            ("https://www.googletagmanager.com/gtag/js?id=G-1", Some(Analytics)),
            ("https://region1.google-analytics.com/g/collect", Some(Analytics)),
            ("https://www.facebook.com/tr?id=1&noscript=1", Some(Advertising)),
            ("https://www.facebook.com/plugins/page.php", Some(Embed)),
            ("https://www.google.com/maps/embed?pb=1", Some(Embed)),
            ("https://www.google.com/recaptcha/api.js", Some(Captcha)),
            ("https://www.google.com/search", None),
            ("https://www.gstatic.com/recaptcha/x.js", Some(Captcha)),
            ("https://fonts.gstatic.com/s/x.woff2", Some(Font)),
            ("https://js.stripe.com/v3/", Some(Payment)),
            ("https://notgoogle-analytics.com/", None),
            ("https://box.com/", None),
        ] {
            assert_eq!(known(&Address::parse(address).unwrap()).map(|known| known.kind), want, "{address}");
        }
    }
}
