//! A page as the list of its elements, each with its place in the text.
//!
//! The tokenizer is the one of the HTML standard; what tree construction adds to it is done here as far as it decides what loads:
//! which elements hold raw text, where SVG and MathML suspend that, what is inert in a template, what only browsers without scripts
//! see. The tree itself is not built: no rule asks for it.

use std::borrow::Cow;

use html5gum::{DefaultEmitter, State, Token, Tokenizer};

/// Who sees an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Everybody.
    Live,
    /// Nobody, until a script copies it out of its template.
    Template,
    /// Browsers in which no script runs.
    NoScript,
    /// Everybody, in a document of its own that the gate does not see.
    Frame,
}

/// One element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its name in lower case.
    pub name: String,
    /// Its attributes in the order they are written, names in lower case, references decoded.
    pub attributes: Vec<(String, String)>,
    /// The line where it starts, from 1.
    pub line: usize,
    /// The character of that line where it starts, from 1.
    pub column: usize,
    /// Its opening tag as written.
    pub tag: String,
    /// What is in a script or a style sheet.
    pub text: String,
    /// Who sees it.
    pub place: Place,
}

impl Element {
    /// An attribute's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Its `type`, as browsers compare it.
    pub(crate) fn kind(&self) -> Option<String> {
        self.get("type").map(|kind| kind.trim().to_ascii_lowercase())
    }

    /// Whether it is one of these.
    pub(crate) fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }
}

/// The most documents in documents in `srcdoc` that are read.
const MAX_NESTED: usize = 4;

/// Every element of a page, in the order of the page.
pub fn read(text: &str) -> Vec<Element> {
    let mut out = Vec::new();
    Reader::new(text).read(&mut out, 0);
    out
}

/// The namespace that new elements come into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    Svg,
    Math,
    /// HTML inside of the others.
    Html,
}

/// Counts lines and characters up to places that only go forward: a page may be one long line.
struct Cursor {
    at: usize,
    line: usize,
    column: usize,
}

impl Cursor {
    fn of(&mut self, text: &str, to: usize) -> (usize, usize) {
        for c in text.get(self.at..to).unwrap_or_default().chars() {
            if c == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.at = to;
        (self.line, self.column)
    }
}

struct Reader<'a> {
    text: Cow<'a, str>,
    foreign: Vec<Space>,
    /// For each open template, whether it is inert.
    templates: Vec<bool>,
    /// How many of them are.
    inert: usize,
    no_script: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        // The tokenizer counts a line end as one byte.
        let text = if text.contains('\r') {
            Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
        } else {
            Cow::Borrowed(text)
        };
        Self { text, foreign: Vec::new(), templates: Vec::new(), inert: 0, no_script: false }
    }

    fn read(mut self, out: &mut Vec<Element>, depth: usize) {
        let text = std::mem::take(&mut self.text);
        let mut tokens = Tokenizer::new_with_emitter(&*text, DefaultEmitter::<usize>::new_with_span());
        let mut place = Cursor { at: 0, line: 1, column: 1 };
        // The script or style sheet whose text comes next.
        let mut open: Option<usize> = None;
        while let Some(Ok(token)) = tokens.next() {
            match token {
                Token::StartTag(tag) => {
                    let name = String::from_utf8_lossy(&tag.name).into_owned();
                    self.leave_foreign(&name, &tag.attributes);
                    let html = matches!(self.foreign.last(), None | Some(Space::Html));
                    let mut attributes: Vec<_> = tag.attributes.iter().collect();
                    attributes.sort_by_key(|(_, value)| value.span.start);
                    let attributes = attributes.into_iter().map(|(name, value)| {
                        (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned())
                    });
                    let (line, column) = place.of(&text, tag.span.start);
                    let element = Element {
                        // Browsers take this old name for the usual one.
                        name: if html && name == "image" { "img".to_owned() } else { name.clone() },
                        attributes: attributes.collect(),
                        line,
                        column,
                        tag: text.get(tag.span.start..tag.span.end).unwrap_or_default().to_owned(),
                        text: String::new(),
                        place: match () {
                            () if self.inert > 0 => Place::Template,
                            () if self.no_script => Place::NoScript,
                            () => Place::Live,
                        },
                    };
                    self.enter(&element, tag.self_closing, html);
                    if let Some(state) = raw_text(&name).filter(|_| html) {
                        tokens.set_state(state);
                    }
                    open = element.is(&["script", "style"]).then_some(out.len());
                    let inner = nested(&element)
                        .filter(|_| depth < MAX_NESTED)
                        .map(|inner| (inner.to_owned(), element.clone()));
                    out.push(element);
                    if let Some((inner, frame)) = inner {
                        let from = out.len();
                        Reader::new(&inner).read(out, depth + 1);
                        for element in &mut out[from..] {
                            (element.line, element.column) = (frame.line, frame.column);
                            if frame.place != Place::Live {
                                element.place = frame.place;
                            } else if element.place == Place::Live {
                                element.place = Place::Frame;
                            }
                        }
                    }
                }
                Token::EndTag(tag) => {
                    open = None;
                    self.leave(&String::from_utf8_lossy(&tag.name));
                }
                Token::String(words) => {
                    if let Some(element) = open.and_then(|open| out.get_mut(open)) {
                        element.text.push_str(&String::from_utf8_lossy(&words));
                    }
                }
                Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
            }
        }
    }

    fn enter(&mut self, element: &Element, closed: bool, html: bool) {
        match element.name.as_str() {
            "svg" if !closed => self.foreign.push(Space::Svg),
            "math" if !closed => self.foreign.push(Space::Math),
            "foreignobject" | "desc" | "title" if !closed && self.foreign.last() == Some(&Space::Svg) => {
                self.foreign.push(Space::Html);
            }
            // A declarative shadow root is as live as the page.
            "template" if html => {
                let inert = element.get("shadowrootmode").is_none();
                self.templates.push(inert);
                self.inert += usize::from(inert);
            }
            "noscript" if html => self.no_script = true,
            _ => {}
        }
    }

    fn leave(&mut self, name: &str) {
        let space = match name {
            "svg" => Space::Svg,
            "math" => Space::Math,
            "foreignobject" | "desc" | "title" => Space::Html,
            "template" => {
                self.inert -= usize::from(self.templates.pop() == Some(true));
                return;
            }
            "noscript" => return self.no_script = false,
            _ => return,
        };
        if let Some(at) = self.foreign.iter().rposition(|&open| open == space) {
            self.foreign.truncate(at);
        }
    }

    /// An HTML element in the middle of an SVG that nobody has closed ends it.
    fn leave_foreign<V>(&mut self, name: &str, attributes: &std::collections::BTreeMap<html5gum::HtmlString, V>) {
        let font =
            name == "font" && ["color", "face", "size"].iter().any(|name| attributes.contains_key(name.as_bytes()));
        while matches!(self.foreign.last(), Some(Space::Svg | Space::Math)) && (font || BREAKOUT.contains(&name)) {
            self.foreign.pop();
        }
    }
}

/// The document that a frame carries with it.
fn nested(element: &Element) -> Option<&str> {
    element.get("srcdoc").filter(|_| element.name == "iframe" && element.get("data-category").is_none())
}

/// How the text in an element is read (HTML standard, 13.2.6.4). `noscript` is read as a browser without scripts reads it.
fn raw_text(name: &str) -> Option<State> {
    Some(match name {
        "script" => State::ScriptData,
        "style" | "iframe" | "xmp" | "noembed" | "noframes" => State::RawText,
        "textarea" | "title" => State::RcData,
        "plaintext" => State::PlainText,
        _ => return None,
    })
}

/// HTML standard, 13.2.6.5, "The rules for parsing tokens in foreign content".
#[rustfmt::skip]
const BREAKOUT: &[&str] = &[
    "b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em", "embed", "h1", "h2", "h3", "h4", "h5",
    "h6", "head", "hr", "i", "img", "li", "listing", "menu", "meta", "nobr", "ol", "p", "pre", "ruby", "s", "small", "span",
    "strong", "strike", "sub", "sup", "table", "tt", "u", "ul", "var",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        read(text).into_iter().map(|element| element.name).collect()
    }

    #[test]
    fn elements_have_their_place_and_their_tag() {
        for (ends, page) in [
            ("LF", "<p>ä&amp;ö\n  <img\n alt=''\n SRC=\"/a?x=1&amp;y=2\"><br>"),
            ("CRLF", "<p>ä&amp;ö\r\n  <img\r\n alt=''\r\n SRC=\"/a?x=1&amp;y=2\"><br>"),
        ] {
            let page = read(page);
            let [paragraph, image, line] = &page[..] else { panic!("{ends}: {page:?}") };
            assert_eq!((paragraph.line, paragraph.column), (1, 1), "{ends}");
            assert_eq!((image.line, image.column), (2, 3), "{ends}");
            assert_eq!(image.tag, "<img\n alt=''\n SRC=\"/a?x=1&amp;y=2\">", "{ends}");
            assert_eq!(
                image.attributes,
                [("alt".into(), String::new()), ("src".into(), "/a?x=1&y=2".into())],
                "{ends}"
            );
            assert_eq!((line.line, &*line.tag), (4, "<br>"), "{ends}");
        }
    }

    #[test]
    fn what_is_text_is_no_element() {
        for (page, want) in [
            ("<!-- <img> --><p>", vec!["p"]),
            ("<script>'<img>'</script><p>", vec!["script", "p"]),
            ("<script><!-- <script></script> --></script><p>", vec!["script", "p"]),
            ("<style>a::before{content:'<img>'}</style><p>", vec!["style", "p"]),
            ("<textarea><img></textarea><p>", vec!["textarea", "p"]),
            ("<title><img></title><p>", vec!["title", "p"]),
            ("<iframe><img></iframe><p>", vec!["iframe", "p"]),
            ("<a title='<img>'>x</a><p>", vec!["a", "p"]),
            ("<plaintext><img>", vec!["plaintext"]),
            ("<svg><style/><title/><script/></svg><p>", vec!["svg", "style", "title", "script", "p"]),
            ("<svg><g><div><style><img></style>", vec!["svg", "g", "div", "style"]),
            (
                "<svg><foreignObject><style><img></style></foreignObject><style><a></style>",
                vec!["svg", "foreignobject", "style", "style", "a"],
            ),
            ("<image>", vec!["img"]),
            ("<svg><image>", vec!["svg", "image"]),
            ("<p", vec![]),
        ] {
            assert_eq!(names(page), want, "{page}");
        }
    }

    #[test]
    fn scripts_and_sheets_keep_their_text() {
        let page = read("<script>a && b</script>c<style>d</style><script src=x></script>e<svg><style>f</style>");
        let texts: Vec<_> = page.iter().map(|element| element.text.as_str()).collect();
        assert_eq!(texts, ["a && b", "d", "", "", "f"]);
    }

    #[test]
    fn templates_are_inert_and_noscript_is_for_some() {
        let page = read(
            "<template><p><template></template><b></b></template><i></i><template shadowrootmode=open><u></u></template><noscript><img></noscript><br>",
        );
        let places: Vec<_> = page.iter().map(|element| (element.name.as_str(), element.place)).collect();
        assert_eq!(
            places,
            [
                ("template", Place::Live),
                ("p", Place::Template),
                ("template", Place::Template),
                ("b", Place::Template),
                ("i", Place::Live),
                ("template", Place::Live),
                ("u", Place::Live),
                ("noscript", Place::Live),
                ("img", Place::NoScript),
                ("br", Place::Live),
            ]
        );
    }

    #[test]
    fn a_frame_carries_its_document() {
        let page = read("<p>\n<iframe srcdoc=\"<script src='https://a.example/b.js'></script>\"></iframe><br>");
        assert_eq!(page[2].get("src"), Some("https://a.example/b.js"));
        assert_eq!((page[2].line, page[2].place), (2, Place::Frame));
        assert_eq!(names("<iframe data-category=a srcdoc='<img>'></iframe>"), ["iframe"]);
        let mut deep = String::from("<img>");
        for _ in 0..10 {
            deep = format!("<iframe srcdoc=\"{}\">", deep.replace('&', "&amp;").replace('"', "&quot;"));
        }
        assert!(read(&deep).len() <= MAX_NESTED + 1);
    }
}
