//! Sending one message: to the addresses that were checked, without redirects, within a time.

use std::time::Duration;

use ureq::config::Config;
use ureq::http::{Uri, header};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::address;

/// How long a receiver may take for all of its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most of an answer's body that is read, in bytes. Nothing is done with it: read to its end, the connection can be used again.
const MOST: u64 = 16 << 10;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With this status.
    Status(u16),
    /// Nothing, for this reason. Says what failed in our words, so that no receiver's text gets into a log.
    Failed(&'static str),
}

/// The words for an address that is not allowed.
pub(super) const REFUSED: &str = "no public address: see --webhook-allow-private";

/// Sends messages.
#[derive(Debug, Clone)]
pub(super) struct Poster {
    agent: Agent,
    private: bool,
}

impl Poster {
    /// `private` allows http, any port, and addresses that are not of the public internet.
    pub(super) fn new(private: bool) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(!private)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .user_agent("consent-webhook/1")
            .max_idle_connections(16)
            .max_idle_connections_per_host(1)
            .max_idle_age(IDLE)
            .build();
        let agent = Agent::with_parts(
            config,
            DefaultConnector::default(),
            Checked { private, inner: DefaultResolver::default() },
        );
        Self { agent, private }
    }

    /// Sends a message and waits for the answer.
    pub(super) fn post(&self, url: &str, headers: &[(&'static str, String)], body: &[u8]) -> Outcome {
        let Ok(uri) = address::parse(url, self.private) else { return Outcome::Failed(REFUSED) };
        let mut request = self.agent.post(uri).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match request.send(body) {
            Ok(mut answer) => {
                // What it says, and whether it can be read, changes nothing.
                drop(answer.body_mut().with_config().limit(MOST).read_to_vec());
                Outcome::Status(answer.status().as_u16())
            }
            Err(error) => Outcome::Failed(words(&error)),
        }
    }
}

fn words(error: &Error) -> &'static str {
    match error {
        Error::Timeout(_) => "no answer in time",
        Error::HostNotFound => "its name has no address",
        Error::Io(error) if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<NotAllowed>) => {
            REFUSED
        }
        Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => "the connection was refused",
        Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => "no trusted TLS",
        Error::Io(_) | Error::ConnectionFailed => "no connection",
        Error::Rustls(_) | Error::Tls(_) => "no trusted TLS",
        _ => "no answer that can be read",
    }
}

/// None of the addresses may be connected to.
#[derive(Debug, Clone, Copy)]
struct NotAllowed;

impl std::fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(REFUSED)
    }
}

impl std::error::Error for NotAllowed {}

/// Looks a name up and leaves out the addresses that are not allowed. The connection is made to what this answers, so a name that says
/// something else the next time gains nothing.
#[derive(Debug)]
struct Checked {
    private: bool,
    inner: DefaultResolver,
}

impl Resolver for Checked {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in &found {
            if self.private || address::is_public(address.ip()) {
                allowed.push(*address);
            }
        }
        if allowed.is_empty() { Err(Error::Io(std::io::Error::other(NotAllowed))) } else { Ok(allowed) }
    }
}
