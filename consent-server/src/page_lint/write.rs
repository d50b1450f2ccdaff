//! What to write instead: an element's tag again, with its attributes changed.

use super::html::Element;

/// Where no id fits, people have to choose one.
pub(super) const BLANK: &str = "…";

/// Attributes whose being there is their value.
const BOOLEAN: &[&str] = &[
    "allowfullscreen",
    "async",
    "autoplay",
    "controls",
    "crossorigin",
    "defer",
    "disabled",
    "hidden",
    "loop",
    "muted",
    "nomodule",
    "playsinline",
];

/// An element's opening tag with its attributes changed; what holds no content is closed at once.
pub(super) fn tag_with(element: &Element, mut change: impl FnMut((&str, &str)) -> Vec<(String, String)>) -> String {
    let attributes = element.attributes.iter().flat_map(|(name, value)| change((name, value)));
    print(element, &attributes.collect::<Vec<_>>())
}

fn print(element: &Element, attributes: &[(String, String)]) -> String {
    let mut out = format!("<{}", element.name);
    for (name, value) in attributes {
        out.push(' ');
        out.push_str(name);
        if !(value.is_empty() && BOOLEAN.contains(&name.as_str())) {
            out.push_str("=\"");
            out.push_str(&value.replace('&', "&amp;").replace('"', "&quot;"));
            out.push('"');
        }
    }
    out.push('>');
    let inline = element.name == "script" && !element.text.trim().is_empty();
    if element.is(&["script", "iframe"]) && !inline {
        out.extend(["</", &element.name, ">"]);
    }
    out
}

/// A script as the gate takes it.
pub(super) fn gated_script(element: &Element, category: &str) -> String {
    let module = element.get("type").is_some_and(|kind| kind.trim().eq_ignore_ascii_case("module"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut attributes = vec![pair("type", "text/plain"), pair("data-category", category)];
    if module {
        attributes.push(pair("data-type", "module"));
    }
    attributes.extend(element.attributes.iter().filter(|(name, _)| name != "type" && name != "data-category").cloned());
    print(element, &attributes)
}

/// A frame, picture or film as the gate takes it.
pub(super) fn waiting(element: &Element, category: &str) -> String {
    let mut attributes = vec![("data-category".to_owned(), category.to_owned())];
    let there = element.get("data-src").is_some();
    for (name, value) in &element.attributes {
        match name.as_str() {
            "data-category" | "srcset" => {}
            "src" if there => {}
            "src" => attributes.push(("data-src".to_owned(), value.clone())),
            _ => attributes.push((name.clone(), value.clone())),
        }
    }
    print(element, &attributes)
}

/// A marked frame for what can only be kept back inside of one.
pub(super) fn frame_of(category: &str) -> String {
    format!("<iframe data-category=\"{category}\" data-src=\"{BLANK}\" title=\"{BLANK}\"></iframe>")
}

/// The same from the site's own host, as the file of this name.
pub(super) fn own_copy(element: &Element, file: &str) -> String {
    let sheet = element.get("rel").is_some_and(|rel| rel.to_ascii_lowercase().contains("stylesheet"));
    let named_css = std::path::Path::new(file).extension().is_some_and(|ending| ending == "css");
    let (name, file) = match element.name.as_str() {
        "script" | "img" => ("src", file),
        "link" if sheet => ("href", if named_css { file } else { "fonts.css" }),
        _ => return "keep a copy on your own host, and name that".to_owned(),
    };
    let copy = tag_with(element, |(attribute, value)| match attribute {
        "crossorigin" | "srcset" => vec![],
        _ if attribute == name => vec![(name.to_owned(), format!("/{file}"))],
        _ => vec![(attribute.to_owned(), value.to_owned())],
    });
    format!("{copy} (a copy on your own host)")
}

/// An opening tag as it is quoted: in one line, and not longer than anybody reads.
pub(super) fn one_line(element: &Element) -> String {
    const MOST: usize = 300;
    let words: Vec<&str> = element.tag.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}{BLANK}", &line[..end]),
        None => line,
    }
}
