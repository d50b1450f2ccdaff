//! The settings: a dialog where scripts run, a page where they do not.

use super::{Hidden, Node, button, declaration, el, pair, words};
use crate::notice::{PublicCategory, PublicNotice};

/// How a person stands who opens the settings without scripts.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The optional ids that hold.
    pub granted: Vec<String>,
    /// The consent ID, if there is one.
    pub subject: Option<String>,
    /// When they chose, as it is to be read.
    pub chosen_on: Option<String>,
    /// Whether their browser sends a signal.
    pub signalled: bool,
    /// Whether something changed since they chose.
    pub outdated: bool,
}

/// Headings of a category's details are those below the title.
const HEADING: &str = "h3";

/// The dialog. Scripts set the switches to what holds, and fill in the consent ID and the date.
pub fn settings(notice: &PublicNotice<'_>) -> Node {
    let texts = notice.texts;
    let categories = notice.categories.iter().map(|category| {
        let id = category.id.as_str();
        let more = button(&texts.details, "details")
            .with("class", "more")
            .with("aria-expanded", "false")
            .with("aria-controls", format!("details-{id}"))
            .with("aria-describedby", format!("name-{id}"));
        let details = el("div").with("class", "details").with("id", format!("details-{id}")).flag("hidden", true);
        switch(notice, category, false).add(more).add(details.all(declaration::details(notice, category, HEADING)))
    });
    let notes = [note(&texts.outdated).flag("hidden", true), super::signal(notice)];
    let receipt = button(&texts.download_receipt, "receipt").with("class", "more").flag("hidden", true);
    let body = body(notice, notes, categories, [el("dl").with("data-identity", ""), receipt]);
    let footer = el("footer")
        .add(el("p").with("role", "status"))
        .add(button(&texts.forget, "forget").with("aria-describedby", "forgetting"))
        .add(button(&texts.cancel, "close"))
        .add(button(&texts.save, "save"));
    el("dialog")
        .with("aria-labelledby", "settings")
        .add(el("header").add(
            el("h2").with("id", "settings").with("tabindex", "-1").with("autofocus", "").text(&texts.settings_title),
        ))
        .add(body)
        .add(footer)
}

/// The same as a page with a form that is sent to `action`. `back` leads to where the person came from.
pub fn settings_page(
    notice: &PublicNotice<'_>,
    standing: &Standing,
    action: &str,
    hidden: &Hidden,
    back: &str,
) -> Node {
    let texts = notice.texts;
    let categories = notice.categories.iter().map(|category| {
        let on = category.necessary || standing.granted.iter().any(|id| id == category.id.as_str());
        let details = el("div").with("class", "details").all(declaration::details(notice, category, "h2"));
        switch(notice, category, on).add(details)
    });
    let notes = [(standing.outdated, &texts.outdated), (standing.signalled, &texts.signal_said)];
    let notes = notes.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| note(text));
    let id = standing
        .subject
        .as_ref()
        .map_or_else(|| words(&texts.no_consent_id), |id| el("code").with("dir", "ltr").text(id));
    let identity = el("dl")
        .add(pair(&texts.consent_id, [id]))
        .all(standing.chosen_on.as_ref().map(|date| pair(&texts.chosen_on, [words(date)])));
    let body = body(notice, notes, categories, [identity]);
    let send = |text: &str, method: &'static str| {
        el("button").with("name", "method").with("value", method).with("data-consent-action", method).text(text)
    };
    let footer = el("footer")
        .add(send(&texts.forget, "forget").with("aria-describedby", "forgetting"))
        .add(el("a").with("class", "link").with("href", back).with("data-consent-action", "close").text(&texts.back))
        .add(send(&texts.save, "save"));
    el("main").add(
        el("form")
            .with("class", "page")
            .with("method", "post")
            .with("action", action)
            .all(hidden.inputs())
            .add(el("header").add(el("h1").text(&texts.settings_title)))
            .add(body)
            .add(footer),
    )
}

fn note(text: &str) -> Node {
    el("p").with("class", "note").text(text)
}

/// What stands between heading and buttons: what to know first, the categories, then who the person and the controller are.
fn body(
    notice: &PublicNotice<'_>,
    notes: impl IntoIterator<Item = Node>,
    categories: impl Iterator<Item = Node>,
    identity: impl IntoIterator<Item = Node>,
) -> Node {
    let texts = notice.texts;
    let policy = el("a").with("class", "link").with("href", notice.privacy_policy).text(&texts.privacy_policy);
    let about = el("div")
        .with("class", "about")
        .all(identity)
        .add(el("p").with("id", "forgetting").text(&texts.forget_hint))
        .add(el("dl").add(super::controller(notice)))
        .add(policy);
    el("div").with("class", "body").add(el("p").text(&texts.settings_intro)).all(notes).all(categories).add(about)
}

/// One category: its name, its switch, and what it is for.
fn switch(notice: &PublicNotice<'_>, category: &PublicCategory<'_>, on: bool) -> Node {
    let texts = notice.texts;
    let id = category.id.as_str();
    let state = if category.necessary {
        &texts.always_on
    } else if on {
        &texts.on
    } else {
        &texts.off
    };
    let input = el("input")
        .with("type", "checkbox")
        .with("role", "switch")
        .with("id", format!("switch-{id}"))
        .with("name", "granted")
        .with("value", id)
        .with("aria-describedby", format!("purpose-{id}"))
        .flag("checked", category.necessary || on)
        .flag("disabled", category.necessary);
    el("section")
        .with("class", "category")
        .with("aria-labelledby", format!("name-{id}"))
        .add(
            el("div")
                .with("class", "head")
                .add(
                    el("label")
                        .with("for", format!("switch-{id}"))
                        .with("id", format!("name-{id}"))
                        .text(category.name),
                )
                .add(el("span").with("class", "state").with("aria-hidden", "true").text(state))
                .add(input),
        )
        .add(el("p").with("id", format!("purpose-{id}")).text(category.purpose))
}
