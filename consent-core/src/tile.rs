//! Tiles: the tree cut into files of 256 hashes, from which anybody can compute any proof.
//!
//! ```
//! use consent_core::tile::Tile;
//!
//! let tile = Tile::parse_path("0", "x001/234.p/17").expect("a strict path");
//! assert_eq!(tile, Tile { level: 0, index: 1234, width: 17 });
//! assert_eq!(tile.path(), "tile/0/x001/234.p/17");
//! ```
//!
//! # Standards
//! C2SP tlog-tiles.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::checkpoint::parse_decimal;
use crate::merkle::{Hash, node_hash};

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Tree levels in one tile: 2^8 hashes.
const TILE_HEIGHT: u8 = 8;

/// The highest level that a path may name.
const MAX_LEVEL: u8 = 63;

/// The longest entry that a bundle can hold, in bytes.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// Why entries do not make a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The length prefix has 16 bits.
    #[error("an entry of {length} bytes is too long for a bundle: the limit is 65535")]
    EntryTooLong {
        /// Bytes in the entry.
        length: usize,
    },
}

/// The coordinates of a tile. Hash `i` of it is the node of tree level `8 * level` and index `256 * index + i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    /// 0 for leaf hashes; each level is 8 levels of the tree.
    pub level: u8,
    /// Position within the level, from 0.
    pub index: u64,
    /// Hashes in the tile: 1 to 256. Below 256 the tile is partial.
    pub width: u16,
}

impl Tile {
    /// The path of the tile below the log's prefix, such as `tile/0/x001/234.p/17`.
    ///
    /// # Standards
    /// C2SP tlog-tiles, "Merkle Tree".
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, index_path(self.index, self.width))
    }

    /// Reads the two parts of a path after `tile/`: the level, and the index with the width, such as `x001/234.p/17`.
    ///
    /// Each tile has one spelling; `None` for any other.
    pub fn parse_path(level: &str, rest: &str) -> Option<Self> {
        let level = u8::try_from(parse_decimal(level)?).ok().filter(|&level| level <= MAX_LEVEL)?;
        let (index, width) = parse_index_path(rest)?;
        Some(Self { level, index, width })
    }

    /// The tile at these coordinates as it is in a tree of `size` leaves, full or partial; `None` if it would be empty.
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let start = index.checked_mul(u64::from(TILE_WIDTH))?;
        let hashes = hashes_at(level, size).checked_sub(start).filter(|&hashes| hashes > 0)?;
        let width = u16::try_from(hashes).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
        Some(Self { level, index, width })
    }

    /// Whether a tree of `size` leaves has all hashes of this tile. It then need not be the widest one of its coordinates.
    pub fn is_in_tree(&self, size: u64) -> bool {
        self.width > 0 && Self::in_tree(self.level, self.index, size).is_some_and(|widest| self.width <= widest.width)
    }

    /// The nodes of the tree that the tile holds, as their level and the range of their indexes; `None` if no tree of at most
    /// `u64::MAX` leaves has them.
    pub fn nodes(&self) -> Option<(u8, Range<u64>)> {
        if !self.is_in_tree(u64::MAX) {
            return None;
        }
        let start = self.index * u64::from(TILE_WIDTH);
        Some((self.level * TILE_HEIGHT, start..start + u64::from(self.width)))
    }
}

/// Where a node of the tree is found: in which tile, and where in it, as [`node_in`] wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The widest tile of its coordinates in the tree.
    pub tile: Tile,
    /// Levels above the hashes of the tile: 0 to 7.
    pub sub_level: u8,
    /// Position among the tile's nodes of that level.
    pub index_in_tile: usize,
}

impl Place {
    /// The place of node (`level`, `index`) in a tree of `size` leaves; `None` if that tree has no such complete subtree.
    ///
    /// ```
    /// # use consent_core::tile::{Place, Tile};
    /// let place = Place::of(9, 1, 70_000).expect("leaves 512 to 1023 are in the tree");
    /// assert_eq!(place.tile, Tile { level: 1, index: 0, width: 256 });
    /// assert_eq!((place.sub_level, place.index_in_tile), (1, 1));
    /// ```
    pub fn of(level: u8, index: u64, size: u64) -> Option<Self> {
        if level > 63 || index >= size >> level {
            return None;
        }
        let sub_level = level % TILE_HEIGHT;
        let per_tile = u64::from(TILE_WIDTH >> sub_level);
        let tile = Tile::in_tree(level / TILE_HEIGHT, index / per_tile, size)?;
        let index_in_tile = usize::try_from(index % per_tile).expect("below 256");
        Some(Self { tile, sub_level, index_in_tile })
    }
}

/// The hash of a node from the hashes of its tile, full or partial: `sub_level` (0 to 7) levels above them, at that position.
///
/// `None` if the tile does not hold the whole subtree.
pub fn node_in(tile_hashes: &[Hash], sub_level: u8, index_in_tile: usize) -> Option<Hash> {
    if sub_level >= TILE_HEIGHT {
        return None;
    }
    let width = 1_usize << sub_level;
    let start = index_in_tile.checked_mul(width)?;
    tile_hashes.get(start..start.checked_add(width)?).map(complete_root)
}

/// The root over 2^n hashes.
fn complete_root(hashes: &[Hash]) -> Hash {
    if let [hash] = hashes {
        return *hash;
    }
    let (left, right) = hashes.split_at(hashes.len() / 2);
    node_hash(&complete_root(left), &complete_root(right))
}

/// The tiles of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileLevel {
    /// The level, from 0.
    pub level: u8,
    /// Full tiles; their indexes are `0..full`.
    pub full: u64,
    /// Hashes in the partial tile, whose index is `full`; 0 if there is none.
    pub partial: u16,
}

impl TileLevel {
    /// The tiles of this level in order, the partial one last.
    pub fn tiles(self) -> impl Iterator<Item = Tile> {
        let full = (0..self.full).map(move |index| Tile { level: self.level, index, width: TILE_WIDTH });
        let partial = Tile { level: self.level, index: self.full, width: self.partial };
        full.chain((self.partial > 0).then_some(partial))
    }
}

/// The tiles of a tree of `size` leaves, level by level from the leaves. At most 8 levels; none for the empty tree.
///
/// # Standards
/// C2SP tlog-tiles, "Partial Tiles".
pub fn tiles_for(size: u64) -> impl Iterator<Item = TileLevel> {
    let width = u64::from(TILE_WIDTH);
    (0..).map(move |level| (level, hashes_at(level, size))).take_while(|&(_, hashes)| hashes > 0).map(
        move |(level, hashes)| TileLevel {
            level,
            full: hashes / width,
            partial: u16::try_from(hashes % width).expect("below 256"),
        },
    )
}

/// Hashes that the tiles of a level hold together.
fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0)
}

/// The bytes of a tile: its hashes one after the other.
pub fn to_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a tile from its bytes; `None` unless they are 1 to 256 whole hashes.
pub fn from_bytes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks();
    let valid = rest.is_empty() && (1..=usize::from(TILE_WIDTH)).contains(&hashes.len());
    valid.then(|| hashes.iter().copied().map(Hash).collect())
}

/// The path of an entry bundle below the log's prefix, such as `tile/entries/001.p/44`: `width` is 1 to 256.
pub fn bundle_path(index: u64, width: u16) -> String {
    format!("tile/entries/{}", index_path(index, width))
}

/// The bytes of an entry bundle: each entry after its length, as 16 bits, the high byte first.
///
/// # Errors
/// [`BundleError::EntryTooLong`] if an entry has more than 65,535 bytes.
///
/// # Standards
/// C2SP tlog-tiles, "Log entries".
pub fn bundle<I>(entries: I) -> Result<Vec<u8>, BundleError>
where
    I: IntoIterator,
    I::Item: AsRef<[u8]>,
{
    let mut bytes = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len()).map_err(|_| BundleError::EntryTooLong { length: entry.len() })?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    Ok(bytes)
}

fn index_path(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH {
        path = format!("{path}.p/{width}");
    }
    path
}

/// The index and width of a path such as `x001/234.p/17`. The largest index has 7 groups.
fn parse_index_path(path: &str) -> Option<(u64, u16)> {
    let (index_part, width) = match path.split_once(".p/") {
        Some((index, width)) => (index, u16::try_from(parse_decimal(width)?).ok()?),
        None => (path, TILE_WIDTH),
    };
    let mut index: u64 = 0;
    for group in index_part.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    // What remains to be refused (an x missing or too many, groups of zeros in front, width 0 or 256) is all that would be written
    // in another way.
    (width > 0 && index_path(index, width) == path).then_some((index, width))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn paths_have_one_spelling() {
        for (tile, path) in [
            (Tile { level: 0, index: 0, width: 256 }, "tile/0/000"),
            (Tile { level: 0, index: 999, width: 256 }, "tile/0/999"),
            (Tile { level: 1, index: 1000, width: 1 }, "tile/1/x001/000.p/1"),
            (Tile { level: 63, index: 1_234_067, width: 255 }, "tile/63/x001/x234/067.p/255"),
            (Tile { level: 0, index: u64::MAX, width: 256 }, "tile/0/x018/x446/x744/x073/x709/x551/615"),
        ] {
            assert_eq!(tile.path(), path);
            let (level, rest) = path["tile/".len()..].split_once('/').unwrap();
            assert_eq!(Tile::parse_path(level, rest), Some(tile), "{path}");
        }
        for (level, rest) in [
            ("", "000"),
            ("00", "000"),
            ("01", "000"),
            ("64", "000"),
            ("-1", "000"),
            ("+1", "000"),
            ("entries", "000"),
            ("0", ""),
            ("0", "0"),
            ("0", "00"),
            ("0", "0000"),
            ("0", "x000"),
            ("0", "x000/001"),
            ("0", "001/000"),
            ("0", "x001/x000"),
            ("0", "x001/"),
            ("0", "/000"),
            ("0", "000/"),
            ("0", "xx01/000"),
            ("0", "+01"),
            ("0", "000.p/0"),
            ("0", "000.p/256"),
            ("0", "000.p/257"),
            ("0", "000.p/65537"),
            ("0", "000.p/01"),
            ("0", "000.p/"),
            ("0", "000.p"),
            ("0", "000.p/1.p/1"),
            ("0", "000.P/1"),
            ("0", "../000"),
            ("0", "x018/x446/x744/x073/x709/x551/616"),
            ("0", "x001/x000/x000/x000/x000/x000/x000/000"),
        ] {
            assert_eq!(Tile::parse_path(level, rest), None, "{level} {rest}");
        }
        let endless = "x999/".repeat(100_000) + "999";
        assert_eq!(Tile::parse_path("0", &endless), None);
    }

    #[test]
    fn the_examples_of_the_standard_hold() {
        let widths = |size| -> Vec<_> { tiles_for(size).map(|l| (l.level, l.full, l.partial)).collect() };
        assert_eq!(widths(70_000), [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
        assert_eq!(widths(256), [(0, 1, 0), (1, 0, 1)]);
        assert_eq!(widths(0), []);
        assert_eq!(widths(u64::MAX).len(), 8);
        let tiles: Vec<_> = tiles_for(300).flat_map(TileLevel::tiles).map(|tile| tile.path()).collect();
        assert_eq!(tiles, ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"]);
        assert_eq!(bundle_path(1, 44), "tile/entries/001.p/44");
    }

    #[test]
    fn a_tile_is_in_a_tree_that_has_all_its_hashes() {
        let tile = |level, index, width| Tile { level, index, width };
        for (size, tile, want) in [
            (300, tile(0, 0, 256), true),
            (300, tile(0, 0, 17), true),
            (300, tile(0, 1, 44), true),
            (300, tile(0, 1, 45), false),
            (300, tile(0, 1, 256), false),
            (300, tile(0, 2, 1), false),
            (300, tile(1, 0, 1), true),
            (300, tile(1, 0, 2), false),
            (300, tile(8, 0, 1), false),
            (300, tile(0, 1, 0), false),
            (255, tile(1, 0, 1), false),
            (u64::MAX, tile(7, 0, 255), true),
            (u64::MAX, tile(7, 0, 256), false),
            (u64::MAX, tile(0, u64::MAX, 1), false),
            (u64::MAX, tile(255, 0, 1), false),
        ] {
            assert_eq!(tile.is_in_tree(size), want, "{tile:?} in {size}");
        }
        assert_eq!(tile(1, 2, 3).nodes(), Some((8, 512..515)));
        assert_eq!(tile(7, 0, 255).nodes(), Some((56, 0..255)));
        assert_eq!(tile(7, 1, 1).nodes(), None);
        assert_eq!(tile(63, 0, 1).nodes(), None);
    }

    #[test]
    fn nodes_outside_a_tile_or_tree_are_none() {
        let hashes = vec![Hash([1; 32]); 44];
        assert_eq!(node_in(&hashes, 0, 43), Some(Hash([1; 32])));
        assert!(node_in(&hashes, 5, 0).is_some());
        for (sub_level, index) in [(0, 44), (5, 1), (6, 0), (8, 0), (255, 0), (7, usize::MAX), (0, usize::MAX)] {
            assert_eq!(node_in(&hashes, sub_level, index), None, "{sub_level} {index}");
        }
        for (level, index, size) in [(0, 300, 300), (8, 1, 300), (9, 0, 300), (64, 0, u64::MAX), (255, 0, u64::MAX)] {
            assert_eq!(Place::of(level, index, size), None, "{level} {index} {size}");
        }
        assert!(Place::of(63, 0, u64::MAX).is_some());
        assert!(Place::of(0, u64::MAX - 1, u64::MAX).is_some());
    }

    #[test]
    fn bytes_are_whole_hashes() {
        let hashes = vec![Hash([1; 32]), Hash([2; 32])];
        assert_eq!(from_bytes(&to_bytes(&hashes)), Some(hashes));
        for length in [0, 31, 33, 257 * 32] {
            assert_eq!(from_bytes(&vec![0; length]), None, "{length}");
        }
    }

    #[test]
    fn bundles_hold_entries_of_16_bit_length() {
        assert_eq!(bundle([&b"ab"[..], b""]), Ok(vec![0, 2, b'a', b'b', 0, 0]));
        assert!(bundle([vec![0; MAX_ENTRY]]).is_ok());
        assert_eq!(bundle([vec![0; MAX_ENTRY + 1]]), Err(BundleError::EntryTooLong { length: 65_536 }));
    }
}
