//! One target for each kind of input.

mod checkpoint;
mod cookie;
mod decision;
mod export;
mod notice;
mod request;
mod server;

/// An input's reader, and what must hold of it whatever it is given.
#[derive(Debug)]
pub struct Target {
    /// Its name, which is that of its corpus.
    pub name: &'static str,
    /// Tries one input and says whether it was taken for good. Panics if something does not hold that must.
    pub check: fn(&[u8]) -> bool,
    /// What the reader knows: names, values.
    pub words: &'static [&'static str],
    /// The longest input, in bytes.
    pub longest: usize,
    /// How many mutations `cargo test` tries, which is some seconds without optimizing.
    pub runs: u64,
    /// The memory that an input may take: so much, in bytes, and so many bytes for each of its own.
    memory: (usize, usize),
}

impl Target {
    /// The most memory that an input of this length may take, in bytes.
    pub fn memory(&self, length: usize) -> usize {
        self.memory.0 + self.memory.1 * length
    }
}

/// All of them.
pub static TARGETS: [&Target; 6] =
    [&cookie::TARGET, &notice::TARGET, &decision::TARGET, &request::TARGET, &export::TARGET, &checkpoint::TARGET];

/// The target of that name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
