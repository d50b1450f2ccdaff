//! Looks through a page for what loads before anybody has chosen, and for marks that the gate cannot act on.
//!
//! It reads the HTML as it is served and runs none of it: what a script adds later is seen by the widget's development mode
//! (`consent.js?debug`), not here. [`html`] reads, `loads` says what an element asks for, [`address`] whose machine that is, [`hosts`]
//! what is known of it, `code` looks through inline scripts, [`rules`] puts it together, `write` says what to write instead.

pub mod address;
mod code;
pub mod hosts;
pub mod html;
mod loads;
pub mod rules;
mod write;

use consent_core::lint::Severity;
use consent_core::notice::Draft;
use serde::{Deserialize, Serialize};

use address::Address;
use html::Element;

/// Something on a page that is wrong or worth a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, such as `third-party`.
    pub rule: &'static str,
    /// Whether it makes the check fail.
    pub severity: Severity,
    /// The line of the page, from 1; nothing where it is about the page as a whole.
    pub line: Option<usize>,
    /// The character of the line, from 1.
    pub column: Option<usize>,
    /// The opening tag it is about, in one line.
    pub element: Option<String>,
    /// What is wrong, in one line.
    pub what: String,
    /// Why that is wrong.
    pub why: String,
    /// What to write instead: the line, or what to do where no line says it.
    pub write: String,
}

/// The ids that a notice lists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ids {
    categories: Vec<Listed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Listed {
    id: String,
    necessary: bool,
    services: Vec<ListedService>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct ListedService {
    id: String,
}

impl Ids {
    /// The ids of a draft.
    pub fn of_draft(draft: &Draft) -> Self {
        let services = |services: &[consent_core::notice::Service]| {
            services.iter().map(|service| ListedService { id: service.id.to_string() }).collect()
        };
        let categories = draft.categories.iter().map(|category| Listed {
            id: category.id.to_string(),
            necessary: category.necessary,
            services: services(&category.services),
        });
        Self { categories: categories.collect() }
    }

    /// The ids of a notice as `GET /v1/sites/{site}/notice` answers it.
    ///
    /// # Errors
    /// Where the answer is none.
    pub fn of_answer(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    /// Every id, categories before their services.
    pub fn all(&self) -> Vec<String> {
        let mut all = Vec::new();
        for category in &self.categories {
            all.push(category.id.clone());
            all.extend(category.services.iter().map(|service| format!("{}:{}", category.id, service.id)));
        }
        all
    }

    fn category(&self, id: &str) -> Option<&Listed> {
        self.categories.iter().find(|category| category.id == id)
    }

    /// The category of `category` or `category:service`, if all of that is listed.
    fn listed(&self, id: &str) -> Option<&Listed> {
        let (name, service) = id.split_once(':').map_or((id, None), |(name, service)| (name, Some(service)));
        let category = self.category(name)?;
        service.is_none_or(|service| category.services.iter().any(|known| known.id == service)).then_some(category)
    }
}

/// `consent.js` on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widget {
    /// The id of the site.
    pub site: String,
    /// Where the site's notice is, if the page says on which host.
    pub notice: Option<Address>,
    address: Address,
}

/// A page that was read.
#[derive(Debug)]
pub struct Page {
    elements: Vec<Element>,
    /// Where it is; [`NOWHERE`] for a file that does not say.
    address: Address,
    /// What its references are relative to.
    base: Address,
}

/// The host of a page that does not say where it is. Names in `.invalid` exist nowhere (RFC 2606).
const NOWHERE: &str = "https://page.invalid/";

impl Page {
    /// Reads a page. `address` is where it is or will be served; without one, its canonical link is believed.
    pub fn read(text: &str, address: Option<&Address>) -> Self {
        let elements = html::read(text);
        let nowhere = Address::parse(NOWHERE).expect("it is an address");
        let canonical = || {
            let link = elements.iter().find(|element| {
                element.name == "link" && element.get("rel").is_some_and(|rel| rel.eq_ignore_ascii_case("canonical"))
            })?;
            Address::parse(link.get("href")?)
        };
        let address = address.cloned().or_else(canonical).unwrap_or(nowhere);
        let base = elements.iter().find(|element| element.name == "base" && element.get("href").is_some());
        let base = base.and_then(|base| Address::resolve(Some(&address), base.get("href")?));
        Self { base: base.unwrap_or_else(|| address.clone()), elements, address }
    }

    fn resolve(&self, reference: &str) -> Option<Address> {
        Address::resolve(Some(&self.base), reference)
    }

    /// Every `consent.js` on the page, with the element that loads it.
    fn widgets(&self) -> impl Iterator<Item = (&Element, Widget)> {
        self.elements.iter().filter(|element| element.name == "script").filter_map(|element| {
            let address = self.resolve(element.get("src")?)?;
            let site = address.path.strip_prefix("/v1/sites/")?.strip_suffix("/consent.js")?;
            let site = Some(site).filter(|site| !site.is_empty() && !site.contains('/'))?.to_owned();
            let notice = (address.host != "page.invalid").then(|| address.sibling(&format!("/v1/sites/{site}/notice")));
            Some((element, Widget { site, notice, address }))
        })
    }

    /// The page's `consent.js`, if it has one.
    pub fn widget(&self) -> Option<Widget> {
        self.widgets().next().map(|(_, widget)| widget)
    }

    /// What is wrong with the page, in the order of the page. Without `ids` no id is checked.
    pub fn check(&self, ids: Option<&Ids>) -> Vec<Finding> {
        rules::check(self, ids)
    }
}
