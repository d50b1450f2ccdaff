//! A draft of a notice, TOML or JSON, as `consent notice lint` reads it; and a published one, as an export carries it.

use consent_core::lint::{Severity, lint};
use consent_core::notice::{Draft, Notice, diff};
use consent_core::render;
use consent_server::cli::parse_draft;

use super::Target;

pub(super) static TARGET: Target = Target {
    name: "notice",
    check,
    words: &[
        "preset",
        "notice",
        "choice",
        "en",
        "de",
        "ar",
        "zh-Hant",
        "category",
        "service",
        "cookies",
        "necessary",
        "signals",
        "true",
        "false",
        "exemption",
        "consent-storage",
        "ui-preference",
        "statistics",
        "{controller}",
        "{days}",
        "{cookie}",
        "{optional}",
        "{category}",
        "{",
        "renewal",
        "kept",
        "session",
        "30 days",
        "13 months",
        "country",
        "US",
        "IE",
        "CN",
        "transfer",
        "storage",
        "local",
        "cookie",
        "adapter",
        "theme",
        "texts",
        "https://",
        "javascript:alert(1)",
        "renew_after_days",
    ],
    longest: 32 << 10,
    runs: 1_500,
    memory: (1 << 20, 512),
};

fn check(input: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(input) else { return false };
    if let Ok(notice) = Notice::parse(input) {
        published(&notice);
        return true;
    }
    let drafts = [true, false].into_iter().filter_map(|json| parse_draft(text, json).ok());
    drafts.map(|draft| judged(&draft)).fold(false, |clean, draft| clean | draft)
}

/// Whether the draft is without errors; then it can be published.
fn judged(draft: &Draft) -> bool {
    let written = serde_json::to_string(draft).expect("a draft is texts, numbers and maps keyed by text");
    assert_eq!(parse_draft(&written, true).ok().as_ref(), Some(draft), "a draft that is written reads the same");
    let findings = lint(draft);
    for finding in &findings {
        assert!(!finding.to_string().is_empty());
    }
    let clean = findings.iter().all(|finding| finding.severity != Severity::Error);
    let first = draft.clone().publish(None, &[], false);
    assert_eq!(first.is_ok(), clean, "what is clean can be published, and nothing else: {findings:?}");
    let Ok(first) = first else { return false };
    assert_eq!(diff(&first, draft), [], "a notice says what its draft said");
    assert!(draft.clone().publish(Some(&first), &[], true).is_err(), "nothing has changed");
    published(&first);
    true
}

fn published(notice: &Notice) {
    let again = Notice::parse(notice.canonical().as_bytes()).expect("what was published can be read");
    assert_eq!(&again, notice);
    assert_eq!(again.canonical(), notice.canonical());
    let outline = notice.outline();
    for language in notice.languages() {
        let shown = notice.for_language(language);
        assert_eq!(outline.categories.len(), shown.categories.len());
        let html = render::banner_html(&shown, "", true, None)
            + &render::settings(&shown).html()
            + &render::declaration(&shown, true).html()
            + &render::placeholder(&shown).html();
        for script in ["<script", "javascript:"] {
            let written = html.matches(script).count();
            // In a text it is a text; `<` is always escaped there, and an address with another scheme is refused.
            assert!(written == 0 || script == "javascript:", "{script} in {html}");
        }
        assert!(!html.contains("href=\"javascript:"), "{html}");
    }
}
