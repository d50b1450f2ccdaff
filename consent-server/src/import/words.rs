//! Small readings of what people write into a configuration: markup, lifetimes, patterns, links.

/// The text of markup, in one line.
pub(super) fn plain(markup: &str) -> String {
    let mut text = String::new();
    let mut rest = markup;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        // A sign that opens no tag is a sign.
        let tag = rest[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!'));
        if let Some(end) = rest[at..].find('>').filter(|_| tag) {
            if rest[at..].starts_with("<br") {
                text.push(' ');
            }
            rest = &rest[at + end + 1..];
        } else {
            text.push('<');
            rest = &rest[at + 1..];
        }
    }
    text.push_str(rest);
    for (name, character) in
        [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
    {
        text = text.replace(name, character);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const POLICY: &[&str] = &[
    "privacy",
    "datenschutz",
    "confidential",
    "privacidad",
    "privacidade",
    "privacyverklaring",
    "integritet",
    "personvern",
];

/// The address of the privacy policy that markup links to, if it is one that a notice can have.
pub(super) fn policy_link(markup: &str) -> Option<String> {
    let mut rest = markup;
    while let Some(at) = rest.find("<a ") {
        rest = &rest[at..];
        let end = rest.find("</a>").unwrap_or(rest.len());
        let link = &rest[..end];
        rest = &rest[end..];
        let Some(value) = link.split_once("href=").map(|(_, value)| value) else { continue };
        let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
        let Some((address, _)) = value[1..].split_once(quote) else { continue };
        if is_policy(&plain(link)) || is_policy(address) {
            return usable(address);
        }
    }
    None
}

fn is_policy(text: &str) -> bool {
    let text = text.to_lowercase();
    POLICY.iter().any(|word| text.contains(word))
}

/// An address as a notice takes it: `https`, or a path on the site.
pub(super) fn usable(address: &str) -> Option<String> {
    let path = address.starts_with('/') && !address.starts_with("//");
    (address.starts_with("https://") || path).then(|| address.to_owned())
}

/// A lifetime as people write it, as a notice writes it: in days, rounded up.
pub(super) fn lifetime(text: &str) -> Option<String> {
    let text = plain(text).to_lowercase();
    if text.contains("session") || text.contains("sitzung") {
        return Some("session".to_owned());
    }
    let at = text.find(|c: char| c.is_ascii_digit())?;
    let digits = text[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - at);
    let (count, unit) = text[at..].split_at(digits);
    let count: u32 = count.parse().ok()?;
    let unit = unit.trim_start();
    let days = match unit {
        _ if ["year", "jahr", "yr", "an ", "ans", "año"].iter().any(|word| unit.starts_with(word)) => 365,
        _ if ["month", "monat", "mois", "mes"].iter().any(|word| unit.starts_with(word)) => 30,
        _ if ["week", "woche", "sem"].iter().any(|word| unit.starts_with(word)) => 7,
        _ if ["day", "tag", "jour", "día", "dia"].iter().any(|word| unit.starts_with(word)) => 1,
        _ if ["hour", "stunde", "min", "sec", "sek"].iter().any(|word| unit.starts_with(word)) => 0,
        _ => return None,
    };
    // A month is up to 31 days; what is told must not be shorter than what is.
    let months = if days == 30 { count.div_ceil(2) } else { 0 };
    let days = count.checked_mul(days)?.checked_add(months)?.max(1);
    u16::try_from(days).ok().map(|days| if days == 1 { "1 day".to_owned() } else { format!("{days} days") })
}

/// The names of cookies that a regular expression stands for, with `*` at the end for "and whatever follows". `None` if names like
/// these cannot say it.
pub(super) fn patterns(source: &str) -> Option<Vec<String>> {
    let anchored = source.strip_prefix('^')?;
    let (body, exact) = match anchored.strip_suffix('$').filter(|body| !body.ends_with('\\')) {
        Some(body) => (body, true),
        None => (anchored, false),
    };
    let (alternatives, rest) = match body.strip_prefix('(') {
        Some(group) => {
            let (inner, rest) = group.strip_prefix("?:").unwrap_or(group).split_once(')')?;
            (inner.split('|').collect::<Vec<_>>(), rest)
        }
        None => (vec![body], ""),
    };
    if rest.contains('|') || body.contains('|') && alternatives.len() == 1 {
        return None;
    }
    alternatives.into_iter().map(|start| name(&format!("{start}{rest}"), exact)).collect()
}

fn name(source: &str, exact: bool) -> Option<String> {
    let mut name = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let open = [".*", ".+", "\\w*", "\\w+", "\\d*", "\\d+", "[\\w]+", "[a-z0-9]+", "[A-Za-z0-9]+", "[0-9]+"];
        if open.contains(&rest) {
            // Never every cookie there is: a withdrawal deletes what the names fit.
            return (!name.is_empty()).then(|| format!("{name}*"));
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let escaped = rest.chars().next().filter(char::is_ascii_punctuation)?;
                name.push(escaped);
                rest = &rest[1..];
            }
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => name.push(c),
            _ => return None,
        }
    }
    if name.is_empty() {
        return None;
    }
    if !exact {
        name.push('*');
    }
    Some(name)
}

/// Names of categories that a browser's signals stand against.
pub(super) fn is_advertising(name: &str) -> bool {
    let name = name.to_lowercase();
    let words = ["marketing", "advertis", "targeting", "tracking", "profiling", "werbung", "publicit"];
    words.iter().any(|word| name.contains(word)) || name == "ads"
}

/// Decodes `%xx`; `None` if what comes out is no text.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match after {
            [high, low, after @ ..] if *first == b'%' && digit(*high).is_some() && digit(*low).is_some() => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        for (markup, want) in [
            ("a <b>b</b>c<br/>d &amp;lt; 1 < 2", "a bc d &lt; 1 < 2"),
            ("\n  <a href=\"#\">x</a>\n y ", "x y"),
            ("<svg></svg>", ""),
            ("<", "<"),
        ] {
            assert_eq!(plain(markup), want);
        }
        let link = |markup: &str| policy_link(markup);
        assert_eq!(
            link(r#"<a href="/imprint">Imprint</a> <a class=x href='/p'>Privacy policy</a>"#).as_deref(),
            Some("/p")
        );
        assert_eq!(link(r##"<a href="#privacy-policy">here</a>"##), None);
        assert_eq!(
            link(r#"<a href="https://x.example/datenschutz">mehr</a>"#).as_deref(),
            Some("https://x.example/datenschutz")
        );
    }

    #[test]
    fn lifetimes_are_days_and_never_too_few() {
        for (text, want) in [
            ("2 years", Some("730 days")),
            ("1 day", Some("1 day")),
            ("13 Monate", Some("397 days")),
            ("30 minutes", Some("1 day")),
            ("Session", Some("session")),
            ("6 weeks", Some("42 days")),
            ("forever", None),
            ("999999999999 days", None),
            ("200 years", None),
        ] {
            assert_eq!(lifetime(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn expressions_are_names_where_they_can_be() {
        for (source, want) in [
            ("^_ga", Some(&["_ga*"][..])),
            ("^_pk_.*$", Some(&["_pk_*"])),
            ("^(_ga|_gid)", Some(&["_ga*", "_gid*"])),
            ("^(?:a|b)-x$", Some(&["a-x", "b-x"])),
            ("^_gid$", Some(&["_gid"])),
            ("^x\\.y$", Some(&["x.y"])),
            ("_ga", None),
            ("^_ga|_gid", None),
            ("^.*$", None),
            ("^a[bc]d$", None),
        ] {
            let want = want.map(|names| names.iter().map(|&name| name.to_owned()).collect());
            assert_eq!(patterns(source), want, "{source}");
        }
    }
}
