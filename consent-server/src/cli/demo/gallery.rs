//! The gallery of the demo: the first layer and the settings in many looks and languages, drawn by the banner's own renderer.

use std::fmt::Write;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use consent_core::id::Language;
use consent_core::notice::{Notice, Preset};
use consent_core::render::{self, Hidden, Standing};
use consent_core::theme::{Position, Scheme, Theme};

use crate::widget;

/// One picture: its name in the address, what it shows in words, how the notice differs, and in which language.
struct Variant {
    name: &'static str,
    title: &'static str,
    preset: Preset,
    language: &'static str,
    theme: fn(&mut Theme),
    settings: bool,
}

const fn layer(name: &'static str, title: &'static str, preset: Preset, language: &'static str) -> Variant {
    Variant { name, title, preset, language, theme: |_| (), settings: false }
}

const fn themed(name: &'static str, title: &'static str, theme: fn(&mut Theme)) -> Variant {
    Variant { name, title, preset: Preset::Choice, language: "en", theme, settings: false }
}

/// Colours of a theme, light then dark, by role.
fn paint(theme: &mut Theme, colours: &[(&str, &str, &str)]) {
    for (role, light, dark) in colours {
        theme.light.insert((*role).to_owned(), (*light).to_owned());
        theme.dark.insert((*role).to_owned(), (*dark).to_owned());
    }
}

const VARIANTS: &[Variant] = &[
    layer("notice", "Preset “notice”", Preset::Notice, "en"),
    layer("choice", "Preset “choice”", Preset::Choice, "en"),
    layer("german", "German", Preset::Choice, "de"),
    layer("greek", "Greek", Preset::Choice, "el"),
    layer("arabic", "Arabic, from right to left", Preset::Choice, "ar"),
    layer("finnish", "Finnish, preset “notice”", Preset::Notice, "fi"),
    themed("top", "Position “top”", |theme| theme.position = Position::Top),
    themed("start", "Position “bottom-start”", |theme| theme.position = Position::BottomStart),
    themed("end", "Position “bottom-end”", |theme| theme.position = Position::BottomEnd),
    themed("dark", "Scheme “dark”", |theme| theme.scheme = Scheme::Dark),
    themed("ink", "A theme: ink, square, serif", |theme| {
        theme.radius = Some(0);
        theme.font = Some("Georgia, serif".to_owned());
        paint(theme, &[("accent", "#1a1a1a", "#f2f2f2"), ("tint", "#ededed", "#333333")]);
    }),
    themed("plum", "A theme: plum", |theme| {
        theme.radius = Some(24);
        paint(
            theme,
            &[("accent", "#6b2454", "#e8a9d3"), ("tint", "#f9eef5", "#3a2433"), ("surface", "#fffafd", "#221820")],
        );
    }),
    Variant {
        name: "settings",
        title: "The settings, as a page without scripts",
        preset: Preset::Choice,
        language: "en",
        theme: |_| (),
        settings: true,
    },
    Variant {
        name: "settings-arabic",
        title: "The settings in Arabic",
        preset: Preset::Choice,
        language: "ar",
        theme: |_| (),
        settings: true,
    },
];

pub(super) fn router() -> Router {
    Router::new()
        .route("/gallery", get(|| async { page(index()) }))
        .route("/gallery/{name}", get(|Path(name): Path<String>| async move { variant(&name) }))
}

/// Their own style, which is the banner's and a theme's, stands in the pages themselves; nothing else may.
fn page(html: anyhow::Result<String>) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; frame-src 'self'; \
                          frame-ancestors 'self'; base-uri 'none'";
    let mut response = match html {
        Ok(html) => Html(html).into_response(),
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn index() -> anyhow::Result<String> {
    let mut html = String::from(
        "<main><h1>The banner in many looks</h1><p>Each picture is drawn by the renderer that draws the banner; the \
         buttons do nothing here. <a href=\"/\">Back to the journal</a></p><div class=\"pictures\">",
    );
    for variant in VARIANTS {
        let Variant { name, title, .. } = variant;
        write!(
            html,
            "<figure><iframe src=\"/gallery/{name}\" title=\"{title}\" loading=\"lazy\"></iframe>\
             <figcaption><a href=\"/gallery/{name}\">{title}</a></figcaption></figure>"
        )
        .expect("writing to a string");
    }
    html.push_str("</div></main>");
    let english = Language::parse("en")?;
    Ok(render::page(&english, "Gallery · Example Gardens", &["/site.css", "/gallery.css"], &html))
}

fn variant(name: &str) -> Response {
    let Some(variant) = VARIANTS.iter().find(|variant| variant.name == name) else {
        return (StatusCode::NOT_FOUND, "There is no such picture.\n").into_response();
    };
    page(draw(variant))
}

fn draw(variant: &Variant) -> anyhow::Result<String> {
    let notice = notice(variant)?;
    let shown = notice.for_language(&Language::parse(variant.language)?);
    let theme = notice.theme().css();
    let sheets: &[&str] = if variant.settings { &["banner.css", "page.css", "settings.css"] } else { &["banner.css"] };
    let style = widget::style(sheets, &theme, false, None);
    let body = if variant.settings {
        let main = render::settings_page(&shown, &Standing::default(), "/gallery", &Hidden::default(), "/gallery");
        render::in_shadow(&style, &main)
    } else {
        render::banner_html(&shown, &style, false, None)
    };
    Ok(render::page(shown.language, variant.title, &["/gallery.css"], &body))
}

fn notice(variant: &Variant) -> anyhow::Result<Notice> {
    let mut draft = crate::draft::parse(include_str!("../../../notices/gallery.toml"), false)?;
    draft.preset = variant.preset;
    (variant.theme)(&mut draft.theme);
    Ok(draft.publish(None, &[], false)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_can_be_drawn() {
        assert!(index().unwrap().contains("<iframe"));
        for variant in VARIANTS {
            let html = draw(variant).unwrap_or_else(|error| panic!("{}: {error:#}", variant.name));
            assert!(html.contains(if variant.settings { "<form" } else { "data-consent-action=\"settings\"" }));
        }
    }
}
