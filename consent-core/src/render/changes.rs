//! What a newer notice has changed since a person chose.

use super::{Node, el, words};
use crate::id::CategoryId;
use crate::notice::{Change, ChangeKind, Notice, PublicCategory, PublicNotice};

/// What has changed between the version that a person chose under and the one in force, for the categories that they are asked about
/// again: what was said before, and what is said now. `None` if there is nothing to tell.
///
/// # Standards
/// EDPB Guidelines 05/2020, section 5.1: consent holds for what was told, so what is told anew is shown.
pub fn changes(chosen: &Notice, notice: &Notice, shown: &PublicNotice<'_>) -> Option<Node> {
    let all = notice.changes_since(chosen);
    let here = |change: &&Change| change.language.as_ref().is_none_or(|language| language == shown.language);
    let about = |category: Option<&CategoryId>| -> Vec<Node> {
        all.iter()
            .filter(here)
            .filter(|change| change.category.as_ref() == category)
            .filter_map(|change| item(change, shown))
            .collect()
    };
    let open = shown.categories.iter().filter(|category| !category.necessary && category.since > chosen.version());
    let mut parts = Vec::new();
    for category in open {
        let added = all
            .iter()
            .any(|change| change.what == ChangeKind::CategoryAdded && change.category.as_ref() == Some(category.id));
        let items = if added { vec![el("li").text(category.purpose)] } else { about(Some(category.id)) };
        if !items.is_empty() {
            parts.push(el("p").add(el("b").text(category.name)));
            parts.push(el("ul").all(items));
        }
    }
    if parts.is_empty() {
        return None;
    }
    // What concerns the whole notice is told with it, not by itself: it alone asks nobody again.
    let whole = about(None);
    if !whole.is_empty() {
        parts.push(el("ul").all(whole));
    }
    let heading = el("h3").text(&shown.texts.changed);
    Some(el("div").with("class", "changes").add(heading).all(parts))
}

/// One change in words; `None` for what a person need not read, such as another order.
fn item(change: &Change, shown: &PublicNotice<'_>) -> Option<Node> {
    let texts = shown.texts;
    let label = match change.what {
        ChangeKind::Controller => &texts.controller,
        ChangeKind::Purpose => &texts.purpose,
        ChangeKind::Data => &texts.data,
        ChangeKind::Recipients => &texts.recipients,
        ChangeKind::Retention | ChangeKind::Renewal => &texts.retention,
        ChangeKind::Transfers => &texts.transfers,
        ChangeKind::ServiceAdded | ChangeKind::ServiceRemoved => &texts.services,
        ChangeKind::CookieAdded | ChangeKind::CookieRemoved => &texts.cookies,
        _ => return None,
    };
    let category = shown.categories.iter().find(|category| Some(category.id) == change.category.as_ref());
    let name = |end: &str| named(category, &change.path, end);
    // Of a new service or cookie the notice's words say more than what the comparison holds.
    let (before, after) = match change.what {
        ChangeKind::ServiceAdded | ChangeKind::CookieAdded => (String::new(), name(&change.after)),
        ChangeKind::ServiceRemoved | ChangeKind::CookieRemoved => (name(&change.before), String::new()),
        _ => (change.before.clone(), change.after.clone()),
    };
    let said = |tag, when: &str, text: &str| {
        let parts = || [words(" "), el(tag).add(el("small").text(format!("{when}: "))).text(text)];
        (!text.is_empty()).then(parts).into_iter().flatten()
    };
    let item = el("li").text(format!("{label}:"));
    // What is new says so in words too: colours and strokes are not read aloud.
    Some(item.all(said("del", &texts.before, &before)).all(said("ins", &texts.now, &after)))
}

/// The name of the service or cookie that a change's path ends in.
fn named(category: Option<&PublicCategory<'_>>, path: &str, otherwise: &str) -> String {
    let services = category.map(|category| &category.services[..]).unwrap_or_default();
    if let Some((_, cookie)) = path.split_once(".cookies.") {
        // `cookies.STORAGE.NAME`
        return cookie.split_once('.').map_or(cookie, |(_, name)| name).to_owned();
    }
    let id = path.rsplit('.').next().unwrap_or_default();
    let service = services.iter().find(|service| service.id.as_str() == id);
    service.map_or_else(|| format!("{id} ({otherwise})"), |service| format!("{} ({})", service.name, service.provider))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Language, Name};
    use crate::notice::tests::demo;

    #[test]
    fn what_came_and_what_went_are_told_in_words() {
        let material = [Name::parse("statistics").unwrap()];
        let whole = demo("choice");
        let mut less = demo("choice");
        less.categories[1].services.pop();
        let one = less.clone().publish(None, &[], false).unwrap();
        let two = whole.publish(Some(&one), &material, false).unwrap();
        let three = less.publish(Some(&two), &material, false).unwrap();
        for (chosen, notice, want) in [
            (&one, &two, "<ins><small>Now: </small>Visitor numbers (embedded) (Example Gardens Ltd)</ins>"),
            (&two, &three, "<del><small>Before: </small>visitor-numbers (Example Gardens Ltd)</del>"),
        ] {
            let told = changes(chosen, notice, &notice.for_language(&Language::parse("en").unwrap())).unwrap().html();
            assert!(told.ends_with(&format!("<ul><li>Services: {want}</li></ul></div>")), "{told}");
        }
    }
}
