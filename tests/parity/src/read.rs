//! The encoding of a case, read strictly.
//!
//! Numbers are big-endian; `list` is a byte with the count and then the items; `text` is two bytes with the length and then UTF-8.
//!
//! ```text
//! case     = list<version> list<step> list<question> list<cookie>
//! version  = number:u32 renew_after_days:u16 list<category>
//! category = id:text flags:u8 (1 necessary, 2 signals) since:u32 list<service>
//! service  = id:text since:u32
//! step     = id:16 bytes, prev:u8 (0 none, 1 and 16 bytes, 2 the latest record)
//!            method:u8 layer:u8 list<text>:granted version:u8 (an index)
//!            decided_at:i64 recorded_at:i64 (both unix milliseconds) flags:u8 (1 said, 2 gpc, 4 dnt, 8 on behalf)
//! question = version:u8 (an index) now:i64 signal:u8 subject:16 bytes list<text>:ids
//! cookie   = header:text name:text value:text version:u8 (an index) now:i64 signal:u8
//! ```

/// The case is not encoded as it must be: nothing is read after this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) usize);

/// Reads a case from its beginning to its end.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..len)).ok_or(Malformed(self.at))?;
        self.at += len;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| Malformed(at))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let len = self.u16()?;
        let at = self.at;
        core::str::from_utf8(self.take(usize::from(len))?).map_err(|_| Malformed(at))
    }

    /// A list: `item` is called once for each.
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.u8()?;
        (0..count).map(|_| item(self)).collect()
    }

    /// The end, and nothing after it.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(Malformed(self.at)) }
    }
}
