//! Platforms of others that are told what holds: which of them, and which of their words stands for which category.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A platform whose tags are told what holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// Which platform.
    pub id: String,
    /// For each of the platform's words, the category or service whose answer it takes over.
    pub map: BTreeMap<String, String>,
}
