//! The consent cookie and the `Cookie` header, from any browser.

use consent_core::consent::Consent;
use consent_core::cookie::{Cookie, CookieRef, Found, MAX_LENGTH, find};
use consent_core::id::ChoiceId;
use consent_core::outline::Outline;
use consent_core::time::UnixMillis;

use super::Target;

pub(super) static TARGET: Target = Target {
    name: "cookie",
    check,
    words: &[
        "functional",
        "statistics",
        "marketing",
        "embeds",
        "statistics:own",
        "embeds:maps",
        "embeds:videos",
        "consent=",
        "1.",
        "~",
        ".s",
        "-",
        "1700000000",
        "AAAAAAAAQACAAAAAAAAAAQ",
    ],
    longest: 4096,
    runs: 60_000,
    memory: (64 << 10, 64),
};

const DAY: i64 = 86_400_000;

fn outlines() -> [Outline; 3] {
    let build = |builder: consent_core::outline::Builder| builder.build().expect("these ids are valid");
    [
        build(Outline::builder(1).necessary("functional").optional("statistics")),
        build(
            Outline::builder(3)
                .necessary("functional")
                .category("statistics", false, false, 2)
                .service("own", 2)
                .category("marketing", false, true, 1)
                .category("embeds", false, true, 1)
                .service("maps", 1)
                .service("videos", 3),
        ),
        build(Outline::builder(u32::MAX).renew_after_days(1).optional("statistics").optional("marketing")),
    ]
}

fn check(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    header(&text);
    let lines = text.split(['\n', ';']).map(|line| line.trim_ascii_start().strip_prefix("consent=").unwrap_or(line));
    // Not with `any`, which would stop at the first.
    lines.map(value).fold(false, |accepted, value| accepted | value)
}

/// What is found under the name stands there, and nothing else does.
fn header(text: &str) {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    let mut values: Vec<_> =
        pairs.filter(|(key, _)| key.trim_ascii() == "consent").map(|(_, value)| value.trim_ascii()).collect();
    values.dedup();
    let want = match values[..] {
        [] => Found::Absent,
        [value] => Found::One(value),
        _ => Found::Differing,
    };
    assert_eq!(find(text, "consent"), want, "{text:?}");
}

fn value(text: &str) -> bool {
    let read = Cookie::parse(text);
    // The subject's form is the type's own matter; all else is told apart by another reading.
    let fields: Vec<_> = text.split('.').collect();
    let other = fields.len() == 6 && text.len() <= MAX_LENGTH && is_grammatical(&fields);
    let subject = fields.get(3).copied().unwrap_or_default();
    if subject == "-" || read.is_ok() {
        assert_eq!(read.is_ok(), other, "{text:?}");
    }
    let borrowed = CookieRef::read(text);
    assert_eq!(borrowed.is_ok(), read.is_ok(), "{text:?}");
    let (Ok(cookie), Ok(borrowed)) = (read, borrowed) else { return false };
    assert_eq!(cookie.subject.is_none(), subject == "-");

    let printed = cookie.value();
    assert_eq!(Cookie::parse(&printed).as_ref(), Ok(&cookie), "{text:?} is printed as {printed:?}");
    let ids = |text: &str| {
        let mut ids: Vec<_> = text.split('.').nth(4).unwrap_or_default().split('~').map(str::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(text), ids(&printed), "nothing is granted that was not written");
    assert_eq!(printed.len(), text.len(), "one spelling");
    for outline in outlines() {
        grants(&cookie, &borrowed, &outline);
    }
    true
}

/// The grammar, read again by splitting.
fn is_grammatical(fields: &[&str]) -> bool {
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| number.to_string() == text);
    let name = |text: &str| {
        (1..=32).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let id = |text: &str| match text.split_once(':') {
        Some((category, service)) => name(category) && name(service),
        None => name(text),
    };
    let ids: Vec<_> = if fields[4].is_empty() { Vec::new() } else { fields[4].split('~').collect() };
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    fields[0] == "1"
        && number(fields[1]).is_some_and(|notice| (1..=u64::from(u32::MAX)).contains(&notice))
        && number(fields[2]).is_some_and(|at| at <= UnixMillis::MAX.seconds().unsigned_abs())
        && sorted.len() == ids.len()
        && ids.into_iter().all(id)
        && matches!(fields[5], "" | "s")
}

/// What is granted is in the cookie, in time, and of a version that was asked; and all ways of asking agree.
fn grants(cookie: &Cookie, borrowed: &CookieRef<'_>, outline: &Outline) {
    let consent = Consent::from_cookie_only(cookie, outline);
    let decided = cookie.decided_at.millis();
    let lives = i64::from(outline.renew_after_days) * DAY;
    let choices = outline.categories.iter().flat_map(|category| {
        let services = category.services.iter().map(|service| ChoiceId::service_of(&category.id, &service.id));
        core::iter::once(ChoiceId::from(&category.id)).chain(services)
    });
    let choices: Vec<_> = choices.collect();
    for at in [0, decided.saturating_add(1000), decided.saturating_add(lives - 1), decided.saturating_add(lives)] {
        let now = UnixMillis::new(at.min(UnixMillis::MAX.millis()));
        for signal in [false, true] {
            let view = consent.view(outline, now, signal);
            let back = consent.to_cookie(outline, cookie.subject, now);
            for choice in &choices {
                let granted = view.granted(choice);
                assert_eq!(granted, cookie.grants(outline, choice, now, signal), "{cookie} about {choice}");
                assert_eq!(granted, borrowed.grants(outline, choice, now, signal), "{cookie} about {choice}");
                let category = outline.category(choice.category()).expect("it is from the outline");
                if category.necessary {
                    continue;
                }
                if let Some(back) = &back {
                    assert!(granted || !back.grants(outline, choice, now, signal), "{cookie} became {back}: {choice}");
                }
                if granted {
                    let named = |text: &str| cookie.granted.iter().any(|id| id.as_str() == text);
                    assert!(named(choice.as_str()) || named(choice.category()), "{cookie} does not name {choice}");
                    assert!(cookie.notice >= category.since && cookie.notice <= outline.version, "{cookie}: {choice}");
                    assert!(now.millis() < decided.saturating_add(lives), "{cookie} is too old for {choice}");
                    assert!(!signal || !category.signals || cookie.said, "{cookie} is against the signal: {choice}");
                }
            }
        }
    }
    let nobody = Cookie::authorizes(None, Some(&consent), None, outline, &choices[0], cookie.decided_at, false);
    assert_eq!(nobody, outline.categories[0].necessary, "without a cookie only what is necessary is allowed");
}
