//! The check that a backend makes without the service: from the request's `Cookie` header.

use std::hint::black_box;
use std::time::Instant;

use consent_core::cookie::{self, CookieRef, Found};
use consent_core::id::ChoiceId;
use consent_core::outline::Outline;
use consent_core::time::UnixMillis;

/// How often it is done between two looks at the clock, and how many such batches there are. A batch is much shorter than the time
/// that the system gives a process at once, so that the median is one that nothing came between.
const BATCH: u32 = 500;
const BATCHES: usize = 2001;

/// A header of 1.5 kB with twenty cookies, ours among them.
fn header() -> String {
    let mut cookies: Vec<String> = (0..19).map(|i| format!("_other_{i:02}={}", "v7.x-Yz_".repeat(8))).collect();
    cookies.insert(14, "consent=1.2.1700000000.AAAAAAAAQACAAAAAAAAAAQ.marketing:ads~statistics.s".to_owned());
    cookies.join("; ")
}

/// The outline of a notice such as the demo's, with a category that signals close.
fn outline() -> Outline {
    let outline = Outline::builder(2)
        .category("functional", true, false, 1)
        .service("privacy-choice", 1)
        .service("text-size", 1)
        .category("statistics", false, true, 1)
        .service("counter", 1)
        .category("marketing", false, true, 1)
        .service("ads", 1);
    outline.build().expect("all of its ids are valid")
}

/// May this category be used? Validity, version and signal included.
fn granted(header: &str, outline: &Outline, category: &ChoiceId, now: UnixMillis, signal: bool) -> bool {
    let Found::One(value) = cookie::find(header, "consent") else { return false };
    let Ok(cookie) = CookieRef::read(value) else { return false };
    cookie.grants(outline, category, now, signal)
}

/// Nanoseconds per check, of each batch, and the length of the header.
pub(crate) fn nanoseconds() -> (Vec<f64>, usize) {
    let (header, outline) = (header(), outline());
    let category = ChoiceId::parse("statistics").expect("a valid id");
    let now = UnixMillis::from_seconds(1_700_100_000);
    assert!(granted(&header, &outline, &category, now, true), "the cookie says so");
    let batches = (0..BATCHES).map(|_| {
        let begin = Instant::now();
        for _ in 0..BATCH {
            black_box(granted(black_box(&header), black_box(&outline), black_box(&category), now, true));
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
    });
    (batches.collect(), header.len())
}
