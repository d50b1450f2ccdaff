//! What an inline script does, as far as its words show. Nothing is run.

use super::address::Address;
use super::hosts::{Kind, known};

/// A tracker that is called by name.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Any of these words, in code without blanks and with all quotes made `'`.
    words: &'static [&'static str],
}

const fn call(kind: Kind, name: &'static str, words: &'static [&'static str]) -> Call {
    Call { name, kind, words }
}

use Kind::{Advertising, Analytics};

/// From the vendors' installation guides, as of 2026-11-24. Short names only as they are called there: `ga(` and `hj(` are also what
/// minifiers call functions.
const CALLS: &[Call] = &[
    call(
        Analytics,
        "Google Analytics (gtag)",
        &["gtag('config'", "gtag('event'", "gtag('js'", "gtag('set'", "gtag('get'"],
    ),
    call(
        Analytics,
        "Google Analytics (analytics.js)",
        &["ga('create'", "ga('send'", "ga('set'", "ga('require'", "'GoogleAnalyticsObject'", "_gaq.push("],
    ),
    call(Analytics, "Google Tag Manager", &["'gtm.start'"]),
    call(Analytics, "Matomo", &["_paq.push(", "_paq=", "_mtm.push("]),
    call(Analytics, "Hotjar", &["hj('", "_hjSettings"]),
    call(Analytics, "Microsoft Clarity", &["clarity('"]),
    call(Analytics, "Mixpanel", &["mixpanel.init(", "mixpanel.track("]),
    call(Analytics, "Amplitude", &["amplitude.init(", "amplitude.getInstance("]),
    call(Analytics, "Segment", &["analytics.load('"]),
    call(Analytics, "PostHog", &["posthog.init("]),
    call(Analytics, "Heap", &["heap.load("]),
    call(Analytics, "HubSpot", &["_hsq.push(", "_hsq="]),
    call(Analytics, "Plausible", &["plausible('"]),
    call(Analytics, "Yandex Metrica", &["Ya.Metrika"]),
    call(Analytics, "FullStory", &["_fs_org", "FS.identify("]),
    call(Advertising, "Meta Pixel", &["fbq('", "_fbq"]),
    call(Advertising, "TikTok Pixel", &["ttq.", "TiktokAnalyticsObject"]),
    call(Advertising, "Microsoft Advertising (UET)", &["uetq"]),
    call(Advertising, "LinkedIn Insight Tag", &["_linkedin_partner_id", "_linkedin_data_partner_ids", "lintrk('"]),
    call(Advertising, "Snap Pixel", &["snaptr('"]),
    call(Advertising, "Pinterest Tag", &["pintrk('"]),
    call(Advertising, "X (Twitter) Pixel", &["twq('"]),
    call(Advertising, "Reddit Pixel", &["rdt('"]),
    call(Advertising, "Google AdSense", &["adsbygoogle"]),
    call(Advertising, "Google Publisher Tag", &["googletag.cmd", "googletag.defineSlot("]),
    call(Advertising, "Criteo", &["criteo_q"]),
];

/// A tracker that a script calls, or whose address it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tracker {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// The trackers in a script, each once.
///
/// `gtag('consent', …)` alone is none: it tells Google's tags what is denied, and asks nobody.
pub(crate) fn trackers(script: &str) -> Vec<Tracker> {
    let code = squeeze(script);
    let called = CALLS
        .iter()
        .filter(|call| call.words.iter().any(|word| has_word(&code, word)))
        .map(|call| Tracker { name: call.name, kind: call.kind });
    let named = addresses(&code)
        .filter_map(|address| known(&address))
        .filter(|known| matches!(known.kind, Analytics | Advertising))
        .map(|known| Tracker { name: known.name, kind: known.kind });
    let mut found: Vec<Tracker> = Vec::new();
    for tracker in called.chain(named) {
        // A call and the address that it comes from are one thing to a reader.
        let first = |name: &'static str| name.split(' ').next();
        if found.iter().all(|other| first(other.name) != first(tracker.name) || other.kind != tracker.kind) {
            found.push(tracker);
        }
    }
    found
}

/// How a script stores something on the device, if it does.
pub(crate) fn stores(script: &str) -> Option<&'static str> {
    let code = squeeze(script);
    let assigned = code.match_indices("document.cookie").any(|(at, found)| {
        let rest = &code[at + found.len()..];
        (rest.starts_with('=') && !rest.starts_with("==")) || rest.starts_with("+=")
    });
    if assigned {
        return Some("document.cookie");
    }
    ["cookieStore.set(", "localStorage.setItem("]
        .into_iter()
        .find(|word| has_word(&code, word))
        .map(|word| word.split('(').next().unwrap_or(word))
}

/// Whether `word` is in the code and is not the end of a longer name.
fn has_word(code: &str, word: &str) -> bool {
    let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    code.match_indices(word).any(|(at, _)| {
        let whole = !word.starts_with(name) || !code[..at].ends_with(name);
        whole && (!word.ends_with(name) || !code[at + word.len()..].starts_with(name))
    })
}

/// The addresses in a script's strings.
fn addresses(code: &str) -> impl Iterator<Item = Address> {
    code.match_indices("//").filter_map(|(at, _)| {
        let rest = &code[at..];
        let end = rest.find(['\'', ' ', '\\', '<', '>', '{', '}', ',', ';', ')']).unwrap_or(rest.len());
        Address::parse(&rest[..end])
    })
}

/// The code without comments, with blanks only where they part two names, and with one kind of quotes.
///
/// A regular expression is taken for code. That can only make a comment of what is none up to the end of its line.
fn squeeze(script: &str) -> String {
    let mut out = String::with_capacity(script.len());
    let mut rest = script.chars().peekable();
    let mut blank = false;
    while let Some(c) = rest.next() {
        match c {
            '/' if rest.peek() == Some(&'/') => {
                while rest.next_if(|&c| c != '\n').is_some() {}
                blank = true;
            }
            '/' if rest.peek() == Some(&'*') => {
                rest.next();
                let mut before = ' ';
                for c in rest.by_ref() {
                    if before == '*' && c == '/' {
                        break;
                    }
                    before = c;
                }
                blank = true;
            }
            '"' | '\'' | '`' => {
                out.push('\'');
                while let Some(inner) = rest.next() {
                    // Only a template goes over line ends; an unclosed quote is one in a regular expression.
                    if inner == c || (inner == '\n' && c != '`') {
                        break;
                    }
                    if inner == '\\' {
                        // `https:\/\/` is an address too.
                        out.extend(rest.next());
                    } else {
                        out.push(if matches!(inner, '"' | '\'' | '`') { ' ' } else { inner });
                    }
                }
                out.push('\'');
                blank = false;
            }
            c if c.is_whitespace() => blank = true,
            c => {
                let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
                if std::mem::take(&mut blank) && name(c) && out.ends_with(name) {
                    out.push(' ');
                }
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(script: &str) -> Vec<&'static str> {
        trackers(script).into_iter().map(|tracker| tracker.name).collect()
    }

    #[test]
    fn trackers_are_known_by_their_calls() {
        for (script, want) in [
            (
                "window.dataLayer=window.dataLayer||[];function gtag(){dataLayer.push(arguments)}gtag('js',new Date());gtag('config','G-1');",
                "Google Analytics (gtag)",
            ),
            ("ga ( \"create\", 'UA-1')", "Google Analytics (analytics.js)"),
            (
                "(function(w,d,s,l,i){w[l].push({'gtm.start': 1});j.src='https://www.googletagmanager.com/gtm.js?id='+i})",
                "Google Tag Manager",
            ),
            ("dataLayer.push({event: 'x'}); load('//www.googletagmanager.com/gtm.js')", "Google Tag Manager"),
            ("!function(f){}(window);\nfbq('init', '1');", "Meta Pixel"),
            ("var _paq = window._paq = window._paq || []; _paq.push(['trackPageView']);", "Matomo"),
            ("(function(h){h.hj=h.hj||function(){};h._hjSettings={hjid:1}})(window)", "Hotjar"),
            ("hj('event', 'x')", "Hotjar"),
            ("ttq.load('x'); ttq.page();", "TikTok Pixel"),
            ("clarity(\"set\", 'a', 'b')", "Microsoft Clarity"),
            ("window.uetq = window.uetq || [];", "Microsoft Advertising (UET)"),
            ("_linkedin_partner_id = '1';", "LinkedIn Insight Tag"),
            ("snaptr('init', '1')", "Snap Pixel"),
            ("pintrk('load', '1')", "Pinterest Tag"),
            ("twq('config', 'x')", "X (Twitter) Pixel"),
            (
                "var s=document.createElement('script');s.src=\"https:\\/\\/connect.facebook.net\\/en_US\\/sdk.js\"",
                "Meta Pixel and Facebook SDK",
            ),
        ] {
            assert_eq!(names(script), [want], "{script}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for script in [
            "gtag('consent', 'default', { ad_storage: 'denied' })",
            "dataLayer.push({ event: 'cart' })",
            "// fbq('init', '1')",
            "/* ga('create') */",
            "const a = 'text'; // _paq.push([])",
            "saga('create'); ga(1); hj(x)",
            "const links = ['https://www.facebook.com/shop', 'https://www.youtube.com/x'];",
            "notclarity('x')",
            "quetq = 1",
        ] {
            assert_eq!(names(script), [""; 0], "{script}");
        }
        assert_eq!(
            names("let a = /[\"']/; fbq('init')\nfbq('track')"),
            ["Meta Pixel"],
            "after a quote in an expression"
        );
    }

    #[test]
    fn writing_is_told_from_reading() {
        for (script, want) in [
            ("document.cookie = 'a=1'", Some("document.cookie")),
            ("document . cookie='a=1'", Some("document.cookie")),
            ("if (document.cookie == '') {}", None),
            ("if (document.cookie === '') {}", None),
            ("document.cookie.match(/a/)", None),
            ("// document.cookie = 1", None),
            ("'document.cookie = 1'", None),
            ("localStorage.setItem('a', 'b')", Some("localStorage.setItem")),
            ("cookieStore.set('a', 'b')", Some("cookieStore.set")),
            ("localStorage.getItem('a')", None),
        ] {
            assert_eq!(stores(script), want, "{script}");
        }
    }
}
