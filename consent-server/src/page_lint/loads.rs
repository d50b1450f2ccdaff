//! What an element loads by itself.

use super::html::Element;

/// Whether a browser runs scripts of this type (HTML standard, "prepare the script element"). In lower case.
pub(super) fn runs(kind: Option<&str>) -> bool {
    const OLD: &[&str] = &["ecmascript", "javascript", "jscript", "livescript", "x-ecmascript", "x-javascript"];
    match kind {
        None | Some("" | "module") => true,
        Some(kind) => match kind.split_once('/') {
            Some(("text" | "application", name)) => {
                OLD.contains(&name) || name.strip_prefix("javascript1.").is_some_and(|minor| minor.len() == 1)
            }
            _ => false,
        },
    }
}

/// Everything an element loads by itself: what it is, and the reference.
pub(super) fn sources(element: &Element) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let mut take = |what: &'static str, names: &[&str]| {
        for name in names {
            let Some(value) = element.get(name) else { continue };
            if *name == "srcset" {
                out.extend(candidates(value).into_iter().map(|url| (what, url)));
            } else {
                out.push((what, value.to_owned()));
            }
        }
    };
    match element.name.as_str() {
        "script" if runs(element.kind().as_deref()) => take("script", &["src", "href", "xlink:href"]),
        "iframe" | "frame" => take("frame", &["src"]),
        "img" => take("image", &["src", "srcset"]),
        "image" | "use" | "feimage" => take("image", &["href", "xlink:href"]),
        "input" if element.kind().as_deref() == Some("image") => take("image", &["src"]),
        "source" => take("media file", &["src", "srcset"]),
        "video" => take("film", &["src", "poster"]),
        "audio" => take("sound", &["src"]),
        "track" => take("subtitles", &["src"]),
        "embed" => take("embedded object", &["src"]),
        "object" => take("embedded object", &["data"]),
        "link" => {
            let rel = element.get("rel").unwrap_or_default().to_ascii_lowercase();
            let has = |name: &str| rel.split_ascii_whitespace().any(|word| word == name);
            let kinds = [
                ("stylesheet", "style sheet"),
                ("preconnect", "preconnect"),
                ("dns-prefetch", "dns-prefetch"),
                ("preload", "preload"),
                ("modulepreload", "preload"),
                ("prefetch", "prefetch"),
                ("prerender", "prerender"),
                ("icon", "icon"),
                ("apple-touch-icon", "icon"),
                ("mask-icon", "icon"),
                ("manifest", "manifest"),
            ];
            if let Some((_, what)) = kinds.into_iter().find(|(name, _)| has(name)) {
                take(what, &["href"]);
            }
        }
        "style" => out.extend(in_style(&element.text).into_iter().map(|url| ("style sheet", url))),
        _ => {}
    }
    if let Some(style) = element.get("style") {
        out.extend(in_style(style).into_iter().map(|url| ("image", url)));
    }
    out
}

/// The addresses of a `srcset`.
fn candidates(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            return out;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (url, after) = rest.split_at(end);
        out.push(url.trim_end_matches(',').to_owned());
        // A comma at the end of the address ends the candidate, one inside is part of it.
        rest = if url.ends_with(',') { after } else { after.split_once(',').map_or("", |(_, rest)| rest) };
    }
}

/// The addresses in a style sheet: `url(…)` and `@import "…"`.
fn in_style(css: &str) -> Vec<String> {
    let mut plain = String::with_capacity(css.len());
    let mut rest = css;
    while let Some((before, comment)) = rest.split_once("/*") {
        plain.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let lower = plain.to_ascii_lowercase();
    let mut out = Vec::new();
    let mut at = 0;
    // Each goes on behind the one before: what is inside of an address starts none.
    while let Some((start, import)) = next_address(&lower[at..]) {
        at += start;
        let rest = plain[at..].trim_start();
        at = plain.len() - rest.len();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        if import && quote.is_none() {
            // @import url(…) is found by its url.
            continue;
        }
        let rest = &rest[quote.map_or(0, char::len_utf8)..];
        let Some(length) = rest.find(quote.unwrap_or(')')) else { return out };
        out.push(rest[..length].trim().to_owned());
        at = plain.len() - rest.len() + length;
    }
    out
}

/// Where the next address may start, and whether it is what an `@import` names.
fn next_address(css: &str) -> Option<(usize, bool)> {
    css.match_indices(['u', '@']).find_map(|(at, _)| {
        let names = [("url(", false), ("@import", true)];
        names.into_iter().find(|(name, _)| css[at..].starts_with(name)).map(|(name, import)| (at + name.len(), import))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_style_sheet_is_found() {
        for (css, want) in [
            ("a{background:url(/a.png),url( \"b c\" )}", vec!["/a.png", "b c"]),
            ("@IMPORT \"a.css\"; @import URL('b.css') print;@import url(c)", vec!["a.css", "b.css", "c"]),
            ("/* url(a) */ url(b) /* @import 'c'", vec!["b"]),
            ("url(data:image/svg+xml,<svg>url(x)</svg>) url(b)", vec!["data:image/svg+xml,<svg>url(x", "b"]),
            ("url(open", vec![]),
            ("é url('é.png')", vec!["é.png"]),
        ] {
            assert_eq!(in_style(css), want, "{css}");
        }
    }

    #[test]
    fn every_candidate_of_a_srcset_is_found() {
        for (srcset, want) in [
            ("/a.png", vec!["/a.png"]),
            ("/a.png 1x, /b.png 2x", vec!["/a.png", "/b.png"]),
            ("/w_1,h_2/a.png 1x,\n /b.png", vec!["/w_1,h_2/a.png", "/b.png"]),
            ("/a.png, /b.png,", vec!["/a.png", "/b.png"]),
            (" , ", vec![]),
        ] {
            assert_eq!(candidates(srcset), want, "{srcset}");
        }
    }
}
