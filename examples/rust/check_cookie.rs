//! What the cookie of a request says, in-process and in nanoseconds: `cargo run -p examples --example check_cookie`.
//!
//! A cookie proves only this device's last act. Where it matters what was revoked elsewhere, ask the service.

use consent_core::cookie::{CookieRef, Found, find};
use consent_core::id::ChoiceId;
use consent_core::outline::Outline;
use consent_core::time::UnixMillis;

/// Whether this visitor's statistics may be processed. Whatever cannot be read, or is not clear, is a no.
fn may_count(outline: &Outline, cookie_header: &str, signal: bool, now: UnixMillis) -> bool {
    let (Found::One(value), Ok(statistics)) = (find(cookie_header, "consent"), ChoiceId::parse("statistics")) else {
        return false;
    };
    let Ok(cookie) = CookieRef::read(value) else { return false };
    cookie.grants(outline, &statistics, now, signal)
}

fn main() {
    let outline = Outline::builder(3)
        .necessary("functional")
        .category("statistics", false, false, 1)
        .build()
        .expect("the ids follow their grammar");
    let now = UnixMillis::from_seconds(1_700_000_600);
    for header in [
        "theme=dark; consent=1.3.1700000000.AAAAAAAAQACAAAAAAAAAAQ.statistics.",
        "consent=1.3.1700000000.-..",
        "consent=1.3.1600000000.AAAAAAAAQACAAAAAAAAAAQ.statistics.",
        "consent=1.3.1700000000.-..; consent=1.3.1700000000.-.statistics.",
        "consent=yes",
        "",
    ] {
        println!("{}\t{header}", if may_count(&outline, header, false, now) { "yes" } else { "no" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        let outline = Outline::builder(1).optional("statistics").build().unwrap();
        let now = UnixMillis::from_seconds(1_700_000_600);
        assert!(may_count(&outline, "consent=1.1.1700000000.-.statistics.", false, now));
        assert!(!may_count(&outline, "consent=1.1.1700000000.-..", false, now));
        assert!(!may_count(&outline, "consent=maybe", false, now));
        main();
    }
}
