//! Changing over from another consent manager: its example configuration as a draft, its records and cookies as decisions.
//!
//! The configurations are those in the peers' own npm packages, fetched with `npm pack` in pinned versions and checked by their
//! SHA-256. Nothing of them is run. Without npm or the registry these tests fail.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use consent_core::cookie::Cookie;
use consent_core::id::SubjectId;
use consent_core::notice::Draft;
use consent_core::time::UnixMillis;
use consent_tests::{DecisionBody, TestServer, check_log, consent, log_size, new_subject, now, wait_until};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Package, version, SHA-256 of its archive. Licences: MIT, BSD-3-Clause, Apache-2.0.
const VANILLA_2: [&str; 3] =
    ["vanilla-cookieconsent", "2.6.2", "08fb44c29aa1a4ead862574daa9d7a4a7b64f73f224aaf0d19bfb82bbfb7beef"];
const KLARO: [&str; 3] = ["klaro", "0.7.22", "da7f3f4a9e3931da6c32c2667312736837e702316ae03835a0e726ae94eb3f2a"];
const C15T: [&str; 3] = ["c15t", "2.2.1", "f101d2a249b4d5d12a5852d3c801d38424a2f046547653663c6a30a5655a3b2e"];

/// A file of a package; fetched once.
fn of_package([package, version, sha256]: [&str; 3], file: &str) -> String {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _held = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    std::fs::create_dir_all(&folder).unwrap();
    let archive = folder.join(format!("{package}-{version}.tgz"));
    let sound = || {
        let bytes = std::fs::read(&archive).ok()?;
        let digest = Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        Some(digest == sha256)
    };
    if sound() != Some(true) {
        let wanted = format!("{package}@{version}");
        let args = ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder.to_str().unwrap(), &wanted];
        let output = Command::new("npm").args(args).output().expect("npm is there (tests/setup npm)");
        assert!(output.status.success(), "npm pack {wanted}: {}", said(&output));
        assert_eq!(sound(), Some(true), "{wanted} is not what it was when this test was written");
    }
    let archive = archive.to_str().unwrap();
    let output = Command::new("tar").args(["-xzOf", archive, &format!("package/{file}")]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}\n{err}", output.status)
}

/// What a configuration became.
struct Made {
    _folder: TempDir,
    file: PathBuf,
    draft: toml::Table,
    text: String,
    left: String,
}

fn import(peer: &str, name: &str, configuration: &str) -> Made {
    let folder = TempDir::new().unwrap();
    let (from, to) = (folder.path().join(name), folder.path().join("notice.toml"));
    std::fs::write(&from, configuration).unwrap();
    let args = ["notice", "import", "--from", peer, from.to_str().unwrap(), "-o", to.to_str().unwrap()];
    let output = consent(args);
    assert!(output.status.success(), "{}", said(&output));
    let again = consent(args);
    assert_eq!(again.status.code(), Some(2), "a draft is never overwritten: {}", said(&again));
    let text = std::fs::read_to_string(&to).unwrap();
    let draft = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Made { _folder: folder, file: to, draft, text, left: String::from_utf8(output.stderr).unwrap() }
}

impl Made {
    fn categories(&self) -> Vec<(&str, bool)> {
        let categories = self.draft["category"].as_array().unwrap();
        categories.iter().map(|c| (c["id"].as_str().unwrap(), c["necessary"].as_bool().unwrap())).collect()
    }

    fn category(&self, id: &str) -> &toml::Value {
        let categories = self.draft["category"].as_array().unwrap();
        categories.iter().find(|category| category["id"].as_str() == Some(id)).unwrap()
    }

    /// The services of a category with the names of their cookies.
    fn services(&self, id: &str) -> Vec<(&str, Vec<&str>)> {
        let services = self.category(id).get("service").and_then(toml::Value::as_array);
        let named = services.into_iter().flatten().map(|service| {
            let cookies = service.get("cookies").and_then(toml::Value::as_array).into_iter().flatten();
            (service["id"].as_str().unwrap(), cookies.map(|cookie| cookie["name"].as_str().unwrap()).collect())
        });
        named.collect()
    }

    fn text(&self, id: &str, language: &str, field: &str) -> &str {
        self.category(id)["text"][language][field].as_str().unwrap()
    }

    fn own(&self, language: &str, field: &str) -> &str {
        self.draft["texts"][language][field].as_str().unwrap()
    }

    fn lists(&self, path: &str) {
        let line = self.left.lines().find(|line| line.starts_with(&format!("not taken over: {path}")));
        assert!(line.is_some(), "{path} is not in\n{}", self.left);
    }

    /// The lint refuses it and names every gap; filled in, nothing is left to be filled in.
    fn is_refused_until_filled(&self) {
        let lint = |file: &Path| {
            let output = consent(["notice", "lint", file.to_str().unwrap()]);
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), said(&output))
        };
        let (code, found, all) = lint(&self.file);
        assert_eq!(code, Some(1), "{all}");
        let todos = self.text.matches("\"TODO").count();
        assert!(todos > 5, "{}", self.text);
        assert_eq!(found.lines().filter(|line| line.starts_with("error S-todo ")).count(), todos, "{all}");
        assert!(self.left.contains(&format!("{todos} values in ")), "{}", self.left);
        let mut filled = String::new();
        for line in self.text.lines() {
            let mut rest = line;
            let key = line.split(' ').next().unwrap_or_default();
            while let Some((before, after)) = rest.split_once("\"TODO") {
                let (_, after) = after.split_once('"').unwrap();
                let value = match key {
                    "country" => "IE",
                    "exemption" => "security",
                    "privacy_policy" => "/privacy",
                    "contact" => "privacy@shop.example",
                    "provider" => "{controller}",
                    _ if before.ends_with("lifetime = ") => "30 days",
                    _ => "Something that is true.",
                };
                write!(filled, "{before}\"{value}\"").unwrap();
                rest = after;
            }
            writeln!(filled, "{rest}").unwrap();
        }
        let draft: Draft = toml::from_str(&filled).unwrap_or_else(|error| panic!("{error}\n{filled}"));
        assert!(!draft.categories.is_empty());
        let file = self.file.with_file_name("filled.toml");
        std::fs::write(&file, filled).unwrap();
        let (_, found, all) = lint(&file);
        assert!(!found.contains("S-todo"), "{all}");
        // What remains is what the lint has against the peer's own words, such as "enhance your experience".
        for line in found.lines().filter(|line| line.starts_with("error ")) {
            assert!(["R-", "S-placeholders"].iter().any(|rule| line.contains(rule)), "{line}");
        }
    }
}

#[test]
fn version_2_of_vanilla_cookieconsent_becomes_a_draft() {
    let made = import("vanilla-cookieconsent", "app.js", &of_package(VANILLA_2, "demo/app.js"));
    assert_eq!(made.categories(), [("necessary", true), ("analytics", false), ("targeting", false)]);
    assert_eq!(made.draft["default_language"].as_str(), Some("en"));
    assert_eq!(made.draft["renew_after_days"].as_integer(), Some(365));
    assert_eq!(made.own("en", "title"), "🍪 We use cookies!", "the values of plain variables are known");
    assert_eq!((made.own("en", "accept"), made.own("en", "reject")), ("Accept all", "Reject all"));
    assert_eq!((made.own("en", "save"), made.own("en", "cancel")), ("Save settings", "Close"));
    assert!(!made.own("en", "intro").contains('<'), "{}", made.own("en", "intro"));
    assert_eq!(made.text("analytics", "en", "name"), "Performance and Analytics cookies");
    assert!(made.text("analytics", "en", "purpose").starts_with("These cookies allow the website to remember"));
    assert_eq!(made.services("analytics"), [("google-com", vec!["_ga*", "_gid"])]);
    let cookies = &made.category("analytics")["service"][0]["cookies"];
    assert_eq!((cookies[0]["lifetime"].as_str(), cookies[1]["lifetime"].as_str()), (Some("730 days"), Some("1 day")));
    assert_eq!(cookies[0]["purpose"]["en"].as_str(), Some("description ..."));
    assert_eq!(made.services("necessary"), [("privacy-choice", vec!["consent", "consent"])]);
    assert_eq!(made.category("targeting")["signals"].as_bool(), Some(true));
    for path in ["onAccept = code", "onChange = code", "gui_options", "cookie_name", "page_scripts", "theme_css"] {
        made.lists(path);
    }
    made.lists("languages.en.settings_modal.blocks[4]");
    made.is_refused_until_filled();
}

#[test]
fn version_3_of_vanilla_cookieconsent_becomes_a_draft() {
    // Its npm package has no configuration; this is the one that the banner is measured with.
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("banner/peer/cookieconsent-config.js");
    let made = import("vanilla-cookieconsent", "c.js", &std::fs::read_to_string(ours).unwrap());
    assert_eq!(made.categories(), [("necessary", true), ("analytics", false), ("marketing", false)]);
    assert_eq!(made.draft["privacy_policy"].as_str(), Some("/privacy"));
    assert_eq!(made.services("analytics"), [("analytics", vec!["demo_visits"])]);
    assert_eq!(made.services("necessary")[1].1, ["demo_text_size"], "its own cookie is gone, ours is there");
    let cookie = &made.category("analytics")["service"][0]["cookies"][0];
    assert_eq!(cookie["lifetime"].as_str(), Some("30 days"));
    assert_eq!(cookie["purpose"]["en"].as_str(), Some("Counts the pages that this browser has opened."));
    made.is_refused_until_filled();

    let made = import(
        "vanilla-cookieconsent",
        "c.ts",
        r#"import type { CookieConsentConfig } from 'vanilla-cookieconsent';
        const config: CookieConsentConfig = {
            mode: 'opt-out', revision: 2, cookie: { name: 'cc', expiresAfterDays: (type) => type === 'all' ? 365 : 30 },
            categories: {
                necessary: { readOnly: true, enabled: true },
                analytics: {
                    enabled: true,
                    autoClear: { cookies: [{ name: /^_ga/ }, { name: /ga$/ }], reloadPage: true },
                    services: {
                        ga: { label: '<b>Google</b> Analytics', onAccept: () => {}, cookies: [{ name: /^(_ga|_gid)/ }] },
                        youtube: { label: 'Youtube Embed' },
                    },
                },
            },
            language: {
                default: 'de', autoDetect: 'browser',
                translations: { de: { consentModal: { title: 'Hallo', footer: `<a href="https://s.example/datenschutz">Datenschutz</a>` } },
                    pt_BR: './pt.json', fr: async () => (await fetch('x')).json() },
            },
        };
        export default config satisfies CookieConsentConfig;"#,
    );
    assert_eq!(made.draft["languages"].as_array().unwrap().len(), 3);
    assert_eq!(made.draft["default_language"].as_str(), Some("de"));
    assert_eq!(made.draft["privacy_policy"]["de"].as_str(), Some("https://s.example/datenschutz"));
    let services = made.services("analytics");
    assert_eq!(services[1], ("ga", vec!["_ga*", "_gid*"]));
    assert_eq!(services[2].0, "youtube");
    for path in [
        "mode = \"opt-out\"",
        "revision",
        "cookie.expiresAfterDays = code",
        "categories.analytics.enabled = true: a switch that is on",
        "categories.analytics.autoClear.cookies[1] = /ga$/",
        "categories.analytics.autoClear.reloadPage",
        "categories.analytics.services.ga.onAccept",
        "language.translations.pt_BR = \"./pt.json\"",
        "language.translations.fr = code",
    ] {
        made.lists(path);
    }
}

#[test]
fn klaro_becomes_a_draft() {
    let made = import("klaro", "config.js", &of_package(KLARO, "dist/config.js"));
    let want = [
        ("functional", true),
        ("marketing", false),
        ("analytics", false),
        ("livechat", false),
        ("advertising", false),
        ("security", false),
    ];
    assert_eq!(made.categories(), want);
    assert_eq!(made.draft["renew_after_days"].as_integer(), Some(365));
    let policy = &made.draft["privacy_policy"];
    assert_eq!((policy["de"].as_str(), policy["en"].as_str()), (Some("/#datenschutz"), Some("/#privacy")));
    let languages = made.draft["languages"].as_array().unwrap();
    assert_eq!(languages.iter().map(|l| l.as_str().unwrap()).collect::<Vec<_>>(), ["de", "en"]);
    assert_eq!(made.own("en", "settings_title"), "test", "markup is taken out");
    assert_eq!(made.text("analytics", "de", "name"), "Besucher-Statistiken");
    assert_eq!(made.services("marketing").iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["twitter", "youtube"]);
    let analytics = made.services("analytics");
    assert_eq!(analytics[0], ("matomo", vec!["_pk_*", "piwik_ignore"]));
    assert_eq!(
        analytics.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        ["matomo", "inlinetracker", "externaltracker", "mouseflow"]
    );
    let matomo = &made.category("analytics")["service"][0];
    assert_eq!(matomo["name"].as_str(), Some("Matomo/Piwik"));
    assert_eq!(matomo["cookies"][0]["purpose"]["de"].as_str(), Some("Sammeln von Besucherstatistiken"));
    assert_eq!(
        made.services("functional").iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        ["privacy-choice", "cloudflare"]
    );
    let adsense = &made.category("advertising")["service"][0];
    assert_eq!(adsense["name"]["de"].as_str(), Some("Google AdSense Werbezeugs"));
    for path in [
        "services[1].default of youtube = true: a switch that is on",
        "services[2].callback of matomo = code",
        "services[4].purposes of externalTracker: taken as analytics; also security",
        "styling",
        "cookieName",
    ] {
        made.lists(path);
    }
    made.is_refused_until_filled();
}

#[test]
fn c15t_becomes_a_draft() {
    // Its examples are in the pages of its documentation: each fenced block is a file as its users have it.
    let block = |page: &str, with: &str| {
        let page = of_package(C15T, page);
        let found = page.split("```").skip(1).step_by(2).find(|block| block.contains(with)).map(str::to_owned);
        found.unwrap_or_else(|| panic!("no block with {with} in\n{page}"))
    };
    let quickstart = block("docs/frameworks/javascript/quickstart.md", "consentCategories");
    let made = import("c15t", "consent.ts", &quickstart);
    assert_eq!(made.categories(), [("necessary", true), ("measurement", false), ("marketing", false)]);
    assert_eq!(made.category("marketing")["signals"].as_bool(), Some(true));
    made.lists("mode = \"hosted\"");
    made.lists("backendURL");
    made.is_refused_until_filled();

    let made = import("c15t", "i18n.ts", &block("docs/frameworks/javascript/internationalization.md", "cookieBanner"));
    assert_eq!((made.own("de", "accept"), made.own("de", "reject")), ("Alle akzeptieren", "Alle ablehnen"));
    assert_eq!((made.own("de", "settings"), made.own("de", "save")), ("Anpassen", "Speichern"));
    assert_eq!(made.own("de", "title"), "Datenschutzeinstellungen");

    let made = import("c15t", "scripts.ts", &block("docs/frameworks/javascript/script-loader.md", "custom-analytics"));
    assert_eq!(made.services("measurement"), [("custom-analytics", vec![])]);
    made.lists("scripts[0] = code: metaPixel({ pixelId: '123456' })");
    made.lists("scripts[1].src");

    let links = block("docs/shared/react/components/consent-manager-provider.md", "legalLinks: {");
    let made = import("c15t", "provider.tsx", &links);
    assert_eq!(made.draft["privacy_policy"].as_str(), Some("/privacy"));
    made.lists("legalLinks.cookiePolicy");

    let made = import("c15t", "backend.ts", &block("docs/shared/concepts/policy-packs.md", "messageProfile: 'eu'"));
    assert_eq!(made.own("es", "title"), "Tus opciones de privacidad", "the default profile");
    made.lists("i18n.messages.eu");
    made.lists("policyPacks");
}

#[test]
fn what_is_no_configuration_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("x.js");
    for text in ["", "{}", "alert(1)", "run({ colour: 'red' })", "{\"services\":"] {
        std::fs::write(&file, text).unwrap();
        for peer in ["vanilla-cookieconsent", "klaro", "c15t"] {
            let output = consent(["notice", "import", "--from", peer, file.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(2), "{peer} {text}: {}", said(&output));
        }
    }
}

// Notices as code.

#[test]
fn a_notice_is_shown_changed_and_published_again() {
    let server = TestServer::choice();
    let folder = TempDir::new().unwrap();
    let show = |args: &[&str]| server.command_ok(&[&["notice", "show", "--site", "demo"], args].concat());
    for (format, name) in [("toml", "n.toml"), ("json", "n.json")] {
        let file = folder.path().join(name);
        std::fs::write(&file, show(&["--format", format])).unwrap();
        let file = file.to_str().unwrap();
        assert!(consent(["notice", "lint", file]).status.success(), "{format}");
        assert_eq!(server.command_ok(&["notice", "diff", file, "--site", "demo"]), "", "{format}: nothing has changed");
        let output = server.command(&["notice", "publish", file, "--site", "demo", "--editorial"]);
        assert!(said(&output).contains("nothing has changed"), "{}", said(&output));
    }
    let file = folder.path().join("n.toml");
    let text =
        show(&[]).replace("Count page views, to see which articles are read.", "Count page views and sell them.");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let changed = server.command_ok(&["notice", "diff", file, "--site", "demo"]);
    assert!(changed.starts_with("category.statistics.text.en.purpose (material"), "{changed}");
    let output = server.command(&["notice", "publish", file, "--site", "demo"]);
    assert_eq!(output.status.code(), Some(2), "no terminal, no guess: {}", said(&output));
    assert!(said(&output).starts_with("exit status: 2\ncategory.statistics"), "{}", said(&output));
    let published = server.command_ok(&["notice", "publish", file, "--site", "demo", "--material", "statistics"]);
    assert!(published.starts_with(&changed), "publish prints what diff prints: {published}");
    assert_eq!(server.command_ok(&["notice", "diff", "--site", "demo", "--to", "2"]), changed);
    assert_eq!(server.command_ok(&["notice", "diff", "--site", "demo", "--from", "1", "--to", "2"]), changed);
    let listed = server.command_ok(&["notice", "list", "--site", "demo"]);
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        rows.iter().map(|row| (row[0], row[3], row[4])).collect::<Vec<_>>(),
        [("1", "statistics marketing", "en de"), ("2", "statistics", "en de")]
    );
    assert!(rows.iter().all(|row| UnixMillis::parse(row[1]).is_ok() && row[2].len() == 64), "{listed}");
    assert!(show(&["--version", "1"]).contains("to see which articles are read"));
    for args in
        [["notice", "show", "--site", "demo", "--version", "3"], ["notice", "diff", "--site", "demo", "--to", "1"]]
    {
        assert_eq!(server.command(&args).status.code(), Some(2));
    }
}

#[test]
fn a_first_notice_lints_clean_and_is_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("notice.toml");
    let name = file.to_str().unwrap();
    let output = consent(["init", name, "--controller", "Müller & \"Söhne\"", "--address", "Here"]);
    assert!(output.status.success(), "{}", said(&output));
    let lint = consent(["notice", "lint", name]);
    assert!(lint.status.code() == Some(1) && said(&lint).contains("controller.contact"), "{}", said(&lint));
    std::fs::remove_file(&file).unwrap();
    let args = ["init", name, "--controller", "Müller & \"Söhne\"", "--address", "Here", "--contact", "p@m.example"];
    let output = consent(args);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(&format!("consent notice publish {name} --site shop")), "{}", said(&output));
    let lint = consent(["notice", "lint", name]);
    assert!(lint.status.success() && lint.stdout.is_empty(), "{}", said(&lint));
    let written = std::fs::read_to_string(&file).unwrap();
    let draft: Draft = toml::from_str(&written).unwrap();
    assert_eq!(draft.controller.name, "Müller & \"Söhne\"");
    assert_eq!(consent(["init", name]).status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
}

// Earlier decisions.

const SHOWN: &str = "We count page views. You can say no.";

fn days_ago(days: i64) -> String {
    UnixMillis::new(now().millis() - days * 86_400_000).to_string()
}

struct Take<'a> {
    server: &'a TestServer,
    folder: TempDir,
}

impl<'a> Take<'a> {
    fn over(server: &'a TestServer) -> Self {
        Self { server, folder: TempDir::new().unwrap() }
    }

    fn run(&self, lines: &[Value], args: &[&str]) -> Output {
        let text = lines.iter().fold(String::new(), |text, line| format!("{text}{line}\n"));
        self.run_text(&text, args)
    }

    fn run_text(&self, text: &str, args: &[&str]) -> Output {
        let file = self.folder.path().join("old.jsonl");
        std::fs::write(&file, text).unwrap();
        self.server.command(&[&["import", "--site", "demo", file.to_str().unwrap()], args].concat())
    }
}

/// The number after a word of the summary.
fn number(output: &Output, word: &str) -> u64 {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.trim_start().starts_with(word));
    let line = line.unwrap_or_else(|| panic!("{word} is not in {}", said(output)));
    line.trim_start()[word.len()..].split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn earlier_decisions_hold_from_their_own_time_and_are_recorded_once() {
    let server = TestServer::choice();
    let api = server.api();
    let take = Take::over(&server);
    let people: Vec<SubjectId> = (0..5).map(|_| new_subject()).collect();
    let lines = [
        json!({"subject": people[0], "decided_at": days_ago(10), "granted": ["statistics"], "notice_text": SHOWN, "evidence": "row 1"}),
        json!({"subject": people[1], "decided_at": days_ago(10), "granted": ["statistics"]}),
        json!({"subject": people[2], "decided_at": days_ago(10), "granted": [], "refused": ["marketing"]}),
        json!({"subject": people[3], "decided_at": days_ago(200), "granted": ["statistics"], "notice_text": SHOWN}),
        json!({"subject": people[4], "decided_at": days_ago(30), "granted": ["marketing"], "notice_text": SHOWN}),
        json!({"subject": people[4], "decided_at": days_ago(20), "granted": ["statistics"], "notice_text": SHOWN}),
        json!({"id": "old-7", "decided_at": days_ago(3), "granted": ["statistics"], "notice_text": SHOWN}),
        json!({"decided_at": days_ago(3), "granted": []}),
    ];
    let size = log_size(server.data());
    let tried = take.run(&lines, &["--dry-run"]);
    assert!(tried.status.success(), "{}", said(&tried));
    assert_eq!(number(&tried, "to record"), 8);
    assert_eq!(log_size(server.data()), size, "a dry run writes nothing");
    // The server has looked at this person before, and must not go on saying what it remembers.
    assert!(!api.allowed(people[0], "statistics"));
    let cookies = take.folder.path().join("cookies.jsonl");
    let done = take.run(&lines, &["--cookies", cookies.to_str().unwrap()]);
    assert!(done.status.success(), "{}", said(&done));
    for (word, want) in
        [("recorded", 8), ("granting", 5), ("refusing", 2), ("unproven", 1), ("stale", 0), ("rejected", 0)]
    {
        assert_eq!(number(&done, word), want, "{word}: {}", said(&done));
    }
    assert_eq!(log_size(server.data()), size + 9, "eight decisions, and that they were taken over");

    wait_until("the server to hear of it", || api.allowed(people[0], "statistics"));
    assert!(!api.allowed(people[1], "statistics"), "without the text it is kept and grants nothing");
    assert!(!api.allowed(people[3], "statistics"), "validity is counted from the claimed time");
    assert!(api.allowed(people[4], "statistics") && !api.allowed(people[4], "marketing"), "the later one holds");
    let status = |subject: SubjectId| api.check(subject, "statistics")["status"].as_str().unwrap().to_owned();
    assert_eq!(status(people[3]), "expired");
    assert_eq!(status(people[1]), "outdated", "marketing was refused with it; statistics is asked");
    assert_eq!(status(people[2]), "outdated", "statistics was never asked: it has no answer");
    let records = api.records(people[1]).expect(200).json();
    let leaf = &records["records"][0]["leaf"];
    assert_eq!((&leaf["effect"], &leaf["source"]), (&json!("unproven"), &json!("import")));
    assert_eq!(leaf["granted"], json!(["statistics"]), "it is kept as it was claimed");
    let records = api.records(people[0]).expect(200).json();
    assert_eq!(records["records"][0]["leaf"]["decided_at"].as_str(), lines[0]["decided_at"].as_str());
    assert!(!records.to_string().contains(SHOWN), "the text lies beside the log");

    // The cookies are ones that the widget reads, with the same answers.
    let handed: Vec<Value> =
        std::fs::read_to_string(&cookies).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(handed.len(), 8);
    let cookie = Cookie::parse(handed[0]["cookie"].as_str().unwrap()).unwrap();
    assert_eq!(cookie.subject, Some(people[0]));
    assert_eq!(cookie.granted.iter().map(ToString::to_string).collect::<Vec<_>>(), ["statistics"]);
    assert_eq!((&handed[6]["id"], &handed[6]["line"]), (&json!("old-7"), &json!(7)));
    let old: SubjectId = SubjectId::parse(handed[6]["subject"].as_str().unwrap()).unwrap();
    assert!(api.allowed(old, "statistics"));
    let refused = Cookie::parse(handed[7]["cookie"].as_str().unwrap()).unwrap();
    assert_eq!((refused.subject, refused.granted.len()), (None, 0), "who refused carries no identifier");

    let again = take.run(&lines, &[]);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!((number(&again, "recorded"), number(&again, "repeated")), (0, 8));
    assert_eq!(log_size(server.data()), size + 9);
    check_log(server.data()).unwrap();
    // Every fold is what the records say, those without their text too.
    server.command_ok(&["export", "--site", "demo", "-o", take.folder.path().join("a.jsonl").to_str().unwrap()]);
    server.command_ok(&["doctor"]);
}

#[test]
fn what_somebody_decided_here_is_not_undone_by_what_was_before() {
    let server = TestServer::choice();
    let api = server.api();
    let (refuser, granter) = (new_subject(), new_subject());
    api.decide(&DecisionBody::save(&[]).by(refuser)).expect(201);
    api.decide(&DecisionBody::save(&["statistics"]).by(granter)).expect(201);
    let line = |subject: SubjectId, granted: &[&str]| json!({"subject": subject, "decided_at": days_ago(1), "granted": granted, "notice_text": SHOWN});
    let output = Take::over(&server).run(&[line(refuser, &["statistics"]), line(granter, &[])], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!((number(&output, "recorded"), number(&output, "rejected")), (0, 2));
    assert!(!api.allowed(refuser, "statistics") && api.allowed(granter, "statistics"));
}

#[test]
fn cookies_of_peers_are_taken_over() {
    let server = TestServer::choice();
    let api = server.api();
    let take = Take::over(&server);
    let id = new_subject();
    let at = days_ago(5);
    let vanilla = json!({
        "categories": ["necessary", "analytics"], "revision": 0, "data": null, "consentId": id, "languageCode": "de",
        "consentTimestamp": days_ago(9), "lastConsentTimestamp": at, "services": {"necessary": [], "analytics": []},
    });
    let c15t = format!("c.necessary:1,c.marketing:1,i.t:{},i.sid:sub_x1", now().millis() - 1000);
    let klaro = json!({"page-counter": true, "newsletter-panel": false, "cloudflare": true});
    let lines = [
        json!({"from": "vanilla-cookieconsent", "cookie": vanilla.to_string()}),
        json!({"from": "klaro", "cookie": klaro.to_string(), "id": "k1", "decided_at": at}),
        json!({"from": "c15t", "cookie": c15t}),
        json!({"from": "klaro", "cookie": klaro.to_string(), "id": "k2"}),
        json!({"from": "klaro", "cookie": "nonsense", "decided_at": at}),
    ];
    let shown = take.folder.path().join("shown.txt");
    std::fs::write(&shown, SHOWN).unwrap();
    let cookies = take.folder.path().join("cookies.jsonl");
    let maps = ["--map", "analytics=statistics", "--map", "necessary=functional", "--map", "cloudflare="];
    let files = ["--notice-text", shown.to_str().unwrap(), "--cookies", cookies.to_str().unwrap()];
    let output = take.run(&lines, &[&maps[..], &files].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!((number(&output, "granting"), number(&output, "rejected")), (3, 2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("line 4: decided_at is missing"), "a cookie of klaro has no time: {told}");
    assert!(told.contains("line 5: not a cookie of klaro"), "{told}");
    wait_until("the server to hear of it", || api.allowed(id, "statistics"));
    assert!(!api.allowed(id, "marketing"), "what vanilla-cookieconsent does not list was refused");
    let leaf = api.records(id).expect(200).json()["records"][0]["leaf"].clone();
    assert_eq!((&leaf["language"], leaf["decided_at"].as_str()), (&json!("de"), Some(&*at)));
    let handed = std::fs::read_to_string(&cookies).unwrap();
    let handed: Vec<Value> = handed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let subject = |at: usize| SubjectId::parse(handed[at]["subject"].as_str().unwrap()).unwrap();
    let granted = |at: usize, choice: &str| api.check(subject(at), choice)["categories"][choice] == "granted";
    assert!(!granted(1, "marketing") && !granted(1, "statistics"), "one service of two is not the category");
    let value = handed[1]["cookie"].as_str().unwrap();
    assert!(value.contains(".statistics:page-counter."), "{value}");
    assert!(granted(2, "marketing") && !granted(2, "statistics"));
}

#[test]
fn each_bad_line_is_named_with_its_reason() {
    let server = TestServer::choice();
    let take = Take::over(&server);
    let at = days_ago(1);
    let person = new_subject();
    let later = UnixMillis::new(now().millis() + 86_400_000).to_string();
    let bad = [
        ("nonsense".to_owned(), "expected"),
        (json!({"granted": []}).to_string(), "decided_at is missing"),
        (json!({"decided_at": at}).to_string(), "granted is missing"),
        (json!({"decided_at": "yesterday", "granted": []}).to_string(), "line 4"),
        (json!({"decided_at": later, "granted": []}).to_string(), "in the future"),
        (json!({"decided_at": at, "granted": ["video"]}).to_string(), "--map video="),
        (json!({"decided_at": at, "granted": ["statistics"], "refused": ["statistics"]}).to_string(), "both"),
        (json!({"decided_at": at, "granted": [], "subject": "me"}).to_string(), "subject must be a UUID"),
        (json!({"decided_at": at, "granted": [], "id": "me@shop.example"}).to_string(), "random id"),
        (json!({"decided_at": at, "granted": [], "ip": "::1"}).to_string(), "unknown field"),
        (json!({"decided_at": at, "granted": [], "from": "klaro"}).to_string(), "go together"),
        (json!({"decided_at": at, "granted": [], "evidence": "x".repeat(4097)}).to_string(), "evidence has more"),
        (json!({"decided_at": at, "granted": [], "evidence": "x".repeat(300_000)}).to_string(), "longer than"),
    ];
    let mut text = bad.iter().fold(String::new(), |text, (line, _)| format!("{text}{line}\n"));
    // What is between and after them is recorded, a last line without its end too.
    write!(text, "\n{}", json!({"decided_at": at, "granted": [], "subject": person})).unwrap();
    for args in [&["--dry-run"][..], &[]] {
        let output = take.run_text(&text, args);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert_eq!(number(&output, "rejected"), bad.len() as u64, "{}", said(&output));
        assert_eq!(number(&output, "refusing"), 1);
        let told = String::from_utf8_lossy(&output.stderr);
        for (at, (_, why)) in bad.iter().enumerate() {
            let line = told.lines().find(|line| line.starts_with(&format!("line {}: ", at + 1)));
            assert!(line.is_some_and(|line| line.contains(why)), "{why}: {line:?}");
        }
    }
    for args in [&["--map", "x=video"][..], &["--map", "x"], &["--notice-text", "nowhere"]] {
        assert_eq!(take.run_text("", args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(server.command(&["import", "--site", "nowhere", "x"]).status.code(), Some(2));
    server.command_ok(&["key", "list"]);
}

/// Many lines, several of the same person behind each other: every one is recorded, in its order.
#[test]
fn a_long_file_is_recorded_whole() {
    let server = TestServer::choice();
    let take = Take::over(&server);
    let people: Vec<SubjectId> = (0..400).map(|_| new_subject()).collect();
    let mut lines = Vec::new();
    for day in [3, 2, 1] {
        let (at, granted) = (days_ago(day), if day == 2 { vec![] } else { vec!["statistics"] });
        lines.extend(
            people.iter().map(|s| json!({"subject": s, "decided_at": at, "granted": granted, "notice_text": SHOWN})),
        );
    }
    let output = take.run(&lines, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((number(&output, "granting"), number(&output, "refusing"), number(&output, "stale")), (800, 400, 0));
    check_log(server.data()).unwrap();
    server.command_ok(&["notice", "list", "--site", "demo"]);
    let api = server.api();
    wait_until("the server to hear of it", || people.iter().all(|person| api.allowed(*person, "statistics")));
}
