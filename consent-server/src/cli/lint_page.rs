//! `consent lint-page`: looks through a page for what loads before a choice. It runs nothing of it and keeps nothing.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use consent_core::lint::Severity;
use serde_json::json;
use ureq::ResponseExt;
use ureq::http::header;

use crate::page_lint::address::Address;
use crate::page_lint::{Finding, Ids, Page, rules};

/// Look through a page for what loads before a choice, and for marks that do nothing.
///
/// Reads the HTML as it is served and runs none of it: what scripts add later is shown in the browser by `consent.js?debug`.
/// Exit code 0: no errors. 1: errors. 2: it could not be checked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  consent lint-page https://shop.example/\n  consent lint-page index.html --notice notice.toml \
                        --at https://shop.example/\n  consent lint-page --rules"
)]
pub(super) struct Args {
    /// The page: an http or https address, or a file
    #[arg(value_name = "URL|FILE", required_unless_present = "rules")]
    page: Option<String>,
    /// The draft of the notice, TOML or JSON; without it the published one is fetched where the page's consent.js says
    #[arg(long, value_name = "FILE")]
    notice: Option<PathBuf>,
    /// Where a file will be served: what it loads from there is its own
    #[arg(long, value_name = "URL", value_parser = address)]
    at: Option<Address>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// List the rules
    #[arg(long)]
    rules: bool,
}

fn address(text: &str) -> Result<Address, &'static str> {
    Address::parse(text).filter(|_| is_url(text)).ok_or("it is not an http or https address")
}

/// The most of a page that is read.
const MAX_PAGE: u64 = 4 << 20;
/// The most of a notice that is read.
const MAX_NOTICE: u64 = 1 << 20;
/// How long a whole answer may take, redirects included.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most redirects followed.
const MAX_REDIRECTS: u32 = 5;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.rules {
        for (id, title) in rules::RULES {
            say!("{id}\t{title}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let name = args.page.as_deref().context("name the page")?;
    let draft = args.notice.as_deref().map(crate::draft::read).transpose()?;
    let (text, found_at) = if is_url(name) {
        let (text, address) = fetch_page(name).with_context(|| format!("cannot check {name}"))?;
        (text, Some(address))
    } else {
        (read_file(Path::new(name)).with_context(|| format!("cannot check {name}"))?, args.at.clone())
    };
    let page = Page::read(&text, found_at.as_ref());
    let widget = page.widget();
    let ids = match (&draft, &widget) {
        (Some(draft), _) => Ok(Ids::of_draft(draft)),
        (None, _) if !is_url(name) => Err("no --notice was given".to_owned()),
        (None, None) => Err("the page has no consent.js that would say where its notice is".to_owned()),
        (None, Some(widget)) => match &widget.notice {
            Some(address) => fetch_notice(address).map_err(|error| format!("{address}: {error:#}")),
            None => Err("the page does not say where its notice is".to_owned()),
        },
    };
    let findings = page.check(ids.as_ref().ok());
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    if args.json {
        say!(
            "{}",
            json!({
                "page": found_at.as_ref().filter(|_| is_url(name)).map_or_else(|| name.to_owned(), Address::to_string),
                "site": widget.map(|widget| widget.site),
                "ids": ids.as_ref().ok().map(Ids::all),
                "ids_not_checked": ids.as_ref().err(),
                "errors": errors,
                "warnings": warnings,
                "findings": findings,
            })
        );
    } else {
        if let Some(address) = found_at.filter(|address| is_url(name) && address.to_string() != *name) {
            say!("{name} leads to {address}\n");
        }
        for finding in &findings {
            print(finding);
        }
        if let Err(why) = &ids {
            say!("Categories and services were not checked: {why}.\n");
        }
        say!("{errors} {}, {warnings} {}", plural(errors, "error"), plural(warnings, "warning"));
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plural(count: usize, one: &str) -> String {
    if count == 1 { one.to_owned() } else { format!("{one}s") }
}

fn print(finding: &Finding) {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = match (finding.line, finding.column) {
        (Some(line), Some(column)) => format!("line {line}:{column}"),
        _ => "the page".to_owned(),
    };
    say!("{severity}  {}  {place}: {}", finding.rule, finding.what);
    for (name, text) in
        [("found", finding.element.as_ref()), ("why", Some(&finding.why)), ("write", Some(&finding.write))]
    {
        if let Some(text) = text {
            // The page's own text: a control character in it must not steer the terminal.
            let text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            say!("  {name:<5}  {text}");
        }
    }
    say!("");
}

fn is_url(name: &str) -> bool {
    let scheme = name.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_PAGE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_PAGE {
        bail!("it is larger than {} MiB", MAX_PAGE >> 20);
    }
    text(&bytes)
}

/// The text of a page. Whatever its bytes mean beyond ASCII, tags and addresses are ASCII.
fn text(bytes: &[u8]) -> anyhow::Result<String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.contains(&0) {
        bail!("it is not HTML in UTF-8 or another encoding that includes ASCII");
    }
    Ok(String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).into_owned())
}

fn agent(accept: &'static str) -> ureq::Agent {
    ureq::Agent::config_builder()
        .user_agent(concat!("consent-lint-page/", env!("CARGO_PKG_VERSION")))
        .accept(accept)
        .timeout_global(Some(PATIENCE))
        .max_redirects(MAX_REDIRECTS)
        .http_status_as_error(false)
        .build()
        .new_agent()
}

/// The bytes of an answer, of which the content type is one of these.
fn fetch(address: &str, kind: &'static str, limit: u64) -> anyhow::Result<(Vec<u8>, Address)> {
    let explain = |error: ureq::Error| match error {
        ureq::Error::TooManyRedirects => anyhow!("it redirects more than {MAX_REDIRECTS} times"),
        ureq::Error::BodyExceedsLimit(_) => anyhow!("it is larger than {} MiB", limit >> 20),
        ureq::Error::Timeout(_) => anyhow!("it did not answer within {} seconds", PATIENCE.as_secs()),
        error => anyhow!(error),
    };
    let mut response = agent(kind).get(address).call().map_err(explain)?;
    let status = response.status();
    if !status.is_success() {
        bail!("it answered {status}");
    }
    let value = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let given = value(header::CONTENT_TYPE).unwrap_or("none");
    let essence = given.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(kind) {
        bail!("its content type is {given}, not {kind}");
    }
    // None was asked for: a server that compresses all the same is one whose page we cannot read.
    if let Some(encoding) =
        value(header::CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity"))
    {
        bail!("it is compressed ({encoding}), which was not asked for");
    }
    let at = response.get_uri().to_string();
    let bytes = response.body_mut().with_config().limit(limit).read_to_vec().map_err(explain)?;
    Ok((bytes, Address::parse(&at).with_context(|| format!("{at} is no address"))?))
}

fn fetch_page(address: &str) -> anyhow::Result<(String, Address)> {
    let (bytes, at) = fetch(address, "text/html", MAX_PAGE)?;
    Ok((text(&bytes)?, at))
}

fn fetch_notice(address: &Address) -> anyhow::Result<Ids> {
    let (bytes, _) = fetch(&address.to_string(), "application/json", MAX_NOTICE)?;
    Ids::of_answer(&bytes).map_err(|error| anyhow!("it is no notice: {error}"))
}
