//! The look of a site's banner, as far as it may be chosen: colours, place, corners, font.
//!
//! A theme names roles, not controls: accepting and refusing are drawn in the same colours, so no theme can make one of them louder.
//! What it says becomes the CSS variables `--consent-*`; the lint refuses what cannot be read.
//!
//! # Standards
//! WCAG 2.2, 1.4.3 and 1.4.11; contrast as in its definition of relative luminance.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// Where the first layer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Position {
    /// Along the lower edge.
    #[default]
    Bottom,
    /// Along the upper edge.
    Top,
    /// A box in the lower corner where lines begin.
    BottomStart,
    /// A box in the lower corner where lines end.
    BottomEnd,
}

/// Light or dark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scheme {
    /// As the person has set it.
    #[default]
    Auto,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

/// The look of a site's banner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Theme {
    /// Where the first layer is.
    pub position: Position,
    /// Light or dark.
    pub scheme: Scheme,
    /// The radius of corners, in CSS pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub radius: Option<u8>,
    /// A list of font families, as in CSS; the page must bring those that are not on the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub font: Option<String>,
    /// Colours where it is light: `#rgb` or `#rrggbb` by the name of a role in [`ROLES`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub light: BTreeMap<String, String>,
    /// Colours where it is dark.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dark: BTreeMap<String, String>,
}

/// What colours are for, with those of a site that names none: role, light, dark. The widget's style sheets say the same; a
/// test holds the two together.
pub const ROLES: [(&str, &str, &str); 7] = [
    ("surface", "#fff", "#1a2026"),
    ("text", "#1d252c", "#e7ecf0"),
    ("muted", "#55616d", "#a6b2bd"),
    ("line", "#d8dfe5", "#343e47"),
    ("edge", "#75828e", "#8492a0"),
    ("accent", "#17594a", "#84d1bb"),
    ("tint", "#eef4f1", "#25302f"),
];

/// Which two roles must differ in luminance, by which ratio, and for what.
pub const CONTRASTS: [(&str, &str, f64, &str); 5] = [
    ("text", "surface", 4.5, "the words"),
    ("muted", "surface", 4.5, "labels"),
    ("accent", "surface", 4.5, "buttons, links and the ring of the focus"),
    ("accent", "tint", 4.5, "the labels of buttons under the pointer"),
    ("edge", "surface", 3.0, "the outline of a switch"),
];

impl Theme {
    /// Whether nothing is chosen.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The colour of a role where it is light or dark.
    pub fn colour(&self, role: &str, dark: bool) -> Option<&str> {
        let own = if dark { &self.dark } else { &self.light };
        let default = || ROLES.iter().find(|(name, ..)| *name == role).map(|(_, l, d)| if dark { *d } else { *l });
        own.get(role).map(String::as_str).or_else(default)
    }

    /// The rule for a shadow root's style sheet; empty if nothing is chosen. What is not a colour or a font is left out.
    pub fn css(&self) -> String {
        let mut css = String::new();
        let mut set = |name: &str, value: &str| {
            write!(css, "--consent-{name}:{value};").expect("writing to a string");
        };
        for (role, ..) in ROLES {
            if !self.light.contains_key(role) && !self.dark.contains_key(role) {
                continue;
            }
            let [light, dark] = [false, true].map(|dark| self.colour(role, dark).filter(|c| luminance(c).is_some()));
            if let (Some(light), Some(dark)) = (light, dark) {
                set(role, &format!("light-dark({light},{dark})"));
            }
        }
        if let Some(radius) = self.radius {
            set("radius", &format!("{radius}px"));
        }
        if let Some(font) = self.font.as_deref().filter(|font| is_font(font)) {
            set("font", font);
        }
        match self.position {
            Position::Bottom => {}
            Position::Top => set("block", "12px auto"),
            Position::BottomStart => set("inline", "12px auto"),
            Position::BottomEnd => set("inline", "auto 12px"),
        }
        if matches!(self.position, Position::BottomStart | Position::BottomEnd) {
            set("width", "min(27rem,100% - 24px)");
        }
        match self.scheme {
            Scheme::Auto => {}
            Scheme::Light => set("scheme", "light"),
            Scheme::Dark => set("scheme", "dark"),
        }
        if css.is_empty() { css } else { format!(":host{{{}}}", css.trim_end_matches(';')) }
    }
}

/// Whether a text is a list of font families and nothing else.
pub fn is_font(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ,-_'\"".contains(c);
    !text.is_empty()
        && text.chars().all(plain)
        && [('"', 0), ('\'', 0)].iter().all(|(q, _)| text.matches(*q).count() % 2 == 0)
}

/// The relative luminance of `#rgb` or `#rrggbb`, 0 to 1.
pub fn luminance(colour: &str) -> Option<f64> {
    let digits = colour.strip_prefix('#')?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let channel = |at: usize| match digits.len() {
        3 => u8::from_str_radix(&digits[at..=at].repeat(2), 16).ok(),
        6 => u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok(),
        _ => None,
    };
    let linear = |at| {
        let value = f64::from(channel(at)?) / 255.0;
        Some(if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) })
    };
    Some(0.2126 * linear(0)? + 0.7152 * linear(1)? + 0.0722 * linear(2)?)
}

/// The contrast ratio of two colours, 1 to 21.
pub fn contrast(one: &str, other: &str) -> Option<f64> {
    let (one, other) = (luminance(one)?, luminance(other)?);
    Some((one.max(other) + 0.05) / (one.min(other) + 0.05))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_that_of_the_standard() {
        assert_eq!(contrast("#000", "#ffffff"), Some(21.0));
        assert_eq!(contrast("#777", "#777777"), Some(1.0));
        let grey = contrast("#767676", "#fff").unwrap();
        assert!((grey - 4.54).abs() < 0.01, "{grey}");
        for wrong in ["", "red", "#12", "#12345", "#12345g", "#é0"] {
            assert_eq!(luminance(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_default_look_can_be_read() {
        let theme = Theme::default();
        for dark in [false, true] {
            for (one, other, least, what) in CONTRASTS {
                let ratio = contrast(theme.colour(one, dark).unwrap(), theme.colour(other, dark).unwrap()).unwrap();
                assert!(ratio >= least, "{what}: {one} on {other} is {ratio:.2}, dark: {dark}");
            }
        }
    }

    #[test]
    fn the_widget_has_the_same_colours() {
        let css = concat!(
            include_str!("../../consent-wasm/css/banner.css"),
            include_str!("../../consent-wasm/css/settings.css")
        );
        for (role, light, dark) in ROLES {
            let line = format!("--consent-{role}: light-dark({light}, {dark});");
            assert!(css.contains(&line), "{line}");
        }
    }

    #[test]
    fn a_theme_is_variables_only() {
        assert_eq!(Theme::default().css(), "");
        let theme: Theme = serde_json::from_str(
            r##"{"position": "bottom-end", "scheme": "dark", "radius": 4, "font": "Georgia, serif", "light": {"accent": "#036"}, "dark": {"text": "} body{display:none"}}"##,
        )
        .unwrap();
        let want = ":host{--consent-accent:light-dark(#036,#84d1bb);--consent-radius:4px;--consent-font:Georgia, serif;\
                    --consent-inline:auto 12px;--consent-width:min(27rem,100% - 24px);--consent-scheme:dark}";
        assert_eq!(theme.css(), want);
    }
}
