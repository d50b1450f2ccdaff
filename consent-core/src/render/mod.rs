//! What people see, as trees of elements: drawn once here, shown anywhere.
//!
//! The first layer, the settings, the declaration for the policy page and "what has changed" are made from a notice by the functions
//! of this module and by nothing else. The browser makes elements of a tree's [JSON](Node::json); a page that carries the banner in
//! its HTML, a browser without scripts and an officer who looks up what somebody was shown get the same tree as
//! [HTML](Node::html).

mod changes;
mod declaration;
mod first;
mod settings;

use std::fmt::Write;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::id::Language;
use crate::notice::PublicNotice;
use crate::texts::right_to_left;

pub use changes::changes;
pub use declaration::declaration;
pub use first::{Form, banner_html, first_layer, placeholder};
pub use settings::{Standing, settings, settings_page};

/// An element, or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A text.
    Text(String),
    /// An element: its name, its attributes, what is in it. Boolean attributes have an empty value.
    Element(&'static str, Vec<(&'static str, String)>, Vec<Node>),
}

/// An element without attributes.
pub(crate) fn el(tag: &'static str) -> Node {
    Node::Element(tag, Vec::new(), Vec::new())
}

impl Node {
    /// Adds an attribute. A text has none.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Element(_, attributes, _) = &mut self {
            attributes.push((name, value.into()));
        }
        self
    }

    /// Adds a boolean attribute if it holds.
    #[must_use]
    pub(crate) fn flag(self, name: &'static str, holds: bool) -> Self {
        if holds { self.with(name, "") } else { self }
    }

    /// Adds a text.
    #[must_use]
    pub(crate) fn text(self, text: impl Into<String>) -> Self {
        self.add(Self::Text(text.into()))
    }

    /// Adds a node.
    #[must_use]
    pub(crate) fn add(self, node: Node) -> Self {
        self.all([node])
    }

    /// Adds nodes.
    #[must_use]
    pub(crate) fn all(mut self, nodes: impl IntoIterator<Item = Node>) -> Self {
        if let Self::Element(_, _, children) = &mut self {
            children.extend(nodes);
        }
        self
    }

    /// The tree as JSON: an element is `[name, {attributes}, …children]`, a text is a string.
    ///
    /// # Panics
    /// Never: the parts are texts.
    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a tree is texts in lists and in maps keyed by text")
    }

    /// The tree as HTML, with every character that HTML gives a meaning escaped.
    ///
    /// # Standards
    /// WHATWG HTML, 13.3 (serialising) and 13.1.2 (void elements).
    pub fn html(&self) -> String {
        let mut html = String::new();
        self.write(&mut html);
        html
    }

    fn write(&self, html: &mut String) {
        match self {
            Self::Text(text) => escape(html, text),
            Self::Element(tag, attributes, children) => {
                write!(html, "<{tag}").expect("writing to a string");
                for (name, value) in attributes {
                    write!(html, " {name}").expect("writing to a string");
                    if !value.is_empty() {
                        html.push_str("=\"");
                        escape(html, value);
                        html.push('"');
                    }
                }
                html.push('>');
                if matches!(*tag, "input" | "link" | "meta" | "br" | "hr") {
                    return;
                }
                for child in children {
                    child.write(html);
                }
                write!(html, "</{tag}>").expect("writing to a string");
            }
        }
    }
}

fn escape(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            _ => html.push(c),
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Attributes<'a>(&'a [(&'static str, String)]);
        impl Serialize for Attributes<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
            }
        }
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Element(tag, attributes, children) => {
                let mut list = serializer.serialize_seq(Some(2 + children.len()))?;
                list.serialize_element(tag)?;
                list.serialize_element(&Attributes(attributes))?;
                for child in children {
                    list.serialize_element(child)?;
                }
                list.end()
            }
        }
    }
}

/// The direction in which a language is written, as HTML says it.
pub fn direction(language: &Language) -> &'static str {
    if right_to_left(language) { "rtl" } else { "ltr" }
}

/// A page of HTML. `sheets` are the addresses of its style sheets; `body` is HTML already.
pub fn page(language: &Language, title: &str, sheets: &[&str], body: &str) -> String {
    let size = el("meta").with("name", "viewport").with("content", "width=device-width, initial-scale=1");
    let head = el("head")
        .add(el("meta").with("charset", "utf-8"))
        .add(size)
        .add(el("title").text(title))
        .all(sheets.iter().map(|sheet| el("link").with("rel", "stylesheet").with("href", *sheet)))
        .html();
    let direction = direction(language);
    format!("<!doctype html>\n<html lang=\"{language}\" dir=\"{direction}\">{head}<body>{body}</body></html>\n")
}

/// A page of HTML for what is styled as a dialog elsewhere: `main` in a shadow root, with `style`, as HTML too.
pub fn in_shadow(style: &str, main: &Node) -> String {
    format!("<section data-consent-page><template shadowrootmode=\"open\">{style}{}</template></section>", main.html())
}

/// A term and what is said under it.
fn pair(term: &str, descriptions: impl IntoIterator<Item = Node>) -> Node {
    el("div").add(el("dt").text(term)).add(el("dd").all(descriptions))
}

/// Who is responsible: a line for each thing that is known, at the page's edge, its text in its own direction.
fn controller(notice: &PublicNotice<'_>) -> Node {
    let controller = notice.controller;
    let lines = [Some(&controller.name), Some(&controller.address), Some(&controller.contact), controller.dpo.as_ref()];
    let lines = lines.into_iter().flatten().filter(|line| !line.is_empty());
    pair(&notice.texts.controller, lines.map(|line| el("div").add(el("bdi").text(line))))
}

/// Says that the browser's signal was heard; shown where it sends one.
fn signal(notice: &PublicNotice<'_>) -> Node {
    el("p").with("class", "signal").flag("hidden", true).text(&notice.texts.signal_said)
}

fn words(text: &str) -> Node {
    Node::Text(text.to_owned())
}

/// What a form sends along with every choice, by name; nobody sees it.
#[derive(Debug, Clone, Default)]
pub struct Hidden(pub Vec<(&'static str, String)>);

impl Hidden {
    fn inputs(&self) -> impl Iterator<Item = Node> {
        let input =
            |name: &str, value: &str| el("input").with("type", "hidden").with("name", name).with("value", value);
        self.0.iter().map(move |(name, value)| input(name, value))
    }
}

/// A button that does something when scripts run.
fn button(text: &str, action: &str) -> Node {
    el("button").with("type", "button").with("data-consent-action", action).text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_a_text_and_a_page_has_the_direction_of_its_language() {
        let language = Language::parse("ar").unwrap();
        assert_eq!(
            page(&language, "</title>&", &["/a.css"], "<p>b</p>"),
            "<!doctype html>\n<html lang=\"ar\" dir=\"rtl\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\"><title>&lt;/title&gt;&amp;</title><link rel=\"stylesheet\" \
             href=\"/a.css\"></head><body><p>b</p></body></html>\n"
        );
    }

    #[test]
    fn html_says_what_the_tree_says_and_nothing_else() {
        let node = el("p").with("title", "a \"b\" & c").flag("hidden", true).text("1 < 2 </p>").add(el("br"));
        assert_eq!(node.html(), "<p title=\"a &quot;b&quot; &amp; c\" hidden>1 &lt; 2 &lt;/p&gt;<br></p>");
        let json = r#"["p",{"title":"a \"b\" & c","hidden":""},"1 < 2 </p>",["br",{}]]"#;
        assert_eq!(serde_json::to_string(&node).unwrap(), json);
    }
}
