//! Web addresses as browsers read them, as far as it matters whose machine is asked.

/// An absolute `http` or `https` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `http` or `https`.
    pub scheme: String,
    /// The host in lower case, without its port.
    pub host: String,
    /// The port, with its colon, or nothing.
    port: String,
    /// The path, from its first slash.
    pub path: String,
    /// Query and fragment as written.
    rest: String,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}{}{}", self.scheme, self.host, self.port, self.path, self.rest)
    }
}

impl Address {
    /// Reads an absolute address; anything else is none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::resolve(None, text)
    }

    /// What `reference` means on a page at `base`.
    ///
    /// Nothing where no host is asked (`data:`, `blob:`, `about:`, a fragment), and for a relative reference without a base: it
    /// stays where the page is, wherever that is.
    pub fn resolve(base: Option<&Self>, reference: &str) -> Option<Self> {
        // As browsers do: surrounding blanks go, line ends and tabs anywhere, and a backslash is a slash (WHATWG URL, 4.4).
        let text: String =
            reference.trim_matches(|c: char| c <= ' ').chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme.to_ascii_lowercase()), rest),
            _ => (None, &*text),
        };
        let slashes = rest.len() - rest.trim_start_matches(['/', '\\']).len();
        match scheme.as_deref() {
            Some(scheme @ ("http" | "https")) => Self::at(scheme, &rest[slashes..]),
            Some(_) => None,
            // Without a base the page is a file; it will be served over https.
            None if slashes >= 2 => Self::at(base.map_or("https", |base| &base.scheme), &rest[slashes..]),
            None => Some(base?.with_path(rest)),
        }
    }

    fn at(scheme: &str, rest: &str) -> Option<Self> {
        let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let place = authority.rsplit('@').next().unwrap_or_default();
        let colon = place.rfind(':').filter(|&at| !place[at..].contains(']')).unwrap_or(place.len());
        let (host, port) = place.split_at(colon);
        let host = host.trim_end_matches('.').to_lowercase();
        if host.is_empty() || host.contains(char::is_whitespace) {
            return None;
        }
        let empty =
            Self { scheme: scheme.to_owned(), host, port: port.to_owned(), path: "/".to_owned(), rest: String::new() };
        Some(if rest.is_empty() { empty } else { empty.with_path(rest) })
    }

    fn with_path(&self, reference: &str) -> Self {
        let end = reference.find(['?', '#']).unwrap_or(reference.len());
        let (path, rest) = reference.split_at(end);
        let path = path.replace('\\', "/");
        let whole = match path.as_str() {
            "" => self.path.clone(),
            absolute if absolute.starts_with('/') => path,
            relative => format!("{}/{relative}", self.path.rsplit_once('/').unwrap_or_default().0),
        };
        let mut parts: Vec<&str> = Vec::new();
        let mut folder = false;
        for part in whole.split('/').skip(1) {
            folder = matches!(part, "" | "." | "..");
            match part {
                "." | "" => {}
                ".." => drop(parts.pop()),
                name => parts.push(name),
            }
        }
        let slash = if folder && !parts.is_empty() { "/" } else { "" };
        let path = format!("/{}{slash}", parts.join("/"));
        Self { path, rest: rest.to_owned(), ..self.clone() }
    }

    /// The address of another path on the same host.
    pub(crate) fn sibling(&self, path: &str) -> Self {
        Self { path: path.to_owned(), rest: String::new(), ..self.clone() }
    }

    /// The registrable domain of the host.
    pub fn site(&self) -> &str {
        registrable(&self.host)
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Second labels under which countries register names (`co.uk`, `gv.at`).
const SECOND: &[&str] = &[
    "ac", "asso", "co", "com", "edu", "gc", "go", "gob", "gouv", "gov", "govt", "gv", "ltd", "me", "mil", "ne", "net",
    "nhs", "nom", "or", "org", "plc", "police", "sch",
];

/// Hosting under whose names strangers live side by side.
const HOSTING: &[&str] = &[
    "amazonaws.com",
    "appspot.com",
    "azureedge.net",
    "azurewebsites.net",
    "b-cdn.net",
    "blogspot.com",
    "cloudfront.net",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "herokuapp.com",
    "netlify.app",
    "onrender.com",
    "pages.dev",
    "r2.dev",
    "run.app",
    "vercel.app",
    "web.app",
    "windows.net",
    "workers.dev",
];

/// The part of a host that somebody has registered; the whole of an IP address or of a single name.
///
/// An approximation of the Public Suffix List by the two tables above. The list itself (the crate `psl`) adds 0.8 MB to the binary;
/// where the two differ, a neighbour under a rare suffix reads as one's own.
pub(crate) fn registrable(host: &str) -> &str {
    if host.starts_with('[') || host.split('.').all(|label| label.bytes().all(|b| b.is_ascii_digit())) {
        return host;
    }
    let last = |count: usize| host.rsplitn(count + 1, '.').nth(count).map_or(host, |rest| &host[rest.len() + 1..]);
    let country = host.rsplit('.').next().is_some_and(|top| top.len() == 2);
    let second = host.rsplit('.').nth(1).unwrap_or_default();
    match HOSTING.iter().find(|suffix| host.strip_suffix(**suffix).is_some_and(|rest| rest.ends_with('.'))) {
        Some(suffix) => last(suffix.split('.').count() + 1),
        None if country && SECOND.contains(&second) => last(3),
        None => last(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_mean_what_they_mean_in_a_browser() {
        let base = Address::parse("https://www.Shop.example:8443/a/b.html?x#y").unwrap();
        for (reference, want) in [
            ("c.js", Some("https://www.shop.example:8443/a/c.js")),
            ("../../c.js", Some("https://www.shop.example:8443/c.js")),
            ("./d/", Some("https://www.shop.example:8443/a/d/")),
            ("/c.js?v=1", Some("https://www.shop.example:8443/c.js?v=1")),
            ("", Some("https://www.shop.example:8443/a/b.html")),
            ("//cdn.example/c.js", Some("https://cdn.example/c.js")),
            ("\\\\cdn.example\\c.js", Some("https://cdn.example/c.js")),
            ("https:/cdn.example/c.js", Some("https://cdn.example/c.js")),
            (" HTTPS://CDN.example. \n", Some("https://cdn.example/")),
            ("ht\ntps://cdn.example/", Some("https://cdn.example/")),
            ("https://user:pass@cdn.example:444/", Some("https://cdn.example:444/")),
            ("https://[::1]:8080/x", Some("https://[::1]:8080/x")),
            ("https://cdn.example?x", Some("https://cdn.example/?x")),
            ("data:text/html,x", None),
            ("about:blank", None),
            ("javascript:void(0)", None),
            ("https://", None),
        ] {
            let got = Address::resolve(Some(&base), reference).map(|address| address.to_string());
            assert_eq!(got.as_deref(), want, "{reference:?}");
        }
        assert_eq!(Address::parse("/c.js"), None);
        assert_eq!(Address::parse("//cdn.example").unwrap().to_string(), "https://cdn.example/");
    }

    #[test]
    fn neighbours_under_a_public_suffix_are_strangers() {
        for (host, want) in [
            ("www.shop.example", "shop.example"),
            ("shop.example", "shop.example"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("a.b.city.gov.uk", "city.gov.uk"),
            ("www.bmf.gv.at", "bmf.gv.at"),
            ("www.x.io", "x.io"),
            ("one.github.io", "one.github.io"),
            ("www.one.github.io", "one.github.io"),
            ("github.io", "github.io"),
        ] {
            assert_eq!(registrable(host), want, "{host}");
        }
    }
}
