//! What admins change: keys, users, webhooks, notices and settings of their sites.

pub(in crate::http) mod keys;
pub(in crate::http) mod notices;
pub(in crate::http) mod settings;
pub(in crate::http) mod users;
pub(in crate::http) mod webhooks;

use consent_core::id::SiteId;

use crate::http::answers::private;
use crate::http::caller::Staff;
use crate::http::problem::Problem;

/// The sites that a new key or user is for: those asked for, which must be the caller's, or the one that the request is about.
fn sites(staff: &Staff, asked: Option<Vec<SiteId>>) -> Result<Vec<SiteId>, Problem> {
    let mut sites = asked.unwrap_or_else(|| vec![staff.site.id.clone()]);
    sites.sort();
    sites.dedup();
    if !sites.contains(&staff.site.id) {
        return Err(Problem::refused(format!("{} must be one of the sites", staff.site.id)).at("/sites"));
    }
    match sites.iter().find(|site| !staff.sites.contains(site)) {
        Some(site) => Err(Problem::forbidden(format!("this caller has no site \"{site}\"")).at("/sites")),
        None => Ok(sites),
    }
}

/// Of the sites of a key or user: those that the caller has too, and whether there are more.
fn seen(staff: &Staff, sites: &[SiteId]) -> (Vec<SiteId>, bool) {
    let (own, other): (Vec<SiteId>, Vec<SiteId>) = sites.iter().cloned().partition(|site| staff.sites.contains(site));
    (own, !other.is_empty())
}

/// Only who has all sites of a key or user may change it.
fn owned(staff: &Staff, what: &str, sites: &[SiteId]) -> Result<(), Problem> {
    if staff.has_all(sites) {
        Ok(())
    } else {
        Err(Problem::forbidden(format!("this {what} is also for sites that this caller does not have")))
    }
}

/// A label in a list, from whoever made it.
fn label(text: &str) -> Result<(), Problem> {
    if text.chars().count() > 100 || text.chars().any(char::is_control) {
        return Err(Problem::refused("a label has at most 100 characters, on one line").at("/label"));
    }
    Ok(())
}
