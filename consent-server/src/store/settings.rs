//! What a site's settings must be, whoever sets them.

use super::SiteSettings;

/// The most origins of a site.
const MAX_ORIGINS: usize = 64;

/// Why settings are not taken, with the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SettingsError {
    /// The field, such as `origins`.
    pub field: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl SiteSettings {
    /// Checks that browsers will understand them.
    ///
    /// # Errors
    /// [`SettingsError`] for the first field that they would not.
    ///
    /// # Standards
    /// Origins as RFC 6454 section 6.2 writes them; cookie names are tokens (RFC 6265 section 4.1.1).
    pub fn check(&self) -> Result<(), SettingsError> {
        let wrong = |field, what| Err(SettingsError { field, what });
        if self.origins.is_empty() || self.origins.len() > MAX_ORIGINS {
            return wrong("origins", format!("a site has 1 to {MAX_ORIGINS} origins"));
        }
        if let Some(origin) = self.origins.iter().find(|origin| !is_origin(origin)) {
            return wrong("origins", format!("\"{origin}\" is not a web origin such as https://shop.example"));
        }
        let name = &self.cookie_name;
        let token = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        // Names with these prefixes have rules of their own, which the widget's cookie cannot keep.
        if !(1..=64).contains(&name.len()) || !name.bytes().all(token) || name.starts_with("__") {
            return wrong("cookie_name", format!("\"{name}\" is not a cookie's name such as consent"));
        }
        match &self.cookie_domain {
            Some(domain) if !is_host(domain) || !domain.contains('.') => {
                wrong("cookie_domain", format!("\"{domain}\" is not a domain such as shop.example"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a text is a web origin as a browser writes it.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (None, if port.is_empty() { None } else { Some(port.strip_prefix(':').unwrap_or("x")) })
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(rest), None),
        },
    };
    let port = port.is_none_or(|port| !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok());
    matches!(scheme, "http" | "https") && port && host.is_none_or(is_host)
}

/// Whether a text is a host name in small letters, or an IPv4 address.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(origin: &str) -> SiteSettings {
        SiteSettings {
            origins: vec![origin.to_owned()],
            cookie_name: "consent".to_owned(),
            cookie_domain: None,
            frames: false,
        }
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in [
            "https://shop.example",
            "http://localhost:8080",
            "http://127.0.0.1:1",
            "http://[::1]:3000",
            "https://[2001:db8::1]",
            "https://xn--bcher-kva.example",
        ] {
            assert_eq!(settings(good).check(), Ok(()), "{good}");
        }
        for bad in [
            "",
            "null",
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://Shop.example",
            "https://*.example",
            "https://a@shop.example",
            "https://shop.example:",
            "https://shop.example:0",
            "https://shop.example:65536",
            "https://bücher.example",
            "https://a b",
            "https://[::1",
            "https://[::1]x",
            "ftp://shop.example",
            "https://shop..example",
        ] {
            assert_eq!(settings(bad).check().unwrap_err().field, "origins", "{bad}");
        }
        let many = SiteSettings { origins: vec!["https://a.example".to_owned(); 65], ..settings("https://a.example") };
        assert_eq!(many.check().unwrap_err().field, "origins");
        assert_eq!(SiteSettings { origins: vec![], ..many }.check().unwrap_err().field, "origins");
    }

    #[test]
    fn a_cookie_has_a_name_and_perhaps_a_domain() {
        for bad in ["", "a b", "a;b", "a=b", "__Host-consent", &"x".repeat(65)] {
            let settings = SiteSettings { cookie_name: bad.to_owned(), ..settings("https://a.example") };
            assert_eq!(settings.check().unwrap_err().field, "cookie_name", "{bad}");
        }
        for (domain, good) in
            [("shop.example", true), ("example", false), (".shop.example", false), ("a.example; x", false), ("", false)]
        {
            let settings = SiteSettings { cookie_domain: Some(domain.to_owned()), ..settings("https://a.example") };
            assert_eq!(settings.check().is_ok(), good, "{domain}");
        }
    }
}
