//! The rules: what is wrong with a page, why, and what to write instead.

use consent_core::lint::Severity::{self, Error, Warning};

use super::address::Address;
use super::code;
use super::hosts::{Kind, Known, known};
use super::html::{Element, Place};
use super::loads::{runs, sources};
use super::write::{BLANK, frame_of, gated_script, one_line, own_copy, tag_with, waiting};
use super::{Finding, Ids, Page};

/// The names of the rules with what each asks, in the order of the documentation.
pub const RULES: &[(&str, &str)] = &[
    ("third-party", "Nothing is loaded from another site before a choice"),
    ("tracker-call", "No inline script calls a tracker before a choice"),
    ("stores", "No inline script stores anything before a choice"),
    ("not-refusable", "What needs a choice is not in a category that cannot be refused"),
    ("unknown-id", "Every mark names a category or service of the notice"),
    ("runs-anyway", "What is marked waits for the choice"),
    ("never-runs", "What is marked can be started"),
    ("service-alone", "A service is named together with its category"),
    ("banner", "The page has consent.js once, in a form that runs"),
];

struct Check<'a> {
    page: &'a Page,
    ids: Option<&'a Ids>,
    /// The registrable domains of the page and of the service.
    own: Vec<String>,
    found: Vec<Finding>,
}

/// Applies every rule.
pub(super) fn check(page: &Page, ids: Option<&Ids>) -> Vec<Finding> {
    let mut own = vec![page.address.site().to_owned()];
    own.extend(page.widgets().map(|(_, widget)| widget.address.site().to_owned()));
    own.sort();
    own.dedup();
    let mut check = Check { page, ids, own, found: Vec::new() };
    for element in &page.elements {
        let waits = check.marks(element);
        if !waits && element.place != Place::Template {
            check.loads(element);
            check.inline(element);
        }
    }
    check.banner();
    check.found
}

/// Something that an element loads.
struct Load<'a> {
    address: Address,
    known: Option<&'static Known>,
    what: &'a str,
}

impl Check<'_> {
    fn add(&mut self, rule: &'static str, severity: Severity, at: Option<&Element>, texts: (String, String, String)) {
        let (what, why, write) = texts;
        debug_assert!(RULES.iter().any(|(id, _)| *id == rule), "{rule} is not in the list");
        self.found.push(Finding {
            rule,
            severity,
            line: at.map(|element| element.line),
            column: at.map(|element| element.column),
            element: at.map(one_line),
            what,
            why,
            write,
        });
    }

    /// The address that a reference leads to, if that is somebody else's.
    fn stranger(&self, reference: &str) -> Option<Address> {
        let address = self.page.resolve(reference)?;
        (!self.own.iter().any(|own| own == address.site())).then_some(address)
    }

    /// The id to write for a kind of service: one that the notice has, the usual one where no notice is known.
    fn id_for(&self, kind: Option<Kind>) -> &'static str {
        let usual = kind.map_or(&[][..], Kind::usual_ids);
        let fits = |id: &&&str| self.ids.is_none_or(|ids| ids.category(id).is_some_and(|category| !category.necessary));
        usual.iter().find(fits).unwrap_or(&BLANK)
    }

    /// What to say where [`Self::id_for`] had nothing.
    fn which_ids(&self, id: &str) -> String {
        match self.ids {
            Some(ids) if id == BLANK => {
                let ids = ids.categories.iter().filter(|category| !category.necessary);
                let ids: Vec<&str> = ids.map(|category| category.id.as_str()).collect();
                if ids.is_empty() {
                    " The notice has no category that can be refused.".to_owned()
                } else {
                    format!(" The notice's categories that can be refused: {}.", ids.join(", "))
                }
            }
            _ => String::new(),
        }
    }

    /// Rules about what is marked for the gate. Whether the element waits, or was found not to.
    fn marks(&mut self, element: &Element) -> bool {
        let script = element.name == "script";
        let later = element.get("data-src");
        let can_be_marked = script || later.is_some() || element.is(MARKED);
        if !can_be_marked || matches!(element.place, Place::NoScript | Place::Frame) {
            return false;
        }
        let kind = element.kind();
        let plain = script && kind.as_deref() == Some("text/plain");
        let Some(category) = element.get("data-category") else {
            return self.unmarked(element, plain);
        };
        let id = match element.get("data-service") {
            Some(service) if !service.is_empty() => format!("{category}:{service}"),
            _ => category.to_owned(),
        };
        let live: Vec<&str> = LIVE.iter().copied().filter(|name| !script && self.is_live(element, name)).collect();
        let known_id = self.ids.is_none_or(|ids| ids.listed(&id).is_some());
        if !script && later.is_none() && !known_id {
            // A shop's own data-category on its own pictures is none of ours.
            let strange = live.iter().any(|name| element.get(name).is_some_and(|value| self.stranger(value).is_some()));
            if !strange && element.name != "iframe" {
                return false;
            }
        }
        if !known_id {
            self.unknown_id(element, &id);
        }
        let source = if script { element.get("src") } else { later };
        let stranger = source.and_then(|source| self.stranger(source));
        self.not_refusable(element, category, stranger.as_ref());
        if script {
            self.marked_script(element, kind.as_deref(), plain);
        } else if !live.is_empty() {
            let what = format!("a marked {} has a live {}", element.name, live.join(" and "));
            let why = "It loads at once, whatever is chosen; the gate looks at data-src only.".to_owned();
            let write = if element.is(UNGATED) {
                "serve it from your own host: the gate holds back scripts, frames, images, films and sounds".to_owned()
            } else {
                waiting(element, category)
            };
            self.add("runs-anyway", Error, Some(element), (what, why, write));
        } else if later.is_none() && element.name == "iframe" {
            let what = "a marked iframe has no data-src".to_owned();
            let why = "The gate has nothing to load into it.".to_owned();
            let write = "give it a data-src with the address it shall load, or take data-category away".to_owned();
            self.add("never-runs", Warning, Some(element), (what, why, write));
        }
        true
    }

    fn is_live(&self, element: &Element, name: &str) -> bool {
        let value = element.get(name).map(str::trim).unwrap_or_default();
        match name {
            "srcset" | "srcdoc" => !value.is_empty(),
            // A picture of the site's own may stand for the film.
            "poster" => self.stranger(value).is_some(),
            _ => !value.is_empty() && self.page.resolve(value).is_some(),
        }
    }

    fn unmarked(&mut self, element: &Element, plain: bool) -> bool {
        let later = element.get("data-src");
        if let Some(service) = element.get("data-service") {
            let named = self.ids.and_then(|ids| {
                let has = |category: &&super::Listed| category.services.iter().any(|known| known.id == service);
                ids.categories.iter().find(has)
            });
            let id = named.map_or(BLANK, |category| &category.id);
            let what = format!("data-service=\"{service}\" has no data-category");
            let why = format!("The gate looks for data-category and does not see this element.{}", self.which_ids(id));
            let write = tag_with(element, |(name, value)| {
                let both = name == "data-service";
                let first = both.then(|| ("data-category".to_owned(), id.to_owned()));
                first.into_iter().chain([(name.to_owned(), value.to_owned())]).collect()
            });
            self.add("service-alone", Error, Some(element), (what, why, write));
            return plain;
        }
        if plain {
            let what = "a script of type text/plain has no data-category".to_owned();
            let why =
                "The gate does not see it: it never runs. Marks of other consent tools mean nothing here.".to_owned();
            let known = element.get("src").and_then(|src| self.stranger(src)).and_then(|address| known(&address));
            let id = self.id_for(known.map(|known| known.kind));
            let write = gated_script(element, id);
            self.add("never-runs", Warning, Some(element), (what, why + &self.which_ids(id), write));
            return true;
        }
        if let Some(address) = later.and_then(|later| self.stranger(later))
            && !LIVE.iter().any(|name| self.is_live(element, name))
        {
            let known = known(&address);
            let id = self.id_for(known.map(|known| known.kind));
            let what = format!("a data-src of {} waits for no choice", address.host);
            let why = format!(
                "Without data-category the gate leaves it to whatever other script fills it.{}",
                self.which_ids(id)
            );
            self.add("third-party", Warning, Some(element), (what, why, waiting(element, id)));
        }
        false
    }

    fn unknown_id(&mut self, element: &Element, id: &str) {
        let Some(ids) = self.ids else { return };
        let all = ids.all();
        let what = format!("\"{id}\" is not in the notice");
        let why = format!("The gate never opens for it. The notice knows {}.", all.join(", "));
        let near = all.iter().map(|known| (distance(known, id), known)).filter(|(far, _)| *far <= 2).min();
        let write = match near {
            Some((_, near)) => {
                let (category, service) = near.split_once(':').map_or((near.as_str(), None), |(a, b)| (a, Some(b)));
                tag_with(element, |(name, value)| match (name, service) {
                    ("data-category", _) => vec![(name.to_owned(), category.to_owned())],
                    ("data-service", Some(service)) => vec![(name.to_owned(), service.to_owned())],
                    ("data-service", None) => vec![],
                    _ => vec![(name.to_owned(), value.to_owned())],
                })
            }
            None => "one of these ids, or add this one to the notice and publish it".to_owned(),
        };
        self.add("unknown-id", Error, Some(element), (what, why, write));
    }

    fn not_refusable(&mut self, element: &Element, category: &str, stranger: Option<&Address>) {
        let listed = self.ids.and_then(|ids| ids.category(category.split(':').next().unwrap_or_default()));
        if !listed.is_some_and(|listed| listed.necessary) {
            return;
        }
        let named = stranger.and_then(known).map(|known| (known.name, known.kind));
        let called = || code::trackers(&element.text).first().map(|tracker| (tracker.name, tracker.kind));
        let Some((name, kind)) = named.or_else(called) else { return };
        if !matches!(kind, Kind::Analytics | Kind::Advertising | Kind::Embed) {
            return;
        }
        let id = self.id_for(Some(kind));
        let what = format!("{name} is in \"{category}\", which cannot be refused");
        let why = format!("{}{}", kind.consequence(), self.which_ids(id));
        let write = tag_with(element, |(attribute, value)| match attribute {
            "data-category" => vec![(attribute.to_owned(), id.to_owned())],
            "data-service" => vec![],
            _ => vec![(attribute.to_owned(), value.to_owned())],
        });
        self.add("not-refusable", Error, Some(element), (what, why, write));
    }

    fn marked_script(&mut self, element: &Element, kind: Option<&str>, plain: bool) {
        let category = element.get("data-category").unwrap_or_default();
        if plain {
            if element.get("src").is_none() && element.get("data-src").is_some() {
                let what = "a marked script has data-src instead of src".to_owned();
                let why = "A script of type text/plain loads nothing by itself, so the gate leaves its src alone and starts it empty.";
                let write = tag_with(element, |(name, value)| {
                    let name = if name == "data-src" { "src" } else { name };
                    vec![(name.to_owned(), value.to_owned())]
                });
                self.add("never-runs", Error, Some(element), (what, why.to_owned(), write));
            }
            return;
        }
        let write = gated_script(element, category);
        if runs(kind) {
            let what = match kind {
                None | Some("") => "a marked script has no type".to_owned(),
                Some(kind) => format!("a marked script has the type {kind}"),
            };
            let why = "It runs at once, whatever is chosen; only type=\"text/plain\" keeps a browser from running it.";
            self.add("runs-anyway", Error, Some(element), (what, why.to_owned(), write));
        } else {
            let what = format!("a marked script has the type {}", kind.unwrap_or_default());
            let why = "The gate starts scripts of type text/plain only.";
            self.add("never-runs", Error, Some(element), (what, why.to_owned(), write));
        }
    }

    /// What an element loads from elsewhere by itself.
    fn loads(&mut self, element: &Element) {
        let mut loads: Vec<Load<'_>> = sources(element)
            .into_iter()
            .filter_map(|(what, reference)| {
                let address = self.stranger(&reference)?;
                let known = known(&address);
                Some(Load { address, known, what })
            })
            .collect();
        // One finding for each element: the worst.
        loads.sort_by_key(|load| std::cmp::Reverse(severity(load)));
        if let Some(load) = loads.first() {
            let texts = self.third_party(element, load);
            self.add("third-party", severity(load), Some(element), texts);
        }
    }

    fn third_party(&self, element: &Element, load: &Load<'_>) -> (String, String, String) {
        let Load { address, known, what } = load;
        let host = &address.host;
        let kind = known.map(|known| known.kind);
        let verb = if matches!(*what, "preconnect" | "dns-prefetch") { "is asked for" } else { "loads" };
        let what_is_wrong = match known {
            Some(known) => format!("{what} of {} ({host}) {verb} before a choice", known.name),
            None => format!("{what} of {host} {verb} before a choice"),
        };
        let consequence = kind.map_or(
            "This host is not in our list: find out what it does with the visitor's address, and whether it stores something.",
            Kind::consequence,
        );
        let id = self.id_for(kind);
        let mut why = consequence.to_owned();
        let file = address.path.rsplit('/').next().filter(|name| name.contains('.')).unwrap_or("file");
        let write = if element.place == Place::NoScript {
            why.push_str(" It is seen where no script runs: there nobody can be asked.");
            "take it out".to_owned()
        } else if element.place == Place::Frame {
            why.push_str(" It is in the srcdoc of a frame, where the gate does not reach.");
            why.push_str(&self.which_ids(id));
            format!("put the frame's document into a file, and mark the frame: {}", frame_of(id))
        } else if matches!(kind, Some(Kind::Payment)) {
            "leave it where people pay, and take it off other pages".to_owned()
        } else if element.name == "link" && !matches!(*what, "style sheet" | "icon" | "manifest" | "preload") {
            "take it out: what is marked connects by itself once it is granted".to_owned()
        } else if matches!(kind, Some(Kind::Font | Kind::Network)) || element.is(&["link", "style"]) {
            own_copy(element, file)
        } else if element.is(&["script"]) {
            why.push_str(&self.which_ids(id));
            gated_script(element, id)
        } else if element.is(&["iframe", "img", "video", "audio", "embed"]) {
            why.push_str(&self.which_ids(id));
            waiting(element, id)
        } else {
            format!(
                "serve it from your own host, or put it into a page of its own and mark the frame: {}",
                frame_of(id)
            )
        };
        (what_is_wrong, why, write)
    }

    /// What an inline script does.
    fn inline(&mut self, element: &Element) {
        let kind = element.kind();
        let external = ["src", "href", "xlink:href"].iter().any(|name| element.get(name).is_some());
        if element.name != "script" || external || !runs(kind.as_deref()) || element.place == Place::NoScript {
            return;
        }
        let trackers = code::trackers(&element.text);
        if let Some(first) = trackers.first() {
            let names: Vec<_> = trackers.iter().map(|tracker| tracker.name).collect();
            let id = self.id_for(Some(first.kind));
            let what = format!("an inline script calls {} before a choice", names.join(", "));
            let mut why = format!("{}{}", first.kind.consequence(), self.which_ids(id));
            if trackers.iter().any(|tracker| tracker.kind != first.kind) {
                why.push_str(" It does more than one thing: make a script of each, so that each can be refused.");
            }
            self.add("tracker-call", Error, Some(element), (what, why, gated_script(element, id)));
        } else if let Some(how) = code::stores(&element.text) {
            let what = format!("an inline script stores with {how} before a choice");
            let why = "Only what is strictly necessary for what the visitor asked for may be stored without consent (ePrivacy Directive Art. 5(3)).";
            let why = format!("{why}{}", self.which_ids(BLANK));
            self.add("stores", Warning, Some(element), (what, why, gated_script(element, BLANK)));
        }
    }

    fn banner(&mut self) {
        let page = self.page;
        let widgets: Vec<_> = page.widgets().filter(|(element, _)| element.place == Place::Live).collect();
        for (at, (element, _)) in widgets.iter().enumerate() {
            let kind = element.kind();
            let write = tag_with(element, |(name, value)| match name {
                "type" | "data-category" | "data-service" => vec![],
                _ => vec![(name.to_owned(), value.to_owned())],
            });
            if at > 0 {
                let what = "consent.js is there twice".to_owned();
                let why = "The second one does nothing but load.".to_owned();
                self.add("banner", Warning, Some(element), (what, why, "take it out".to_owned()));
            } else if kind.as_deref() == Some("module") {
                let what = "consent.js is loaded as a module".to_owned();
                let why = "A module does not know its own address, and so not where the service is.".to_owned();
                self.add("banner", Error, Some(element), (what, why, write));
            } else if !runs(kind.as_deref()) || element.get("data-category").is_some() {
                let what = "consent.js waits for a choice that only it can ask for".to_owned();
                let why = "It must run by itself.".to_owned();
                self.add("banner", Error, Some(element), (what, why, write));
            }
        }
        if widgets.is_empty() {
            // A page that is only shown inside of others, say, has nothing to ask.
            let marked = page.elements.iter().any(|element| {
                element.get("data-category").is_some()
                    && (element.get("data-src").is_some() || element.name == "script")
            });
            let severity =
                if marked || self.found.iter().any(|finding| finding.severity == Error) { Error } else { Warning };
            let why = if severity == Error {
                "Nobody is asked here, and what is marked never runs."
            } else {
                "Nothing on this page asks, and nothing was found that would have to. Visitors cannot open their settings here either."
            };
            let write = format!("<script async src=\"https://{BLANK}/v1/sites/{BLANK}/consent.js\"></script>");
            self.add("banner", severity, None, ("consent.js is missing".to_owned(), why.to_owned(), write));
        }
    }
}

fn severity(load: &Load<'_>) -> Severity {
    if load.known.is_some_and(|known| known.kind.needs_choice()) { Error } else { Warning }
}

/// What may have a mark, beside scripts and what has a data-src.
const MARKED: &[&str] = &["iframe", "img", "video", "audio", "embed", "object", "frame", "source", "track", "link"];

/// Of these, what the gate cannot hold back: putting a src on it makes it load nothing.
const UNGATED: &[&str] = &["object", "source", "track", "link"];

/// The attributes of an element that make it load.
const LIVE: &[&str] = &["src", "srcset", "srcdoc", "data", "poster", "href"];

/// How many characters have to be put in, taken out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a page has found in it, behind a head with consent.js. Lines count from the body.
    fn found(body: &str) -> Vec<Finding> {
        let ids = br#"{"categories": [
            {"id": "functional", "necessary": true, "services": [{"id": "text-size"}]},
            {"id": "statistics", "necessary": false, "services": [{"id": "page-counter"}]},
            {"id": "marketing", "necessary": false, "services": []}
        ]}"#;
        let ids = Ids::of_answer(ids).unwrap();
        page(
            &format!(
                "<!doctype html><script async src=\"https://consent.other.example/v1/sites/shop/consent.js\"></script>{body}"
            ),
            Some(&ids),
        )
    }

    fn page(text: &str, ids: Option<&Ids>) -> Vec<Finding> {
        let address = Address::parse("https://www.shop.example/a/page.html").unwrap();
        Page::read(text, Some(&address)).check(ids)
    }

    fn short(findings: &[Finding]) -> Vec<(&str, Severity, &str)> {
        findings.iter().map(|finding| (finding.rule, finding.severity, finding.write.as_str())).collect()
    }

    /// What it is, the body, and what is found in it.
    const FAULTS: &[(&str, &str, (&str, Severity, &str))] = &[
        (
            "a tracker",
            r#"<script async src="https://www.googletagmanager.com/gtag/js?id=G-1&amp;l=d"></script>"#,
            (
                "third-party",
                Error,
                r#"<script type="text/plain" data-category="statistics" async src="https://www.googletagmanager.com/gtag/js?id=G-1&amp;l=d"></script>"#,
            ),
        ),
        (
            "a module",
            r#"<script type="module" src="//static.hotjar.com/x.js"></script>"#,
            (
                "third-party",
                Error,
                r#"<script type="text/plain" data-category="statistics" data-type="module" src="//static.hotjar.com/x.js"></script>"#,
            ),
        ),
        (
            "a frame, of a kind that the notice has no category for",
            r#"<iframe title="A film" src="https://www.youtube-nocookie.com/embed/1" allowfullscreen></iframe>"#,
            (
                "third-party",
                Error,
                r#"<iframe data-category="…" title="A film" data-src="https://www.youtube-nocookie.com/embed/1" allowfullscreen></iframe>"#,
            ),
        ),
        (
            "a pixel",
            r#"<img alt="" src="https://www.facebook.com/tr?id=1">"#,
            (
                "third-party",
                Error,
                r#"<img data-category="marketing" alt="" data-src="https://www.facebook.com/tr?id=1">"#,
            ),
        ),
        (
            "a picture by its srcset",
            r#"<img alt="" src="/own.png" srcset="/own.png 1x, https://i.ytimg.com/a,b.png 2x">"#,
            ("third-party", Error, r#"<img data-category="…" alt="" data-src="/own.png">"#),
        ),
        (
            "typefaces",
            r#"<link rel="stylesheet" href="https://fonts.googleapis.com/css2?family=Inter">"#,
            ("third-party", Error, r#"<link rel="stylesheet" href="/fonts.css"> (a copy on your own host)"#),
        ),
        (
            "a connection ahead of time",
            r#"<link rel="preconnect" href="https://fonts.gstatic.com" crossorigin>"#,
            ("third-party", Error, "take it out: what is marked connects by itself once it is granted"),
        ),
        (
            "a name looked up",
            r#"<link rel="DNS-Prefetch" href="//www.google-analytics.com">"#,
            ("third-party", Error, "take it out: what is marked connects by itself once it is granted"),
        ),
        (
            "a font ahead of time",
            r#"<link rel=preload as=font href="https://use.typekit.net/af/1.woff2">"#,
            ("third-party", Error, "keep a copy on your own host, and name that"),
        ),
        (
            "a content network",
            r#"<script src="https://cdn.jsdelivr.net/npm/vue@3/dist/vue.global.js" crossorigin defer></script>"#,
            ("third-party", Error, r#"<script src="/vue.global.js" defer></script> (a copy on your own host)"#),
        ),
        (
            "a sheet that imports",
            r#"<style>@import "https://fonts.googleapis.com/css?family=A";</style>"#,
            ("third-party", Error, "keep a copy on your own host, and name that"),
        ),
        (
            "a sheet with a url",
            "<style>a{background:URL( 'https://i.ytimg.com/1.png' )}</style>",
            ("third-party", Error, "keep a copy on your own host, and name that"),
        ),
        (
            "an attribute with a url",
            r#"<p style="background:url(https://i.ytimg.com/1.png)">"#,
            (
                "third-party",
                Error,
                r#"serve it from your own host, or put it into a page of its own and mark the frame: <iframe data-category="…" data-src="…" title="…"></iframe>"#,
            ),
        ),
        (
            "a film",
            r#"<video src="https://player.vimeo.com/1.mp4"></video>"#,
            ("third-party", Error, r#"<video data-category="…" data-src="https://player.vimeo.com/1.mp4">"#),
        ),
        (
            "a sound",
            r#"<audio src="https://cdn.podigee.com/1.mp3"></audio>"#,
            ("third-party", Error, r#"<audio data-category="…" data-src="https://cdn.podigee.com/1.mp3">"#),
        ),
        (
            "an embed",
            r#"<embed src="https://w.soundcloud.com/player">"#,
            ("third-party", Error, r#"<embed data-category="…" data-src="https://w.soundcloud.com/player">"#),
        ),
        (
            "an object",
            r#"<object data="https://www.youtube.com/v/1"></object>"#,
            (
                "third-party",
                Error,
                r#"serve it from your own host, or put it into a page of its own and mark the frame: <iframe data-category="…" data-src="…" title="…"></iframe>"#,
            ),
        ),
        (
            "an SVG's script",
            r#"<svg><script href="https://connect.facebook.net/sdk.js"></script></svg>"#,
            (
                "third-party",
                Error,
                r#"<script type="text/plain" data-category="marketing" href="https://connect.facebook.net/sdk.js"></script>"#,
            ),
        ),
        (
            "a pixel for browsers without scripts",
            r#"<noscript><img src="https://www.facebook.com/tr?id=1"></noscript>"#,
            ("third-party", Error, "take it out"),
        ),
        (
            "in a frame's own document",
            r#"<iframe srcdoc="<script src='https://plausible.io/js/script.js'></script>"></iframe>"#,
            (
                "third-party",
                Error,
                r#"put the frame's document into a file, and mark the frame: <iframe data-category="statistics" data-src="…" title="…"></iframe>"#,
            ),
        ),
        (
            "a payment",
            r#"<script src="https://js.stripe.com/v3/"></script>"#,
            ("third-party", Warning, "leave it where people pay, and take it off other pages"),
        ),
        (
            "a stranger",
            r#"<script src="https://widget.unheard.example/a.js"></script>"#,
            (
                "third-party",
                Warning,
                r#"<script type="text/plain" data-category="…" src="https://widget.unheard.example/a.js"></script>"#,
            ),
        ),
        (
            "a stranger for another loader",
            r#"<img data-src="https://img.unheard.example/a.png" class="lazy">"#,
            (
                "third-party",
                Warning,
                r#"<img data-category="…" data-src="https://img.unheard.example/a.png" class="lazy">"#,
            ),
        ),
        (
            "an inline tracker",
            "<script>fbq('init', '1')</script>",
            ("tracker-call", Error, r#"<script type="text/plain" data-category="marketing">"#),
        ),
        (
            "an inline tracker with a nonce",
            "<script nonce=x>gtag('config', 'G-1')</script>",
            ("tracker-call", Error, r#"<script type="text/plain" data-category="statistics" nonce="x">"#),
        ),
        (
            "a cookie",
            "<script>document.cookie = 'a=1'</script>",
            ("stores", Warning, r#"<script type="text/plain" data-category="…">"#),
        ),
        (
            "a tracker that nobody can refuse",
            r#"<script type="text/plain" data-category="functional" data-service="text-size" src="https://static.hotjar.com/x.js"></script>"#,
            (
                "not-refusable",
                Error,
                r#"<script type="text/plain" data-category="statistics" src="https://static.hotjar.com/x.js"></script>"#,
            ),
        ),
        (
            "a slip of the pen",
            r#"<script type="text/plain" data-category="statistic" src="/a.js"></script>"#,
            ("unknown-id", Error, r#"<script type="text/plain" data-category="statistics" src="/a.js"></script>"#),
        ),
        (
            "a category that there is not",
            r#"<iframe data-category="video" data-src="https://player.vimeo.com/1"></iframe>"#,
            ("unknown-id", Error, "one of these ids, or add this one to the notice and publish it"),
        ),
        (
            "a service that there is not",
            r#"<img data-category="statistics" data-service="page-counters" data-src="/a.png">"#,
            ("unknown-id", Error, r#"<img data-category="statistics" data-service="page-counter" data-src="/a.png">"#),
        ),
        (
            "no category",
            r#"<script type="text/plain" data-category="" src="/a.js"></script>"#,
            ("unknown-id", Error, "one of these ids, or add this one to the notice and publish it"),
        ),
        (
            "in a template",
            r#"<template><script type="text/plain" data-category="x" src="/a.js"></script></template>"#,
            ("unknown-id", Error, "one of these ids, or add this one to the notice and publish it"),
        ),
        (
            "a script that runs all the same",
            r#"<script type="text/javascript" data-category="statistics" src="/a.js"></script>"#,
            ("runs-anyway", Error, r#"<script type="text/plain" data-category="statistics" src="/a.js"></script>"#),
        ),
        (
            "a script without a type",
            r#"<script data-category="statistics">go()</script>"#,
            ("runs-anyway", Error, r#"<script type="text/plain" data-category="statistics">"#),
        ),
        (
            "a frame that loads all the same",
            r#"<iframe data-category="marketing" src="https://player.vimeo.com/1"></iframe>"#,
            (
                "runs-anyway",
                Error,
                r#"<iframe data-category="marketing" data-src="https://player.vimeo.com/1"></iframe>"#,
            ),
        ),
        (
            "a picture with both",
            r#"<img data-category="marketing" src="/a.png" data-src="/b.png">"#,
            ("runs-anyway", Error, r#"<img data-category="marketing" data-src="/b.png">"#),
        ),
        (
            "a script of another type",
            r#"<script type="text/x-wait" data-category="statistics" src="/a.js"></script>"#,
            ("never-runs", Error, r#"<script type="text/plain" data-category="statistics" src="/a.js"></script>"#),
        ),
        (
            "a script with data-src",
            r#"<script type="text/plain" data-category="statistics" data-src="/a.js"></script>"#,
            ("never-runs", Error, r#"<script type="text/plain" data-category="statistics" src="/a.js"></script>"#),
        ),
        (
            "a frame with nothing to load",
            r#"<iframe data-category="statistics"></iframe>"#,
            ("never-runs", Warning, "give it a data-src with the address it shall load, or take data-category away"),
        ),
        (
            "another tool's mark",
            r#"<script type="text/plain" data-cookieconsent="statistics" src="https://www.google-analytics.com/analytics.js"></script>"#,
            (
                "never-runs",
                Warning,
                r#"<script type="text/plain" data-category="statistics" data-cookieconsent="statistics" src="https://www.google-analytics.com/analytics.js"></script>"#,
            ),
        ),
        (
            "a service alone",
            r#"<script type="text/plain" data-service="page-counter" src="/a.js"></script>"#,
            (
                "service-alone",
                Error,
                r#"<script type="text/plain" data-category="statistics" data-service="page-counter" src="/a.js"></script>"#,
            ),
        ),
        (
            "consent.js again",
            r#"<script src="https://consent.other.example/v1/sites/shop/consent.js?lang=de"></script>"#,
            ("banner", Warning, "take it out"),
        ),
    ];

    #[test]
    fn each_fault_is_named_with_what_to_write_instead() {
        for (name, body, want) in FAULTS {
            assert_eq!(short(&found(body)), [*want], "{name}");
        }
    }

    #[test]
    fn what_is_well_is_left_alone() {
        for body in [
            r#"<script src="/a.js"></script><script src="https://cdn.shop.example/a.js"></script><img src="https://consent.other.example/a.png">"#,
            r#"<script type="text/plain" data-category="statistics" data-service="page-counter" src="https://plausible.io/js/script.js"></script>"#,
            r#"<script type="text/plain" data-category="statistics:page-counter" src="/a.js"></script>"#,
            r#"<script type="text/plain" data-category="statistics">gtag('config', 'G-1')</script>"#,
            r#"<iframe data-category="marketing" data-src="https://player.vimeo.com/1" src="about:blank"></iframe>"#,
            r#"<script type="text/plain" data-category="functional" src="https://js.stripe.com/v3/"></script>"#,
            r#"<video data-category="marketing" data-src="https://player.vimeo.com/1.mp4" poster="/still.jpg"></video>"#,
            r#"<script type="application/ld+json">{"sameAs": "https://www.facebook.com/shop"}</script>"#,
            r#"<script type="text/template" src="https://www.google-analytics.com/a.js"></script>"#,
            r#"<a href="https://www.facebook.com/shop">Facebook</a><form action="https://www.paypal.com/pay"></form>"#,
            r#"<link rel="canonical" href="https://other.example/"><link rel="alternate" href="https://other.example/rss">"#,
            r#"<template><script src="https://www.google-analytics.com/a.js"></script></template>"#,
            r#"<!-- <script src="https://www.google-analytics.com/a.js"></script> -->"#,
            r#"<img src="data:image/png;base64,AA=="><img srcset="/a.png 1x, /b.png 2x">"#,
            r#"<div data-category="shoes" data-service="x">Shoes</div><img data-category="shoes" src="/shoes.jpg">"#,
            "<style>/* @import 'https://fonts.googleapis.com/css' */ a { background: url(/a.png) }</style>",
            "<script>dataLayer = []; function gtag() { dataLayer.push(arguments) } gtag('consent', 'default', { ad_storage: 'denied' })</script>",
        ] {
            assert_eq!(found(body), [], "{body}");
        }
    }

    #[test]
    fn a_base_moves_relative_addresses() {
        let findings = found(r#"<base href="https://www.google-analytics.com/"><script src="analytics.js"></script>"#);
        assert_eq!(short(&findings)[0].0, "third-party");
    }

    #[test]
    fn ids_are_not_checked_where_no_notice_is_known() {
        let body = r#"<script async src="/v1/sites/shop/consent.js"></script>
            <script type="text/plain" data-category="anything" src="/a.js"></script>"#;
        assert_eq!(page(body, None), []);
        let tracker = r#"<script async src="/v1/sites/shop/consent.js"></script><iframe src="https://www.youtube.com/embed/1"></iframe>"#;
        assert_eq!(
            page(tracker, None)[0].write,
            r#"<iframe data-category="embeds" data-src="https://www.youtube.com/embed/1"></iframe>"#
        );
    }

    #[test]
    fn a_page_needs_consent_js_where_there_is_something_to_ask() {
        for (name, text, want) in [
            ("nothing to ask", "<p>Hello", vec![("banner", Warning)]),
            (
                "something marked",
                r#"<script type="text/plain" data-category="statistics" src="/a.js"></script>"#,
                vec![("banner", Error)],
            ),
            (
                "something loaded",
                r#"<iframe src="https://www.youtube.com/embed/1"></iframe>"#,
                vec![("third-party", Error), ("banner", Error)],
            ),
            (
                "as a module",
                r#"<script type="module" src="/v1/sites/shop/consent.js"></script>"#,
                vec![("banner", Error)],
            ),
            (
                "behind itself",
                r#"<script type="text/plain" data-category="statistics" src="/v1/sites/shop/consent.js"></script>"#,
                vec![("banner", Error)],
            ),
            ("another path", r#"<script src="/consent.js"></script>"#, vec![("banner", Warning)]),
        ] {
            let found: Vec<_> = page(text, None).into_iter().map(|finding| (finding.rule, finding.severity)).collect();
            assert_eq!(found, want, "{name}");
        }
    }

    #[test]
    fn a_file_is_where_its_canonical_link_says() {
        let text = r#"<link rel="canonical" href="https://www.shop.example/"><script src="https://cdn.shop.example/a.js"></script>"#;
        assert_eq!(Page::read(text, None).check(None).len(), 1, "only the banner");
        let text = text.replace("canonical", "x");
        assert_eq!(Page::read(&text, None).check(None).len(), 2);
        let widget = Page::read(r#"<script src="/v1/sites/shop/consent.js"></script>"#, None).widget().unwrap();
        assert_eq!((widget.site.as_str(), widget.notice), ("shop", None));
    }

    #[test]
    fn findings_say_where_and_list_what_is_known() {
        let [finding] = &found("\n<p>\n  <script type='text/plain'\n data-category='x' src='/a.js'></script>")[..]
        else {
            panic!("one finding")
        };
        assert_eq!((finding.line, finding.column), (Some(3), Some(3)));
        assert_eq!(finding.element.as_deref(), Some("<script type='text/plain' data-category='x' src='/a.js'>"));
        let all = "functional, functional:text-size, statistics, statistics:page-counter, marketing";
        assert!(finding.why.contains(all), "{}", finding.why);
    }
}
