//! What the notice in force says of categories, services and what they store, for the policy page.

use super::{Node, el, pair, words};
use crate::notice::{PublicCategory, PublicCookie, PublicNotice, PublicService, Transfer};

/// Everything the notice declares, as a section without a look of its own: the page that holds it has one. Headings begin at level 2
/// where it is the whole of a page, else at level 3.
///
/// # Standards
/// GDPR Art. 13(1)(a), (c), (e), (f), 13(2)(a); CJEU C-673/17: how long cookies live and who may read them.
pub fn declaration(notice: &PublicNotice<'_>, whole: bool) -> Node {
    let [category_heading, heading] = if whole { ["h2", "h3"] } else { ["h3", "h4"] };
    let texts = notice.texts;
    let facts = el("dl")
        .add(super::controller(notice))
        .all((!texts.version.is_empty()).then(|| pair(&texts.version, [words(&notice.version.to_string())])));
    let categories = notice.categories.iter().map(|category| {
        let necessary = category.necessary.then(|| el("p").text(&texts.always_on));
        el("section")
            .with("data-consent-category", category.id.as_str())
            .add(el(category_heading).text(category.name))
            .all(necessary)
            .add(el("p").text(category.purpose))
            .all(details(notice, category, heading))
    });
    el("section").with("lang", notice.language.as_str()).add(facts).all(categories)
}

/// What stands behind "View details" of a category.
pub(super) fn details(notice: &PublicNotice<'_>, category: &PublicCategory<'_>, heading: &'static str) -> Vec<Node> {
    let texts = notice.texts;
    let facts = [
        (&texts.data, Some(category.data)),
        (&texts.recipients, Some(category.recipients)),
        (&texts.retention, Some(category.retention)),
        (&texts.transfers, category.transfers),
    ];
    let facts = facts.into_iter().filter_map(|(label, fact)| Some(pair(label, [words(fact?)])));
    let mut nodes = vec![el("dl").all(facts), el(heading).text(&texts.services)];
    nodes.extend(category.services.iter().map(|service| one(notice, service)));
    nodes
}

fn one(notice: &PublicNotice<'_>, service: &PublicService<'_>) -> Node {
    let texts = notice.texts;
    let ground = service.transfer.map(|ground| match ground {
        Transfer::Adequacy => &*texts.adequacy,
        Transfer::StandardClauses => &*texts.standard_clauses,
        Transfer::BindingRules => &*texts.binding_rules,
        // The lint refuses it.
        Transfer::ExplicitConsent => "",
    });
    let country = service.country.to_string();
    let mut provider = el("p")
        .with("class", "provider")
        .text(format!("{} · ", service.provider))
        // Scripts put the country's name here, in the page's language.
        .add(el("span").with("data-country", country.as_str()).text(country.as_str()));
    if let Some(ground) = ground.filter(|ground| !ground.is_empty()) {
        provider = provider.text(format!(" · {ground}"));
    }
    let row = |tag, cells: Vec<Node>| {
        el("tr").all(cells.into_iter().map(|cell| {
            let td = el(tag);
            if tag == "th" { td.with("scope", "col").add(cell) } else { td.add(cell) }
        }))
    };
    let head =
        row("th", [&texts.cookie_name, &texts.cookie_lifetime, &texts.cookie_purpose].map(|text| words(text)).into());
    let cookie = |cookie: &PublicCookie<'_>| {
        row("td", vec![el("code").with("dir", "ltr").text(cookie.name), words(cookie.lifetime), words(cookie.purpose)])
    };
    let table = el("table")
        .with("aria-label", texts.cookies.as_str())
        .add(el("thead").add(head))
        .add(el("tbody").all(service.cookies.iter().map(cookie)));
    let service_node = el("div").with("class", "service").add(el("b").text(service.name)).add(provider);
    if service.cookies.is_empty() { service_node } else { service_node.add(table) }
}
