//! What the rules need to know of a notice: which categories and services it lists, which of them can be refused, and since
//! which version an answer counts. The texts are in [`crate::notice`] (feature `evidence`).

use alloc::vec::Vec;

use crate::id::{CategoryId, ChoiceId, IdError, Name};

/// The longest time that a decision may hold, in days (13 months).
///
/// # Standards
/// `R-7-renew`: the IAB's policies remind after 13 months at the latest; longer is refused everywhere.
pub const MAX_RENEW_AFTER_DAYS: u16 = 395;

/// How long a decision holds where the site says nothing, in days (6 months, for yes and for no).
pub const DEFAULT_RENEW_AFTER_DAYS: u16 = 180;

/// One version of a notice, as far as the rules read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The number of the version, from 1.
    pub version: u32,
    /// How long a decision holds, in days; never more than [`MAX_RENEW_AFTER_DAYS`].
    pub renew_after_days: u16,
    /// The categories in the order they are shown.
    pub categories: Vec<CategoryOutline>,
}

/// One switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryOutline {
    /// Its id.
    pub id: CategoryId,
    /// It cannot be refused.
    pub necessary: bool,
    /// It reads as denied while the browser sends GPC or DNT, unless it was granted after the banner said so.
    pub signals: bool,
    /// The latest version that is material for it: answers to an older one no longer hold.
    pub since: u32,
    /// The tools in it.
    pub services: Vec<ServiceOutline>,
}

/// One tool inside a category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceOutline {
    /// Its id within the category.
    pub id: Name,
    /// The version that first listed it (or listed it again after a material change): a category grants the services that it
    /// listed when it was granted, never a later one.
    pub since: u32,
}

impl CategoryOutline {
    /// The service of this name.
    pub fn service(&self, id: &str) -> Option<&ServiceOutline> {
        self.services.iter().find(|service| service.id.as_str() == id)
    }
}

impl Outline {
    /// Starts an outline of this version with the default validity.
    pub fn builder(version: u32) -> Builder {
        Builder {
            outline: Self { version, renew_after_days: DEFAULT_RENEW_AFTER_DAYS, categories: Vec::new() },
            error: None,
        }
    }

    /// The category of this name.
    pub fn category(&self, id: &str) -> Option<&CategoryOutline> {
        self.categories.iter().find(|category| category.id.as_str() == id)
    }

    /// The categories that can be refused.
    pub fn optional(&self) -> impl Iterator<Item = &CategoryOutline> {
        self.categories.iter().filter(|category| !category.necessary)
    }

    /// The category of a choice, if this version lists both it and, where one is named, the service.
    pub fn listed(&self, choice: &ChoiceId) -> Option<&CategoryOutline> {
        let category = self.category(choice.category())?;
        match choice.service() {
            Some(service) => category.service(service).map(|_| category),
            None => Some(category),
        }
    }
}

/// Why the answer to `GET …/notice` is not one that can be judged by.
#[cfg(feature = "backend")]
#[derive(Debug)]
#[non_exhaustive]
pub enum NoticeError {
    /// It is not JSON, or a field is missing or of the wrong kind.
    Json(serde_json::Error),
    /// An id in it does not follow its grammar.
    Id(IdError),
}

#[cfg(feature = "backend")]
impl core::fmt::Display for NoticeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not a notice: {error}"),
            Self::Id(error) => write!(f, "not a notice: an id in it {error}"),
        }
    }
}

#[cfg(feature = "backend")]
impl core::error::Error for NoticeError {}

#[cfg(feature = "backend")]
mod published {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::{NoticeError, Outline};

    #[derive(serde::Deserialize)]
    struct Notice {
        version: u32,
        renew_after_days: u16,
        categories: Vec<Category>,
    }

    #[derive(serde::Deserialize)]
    struct Category {
        id: String,
        necessary: bool,
        signals: bool,
        since: u32,
        services: Vec<Service>,
    }

    #[derive(serde::Deserialize)]
    struct Service {
        id: String,
        since: u32,
    }

    impl Outline {
        /// Reads what the rules need from the answer to `GET /v1/sites/{site}/notice`, in any language.
        ///
        /// # Errors
        /// [`NoticeError`]. Nothing can be judged by such an answer, so nothing optional is granted.
        pub fn from_notice(json: &[u8]) -> Result<Self, NoticeError> {
            let notice: Notice = serde_json::from_slice(json).map_err(NoticeError::Json)?;
            let mut builder = Self::builder(notice.version).renew_after_days(notice.renew_after_days);
            for category in notice.categories {
                builder = builder.category(&category.id, category.necessary, category.signals, category.since);
                for service in category.services {
                    builder = builder.service(&service.id, service.since);
                }
            }
            builder.build().map_err(NoticeError::Id)
        }
    }
}

/// Builds an [`Outline`] from texts; the first bad id is reported at the end.
#[derive(Debug)]
pub struct Builder {
    outline: Outline,
    error: Option<IdError>,
}

impl Builder {
    /// How long a decision holds, in days; held to [`MAX_RENEW_AFTER_DAYS`].
    #[must_use]
    pub fn renew_after_days(mut self, days: u16) -> Self {
        self.outline.renew_after_days = days.min(MAX_RENEW_AFTER_DAYS);
        self
    }

    /// Adds a category that cannot be refused.
    #[must_use]
    pub fn necessary(self, id: &str) -> Self {
        let since = self.outline.version;
        self.category(id, true, false, since)
    }

    /// Adds a category that can, material since this version.
    #[must_use]
    pub fn optional(self, id: &str) -> Self {
        let since = self.outline.version;
        self.category(id, false, false, since)
    }

    /// Adds a category with everything said.
    #[must_use]
    pub fn category(mut self, id: &str, necessary: bool, signals: bool, since: u32) -> Self {
        match Name::parse(id) {
            Ok(id) => {
                self.outline.categories.push(CategoryOutline { id, necessary, signals, since, services: Vec::new() });
            }
            Err(error) => self.error = self.error.or(Some(error)),
        }
        self
    }

    /// Adds a service to the category added last.
    #[must_use]
    pub fn service(mut self, id: &str, since: u32) -> Self {
        match (Name::parse(id), self.outline.categories.last_mut()) {
            (Ok(id), Some(category)) => category.services.push(ServiceOutline { id, since }),
            _ => self.error = self.error.or(Some(IdError::Name)),
        }
        self
    }

    /// The outline.
    ///
    /// # Errors
    /// The first [`IdError`] met while building.
    pub fn build(self) -> Result<Outline, IdError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.outline),
        }
    }
}
