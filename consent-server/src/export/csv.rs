//! CSV for a spreadsheet: one row for each record. It proves nothing; the JSON Lines do.

use std::borrow::Cow;
use std::io;

use consent_core::id::ChoiceId;
use consent_core::note::SigningKey;
use consent_core::record::Leaf;

use super::{CHUNK, ExportError, TimeRange, check_range, for_each};
use crate::store::{Site, Store, Stretch};

const COLUMNS: [&str; 25] = [
    "index",
    "recorded_at",
    "kind",
    "action",
    "id",
    "prev",
    "decided_at",
    "method",
    "layer",
    "control",
    "granted",
    "denied",
    "notice",
    "notice_sha256",
    "language",
    "source",
    "gpc",
    "dnt",
    "said",
    "effect",
    "clock",
    "subject",
    "actor",
    "target",
    "widget",
];

/// Writes a header row and a row for each record in the range, without the neighbours that the stretch carries for its proof.
///
/// Lists are separated by spaces; what does not apply is empty; `subject`, `actor` and `target` are the commitments of the leaf.
///
/// # Errors
/// [`ExportError`].
///
/// # Standards
/// RFC 4180.
pub fn write(
    store: &impl Store,
    site: &Site,
    _: &SigningKey,
    stretch: &Stretch,
    range: TimeRange,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), ExportError> {
    check_range(range)?;
    let mut rows =
        ::csv::WriterBuilder::new().buffer_capacity(CHUNK).terminator(::csv::Terminator::CRLF).from_writer(Out(out));
    rows.write_record(COLUMNS).map_err(io::Error::from)?;
    for_each(store, site, stretch, |entry| {
        let index = entry.index;
        let leaf = Leaf::parse(&entry.leaf).map_err(|error| ExportError::Record { index, error })?;
        let at = leaf.recorded_at;
        if range.0.is_some_and(|from| at < from) || range.1.is_some_and(|to| at >= to) {
            return Ok(());
        }
        let cells = row(index, &leaf);
        rows.write_record(cells.iter().map(|cell| safe(cell).into_owned())).map_err(io::Error::from)?;
        Ok(())
    })?;
    Ok(rows.flush()?)
}

fn row(index: u64, leaf: &Leaf) -> [String; COLUMNS.len()] {
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let list = |ids: &Option<Vec<ChoiceId>>| ids.iter().flatten().map(ChoiceId::as_str).collect::<Vec<_>>().join(" ");
    [
        index.to_string(),
        leaf.recorded_at.to_string(),
        leaf.kind.to_string(),
        text(leaf.action),
        leaf.id.to_string(),
        text(leaf.prev),
        text(leaf.decided_at),
        text(leaf.method),
        text(leaf.layer),
        text(leaf.control),
        list(&leaf.granted),
        list(&leaf.denied),
        text(leaf.notice.map(|notice| notice.version)),
        text(leaf.notice.map(|notice| notice.sha256)),
        text(leaf.language.as_ref()),
        text(leaf.source),
        text(leaf.signals.map(|signals| signals.gpc)),
        text(leaf.signals.map(|signals| signals.dnt)),
        text(leaf.signals.map(|signals| signals.said)),
        text(leaf.effect),
        text(leaf.clock),
        text(leaf.subject),
        text(leaf.actor),
        text(leaf.target),
        text(leaf.widget),
    ]
}

/// A cell that a spreadsheet takes for text. One that starts like a formula would be computed on the officer's machine.
fn safe(cell: &str) -> Cow<'_, str> {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{cell}").into() } else { cell.into() }
}

struct Out<'a>(&'a mut dyn FnMut(&[u8]) -> io::Result<()>);

impl io::Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::jsonl::tests::site_with;
    use crate::store::Signers;

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, want) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("", ""),
            ("save", "save"),
            ("2026-01-01", "2026-01-01"),
        ] {
            assert_eq!(safe(cell), want);
        }
    }

    #[test]
    fn a_row_for_each_record_in_the_range() {
        let (_folder, app, site) = site_with(5);
        let signer = app.signers.signer(site.keys().unwrap().current()).unwrap();
        let exported = |range: TimeRange| {
            let stretch = app.store.stretch(&site, range.0, range.1).unwrap();
            let mut file = Vec::new();
            write(&*app.store, &site, &signer, &stretch, range, &mut |chunk| {
                file.extend_from_slice(chunk);
                Ok(())
            })
            .unwrap();
            let mut reader = ::csv::Reader::from_reader(&file[..]);
            assert_eq!(reader.headers().unwrap(), &COLUMNS[..]);
            reader.records().collect::<Result<Vec<_>, _>>().unwrap()
        };
        let rows = exported((None, None));
        assert_eq!(rows.len(), 7);
        let cell = |row: &::csv::StringRecord, name: &str| {
            row[COLUMNS.iter().position(|column| *column == name).unwrap()].to_owned()
        };
        let (site_row, grant, refusal) = (&rows[0], &rows[2], &rows[3]);
        assert_eq!((cell(site_row, "kind").as_str(), cell(site_row, "action").as_str()), ("site", "create"));
        assert_eq!((cell(grant, "index").as_str(), cell(grant, "granted").as_str()), ("2", "statistics"));
        assert_eq!((cell(refusal, "granted").as_str(), cell(refusal, "denied").as_str()), ("", "statistics"));
        assert_eq!((cell(grant, "notice").as_str(), cell(grant, "gpc").as_str()), ("1", "false"));
        assert_eq!(cell(grant, "notice_sha256"), site.notices[0].sha256.to_string());
        for row in &rows {
            assert!(row.iter().all(|cell| matches!(safe(cell), Cow::Borrowed(_))), "{row:?}");
        }
        let at = consent_core::time::UnixMillis::parse(&cell(&rows[6], "recorded_at")).unwrap();
        let in_range = rows.iter().filter(|row| cell(row, "recorded_at") == at.to_string()).count();
        assert_eq!(exported((Some(at), None)).len(), in_range, "no neighbours");
    }
}
