//! The first layer.

use super::{Hidden, Node, direction, el};
use crate::notice::{Preset, PublicNotice};

/// What stands in the layer's shadow root beside its style sheet: where its parts are shown. The parts themselves are ordinary
/// children of the layer's element, so that readers, agents and automatic clients find them.
const SHADOW: &str = "<slot></slot><slot name=\"a\"></slot>";

/// The parts of the first layer, in the order in which they are read.
///
/// `form` takes the buttons' choices while there are no scripts.
///
/// # Standards
/// EDPB cookie banner taskforce: refusing is on the layer that has accepting, and looks like it. Garante no. 231 of 2021: closing
/// says that nothing is switched on. GDPR Art. 7(3): that consent can be withdrawn is said before it is given.
pub fn first_layer(notice: &PublicNotice<'_>, form: Option<&Form>) -> Vec<Node> {
    let texts = notice.texts;
    let button = |text: &str, action: &'static str, method: &str| {
        let button = el("button").with("slot", "a").with("data-consent-action", action);
        let button = if method.is_empty() { button } else { button.with("value", method) };
        let button = match form {
            Some(form) if method.is_empty() => {
                button.with("form", FORM).with("formmethod", "get").with("formaction", &*form.settings)
            }
            Some(_) => button.with("form", FORM).with("name", "method"),
            None => button,
        };
        button.text(text)
    };
    let policy = || el("a").with("href", notice.privacy_policy).text(&texts.privacy_policy);
    let mut parts = vec![
        el("h2").text(&texts.title),
        el("p").text(&texts.intro),
        super::signal(notice),
        el("p").text(&texts.withdraw_hint),
    ];
    if notice.preset == Preset::Choice {
        parts.push(policy());
        parts.push(button(&texts.accept, "accept", "accept-all"));
        parts.push(button(&texts.reject, "reject", "reject-all"));
    } else {
        parts.push(policy().with("slot", "a"));
        parts.push(button(&texts.close, "close", "close").with("aria-label", &texts.close_label));
    }
    parts.push(button(&texts.settings, "settings", ""));
    parts
}

/// The id of the layer's form in a page.
const FORM: &str = "consent-form";

/// Where the buttons of a first layer in HTML lead while there are no scripts.
#[derive(Debug, Clone)]
pub struct Form {
    /// The address that records a decision.
    pub action: String,
    /// The address that shows the settings.
    pub settings: String,
    /// What is sent along with every choice.
    pub hidden: Hidden,
}

/// The first layer as HTML, to stand in a page: its parts, and a declarative shadow root that shows them. `style` is HTML too: the
/// style sheet, as an element or a link.
pub fn banner_html(notice: &PublicNotice<'_>, style: &str, signalled: bool, form: Option<&Form>) -> String {
    let mut parts = first_layer(notice, form);
    for part in &mut parts {
        if let Node::Element(_, attributes, _) = part
            && signalled
        {
            attributes.retain(|(name, _)| *name != "hidden");
        }
    }
    parts.extend(form.map(|form| {
        el("form")
            .with("id", FORM)
            .with("method", "post")
            .with("action", &*form.action)
            .flag("hidden", true)
            .all(form.hidden.inputs())
    }));
    let section = el("section")
        .with("data-consent", "banner")
        .with("lang", notice.language.as_str())
        .with("dir", direction(notice.language))
        .with("aria-label", &*notice.texts.title)
        .all(parts)
        .html();
    // The template comes first, as the parser wants it; what is in it is no tree of ours.
    let inside = section.find('>').map_or(0, |end| end + 1);
    let (open, rest) = section.split_at(inside);
    format!("{open}<template shadowrootmode=\"open\">{style}{SHADOW}</template>{rest}")
}

/// What stands in the place of refused content: `{category}` is for the page to fill in, with the name of the category.
///
/// # Standards
/// GDPR Art. 4(11): a grant is specific and informed in a placeholder too, so it names what it switches on.
pub fn placeholder(notice: &PublicNotice<'_>) -> Node {
    let texts = notice.texts;
    let button = |text: &str, action| el("button").with("data-consent-action", action).text(text);
    el("div")
        .with("class", "placeholder")
        .add(el("p").text(&texts.placeholder_text))
        .add(super::signal(notice))
        .add(button(&texts.placeholder_once, "once"))
        .add(button(&texts.placeholder_always, "always"))
}
