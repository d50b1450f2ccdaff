//! Requests to the service.

use std::time::Duration;

use consent_core::id::ChoiceId;
use consent_core::outline::Outline;
use serde::Deserialize;
use ureq::Agent;
use ureq::http::HeaderValue;

use super::{Settings, SettingsError, site_of};

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 4 << 20;
/// Events in a page.
const PAGE: usize = 1000;
/// How long the notice or a page of the feed may take beyond what it was asked to wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The service does not know the cursor, or has no feed.
    NoCursor(String),
    /// Anything else: it may be better the next time.
    Other(String),
}

impl Trouble {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::NoCursor(text) | Self::Other(text) => text,
        }
    }
}

/// A page of the event feed, as far as it is used.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) events: Vec<Event>,
    pub(super) next: String,
    pub(super) more: bool,
}

/// That something happened to a subject; what it was, the service says when it is asked.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) subject: Option<String>,
    pub(super) notice: Option<u32>,
}

pub(super) struct Client {
    agent: Agent,
    base: String,
    cookie_name: String,
    authorization: HeaderValue,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let service = settings.service.trim_end_matches('/');
        let host = service.strip_prefix("http://").or_else(|| match service.strip_prefix("https://") {
            Some(host) if cfg!(feature = "tls") => Some(host),
            _ => None,
        });
        if host.is_none_or(|host| host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(SettingsError::Service(service.to_owned()));
        }
        let site = site_of(settings)?;
        let authorization =
            HeaderValue::try_from(format!("Bearer {}", settings.key)).map_err(|_| SettingsError::Key)?;
        // What a redirect or a proxy of the environment answers is not the service's word, and neither may see the key.
        let agent =
            Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None).build().new_agent();
        let (base, cookie_name) = (format!("{service}/v1/sites/{site}"), settings.cookie_name.clone());
        Ok(Self { agent, base, cookie_name, authorization })
    }

    /// The notice in force.
    pub(super) fn notice(&self) -> Result<Outline, Trouble> {
        let (status, body) = self.get("/notice", &[], PATIENCE)?;
        if status != 200 {
            return Err(Trouble::Other(format!("the notice was answered with {status}")));
        }
        Outline::from_notice(&body).map_err(|error| Trouble::Other(error.to_string()))
    }

    /// What happened after a cursor; waits whole seconds for something to happen.
    pub(super) fn events(&self, after: &str, wait: Duration) -> Result<Page, Trouble> {
        let path = format!("/events?after={after}&limit={PAGE}&wait={}", wait.as_secs());
        let key = ("authorization", &self.authorization);
        let (status, body) = self.get(&path, &[key], wait + PATIENCE)?;
        let why = || format!("the event feed was answered with {status}");
        match status {
            200 => {
                let page: Page = serde_json::from_slice(&body)
                    .map_err(|error| Trouble::NoCursor(format!("the event feed cannot be read: {error}")))?;
                // It goes into the next address as it is.
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
                if !page.next.is_empty() && page.next.bytes().all(plain) {
                    Ok(page)
                } else {
                    Err(Trouble::NoCursor("the event feed names a next cursor that cannot be one".to_owned()))
                }
            }
            400 | 404 | 409 | 410 | 422 => Err(Trouble::NoCursor(why())),
            _ => Err(Trouble::Other(why())),
        }
    }

    /// Whether a category or service may be used for who has a cookie of this value: by the records of its subject, and those of the
    /// account that it is linked to. The signals of the request are judged here.
    pub(super) fn ask(&self, cookie: &str, choice: &ChoiceId, timeout: Duration) -> Result<bool, Trouble> {
        let mut path = format!("/authorize?category={}", choice.category());
        if let Some(service) = choice.service() {
            path.push_str("&service=");
            path.push_str(service);
        }
        let value = HeaderValue::try_from(format!("{}={cookie}", self.cookie_name));
        let cookie = value.map_err(|_| Trouble::Other("the cookie's name or value cannot be sent".to_owned()))?;
        match self.get(&path, &[("cookie", &cookie)], timeout)? {
            (204, _) => Ok(true),
            (403, _) => Ok(false),
            (status, _) => Err(Trouble::Other(format!("the check was answered with {status}"))),
        }
    }

    fn get(&self, path: &str, headers: &[(&str, &HeaderValue)], timeout: Duration) -> Result<(u16, Vec<u8>), Trouble> {
        let mut request = self.agent.get(format!("{}{path}", self.base)).header("cache-control", "no-cache");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let failed = |error: ureq::Error| Trouble::Other(format!("the service cannot be reached: {error}"));
        let mut response = request.config().timeout_global(Some(timeout)).build().call().map_err(failed)?;
        let body = response.body_mut().with_config().limit(LONGEST).read_to_vec().map_err(failed)?;
        Ok((response.status().as_u16(), body))
    }
}
