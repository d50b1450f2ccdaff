//! The Merkle tree of the evidence log: hashes, roots, proofs made and proofs checked.
//!
//! Whoever makes proofs reads stored hashes through [`Nodes`]; whoever checks them needs nothing but the proof. Sizes are counts of
//! leaves, indexes count from 0. A proof only ever speaks about a pair of size and root: take both from the same signed
//! [checkpoint](crate::checkpoint), since a proof for one size can lead to the same root under another size of the same shape.
//!
//! ```
//! use consent_core::merkle::{Edge, leaf_hash, verify_inclusion};
//!
//! let leaves = [leaf_hash(b"first"), leaf_hash(b"second")];
//! let mut edge = Edge::default();
//! leaves.map(|leaf| edge.push(leaf));
//! verify_inclusion(&leaves[1], 1, edge.size(), &leaves[..1], &edge.root())?;
//! # Ok::<(), consent_core::merkle::ProofError>(())
//! ```
//!
//! # Standards
//! RFC 6962 section 2.1 and RFC 9162 section 2.1, with SHA-256.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

/// A SHA-256 hash of a leaf, an inner node or a whole tree. Displayed as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The 44 characters of padded standard base64 that checkpoints and proofs carry.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.0)
    }

    /// Reads the form of [`Self::to_base64`] and no other: padding is required and unused bits must be zero, so each hash has one
    /// spelling.
    ///
    /// # Standards
    /// RFC 4648 section 4.
    pub fn from_base64(text: &str) -> Option<Self> {
        // The length first, so that a long text is refused before anything is allocated for it.
        if text.len() != 44 {
            return None;
        }
        decode_base64(text)?.try_into().ok().map(Self)
    }
}

/// Padded standard base64 in its one canonical spelling.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    // The decoder takes encodings that were put one after the other ("QQ==QQ==") and so has several spellings for the same bytes.
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash of one entry of the log.
///
/// # Standards
/// RFC 9162 section 2.1.1.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    // The 0x00 prefix keeps a leaf from ever hashing like an inner node, whose prefix is 0x01. Without it a node could be passed
    // off as an entry.
    Hash(Sha256::new().chain_update([0x00]).chain_update(entry).finalize().into())
}

/// The hash of the inner node over two subtrees.
///
/// # Standards
/// RFC 9162 section 2.1.1.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // One buffer and one call: this is the hot path of every append and every verification.
    let mut bytes = [0x01; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(bytes).into())
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The tree has no leaf of that index.
    #[error("there is no leaf {index} in a tree of {size}")]
    Index {
        /// The claimed index.
        index: u64,
        /// The claimed size.
        size: u64,
    },
    /// The range runs backwards or ends outside the tree.
    #[error("there is no range {from}..{to} in a tree of {size}")]
    Range {
        /// First index of the range.
        from: u64,
        /// First index after the range.
        to: u64,
        /// The claimed size.
        size: u64,
    },
    /// The log shrank: the newer tree is smaller than the older one.
    #[error("a tree of {new} cannot extend a tree of {old}")]
    Sizes {
        /// The older size.
        old: u64,
        /// The newer size.
        new: u64,
    },
    /// The proof has more or fewer hashes than these sizes need.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// More or fewer leaves were given than the range holds.
    #[error("the range holds {expected} leaves, {given} were given")]
    Leaves {
        /// Leaves in the range.
        expected: u64,
        /// Leaves given.
        given: u64,
    },
    /// The hashes lead to another root: something was altered.
    #[error("the proof leads to another root")]
    Root,
}

/// The right edge of a growing tree: all that is needed to append and to know the root, in O(log n) space.
///
/// The default is the empty tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    // Roots of the complete subtrees from the left, largest first: one for each bit set in `size`.
    peaks: Vec<Hash>,
}

impl Edge {
    /// An edge from what [`Self::size`] and [`Self::parts`] gave.
    ///
    /// `None` if the number of hashes does not fit the size, or if the size is above 2^63: no log gets there, and the bound keeps
    /// [`Self::push`] from overflowing.
    pub fn from_parts(size: u64, parts: Vec<Hash>) -> Option<Self> {
        let fits = size <= 1 << 63 && parts.len() == size.count_ones() as usize;
        fits.then_some(Self { size, peaks: parts })
    }

    /// Appends one leaf, given as its [`leaf_hash`]. On average one node is hashed.
    pub fn push(&mut self, leaf: Hash) {
        self.append(0, leaf);
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree as it is now. Hashes at most 63 nodes.
    pub fn root(&self) -> Hash {
        bag(&self.peaks)
    }

    /// The roots of the complete subtrees from the left, largest first: as many as [`Self::size`] has bits set.
    pub fn parts(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a complete subtree of 2^level leaves. The size must be a multiple of 2^level.
    fn append(&mut self, level: u8, subtree: Hash) {
        let mut hash = subtree;
        // Each trailing one of the size is a complete subtree as large as what is in hand: together they complete the next.
        for _ in 0..(self.size >> level).trailing_ones() {
            let left = self.peaks.pop().expect("one peak for each bit set in the size");
            hash = node_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.size += 1 << level;
    }
}

/// The root over complete subtrees of falling size.
fn bag(peaks: &[Hash]) -> Hash {
    peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}

/// Stored hashes of a tree, as proofs need them.
pub trait Nodes {
    /// Why a stored hash could not be read.
    type Error;

    /// The hash of the complete aligned subtree over the leaves `index << level .. (index + 1) << level`. Level 0 is a leaf hash.
    ///
    /// Proofs ask only for subtrees that lie wholly inside the tree of the size they were asked for.
    ///
    /// # Errors
    /// Whatever keeps the store from answering.
    fn node(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// The largest complete aligned subtrees that make up the leaves `from..to`, as (level, index) from left to right. At most 126.
fn cover(mut from: u64, to: u64) -> impl Iterator<Item = (u8, u64)> {
    core::iter::from_fn(move || {
        let left = to.checked_sub(from).filter(|&left| left > 0)?;
        let level = from.trailing_zeros().min(left.ilog2());
        let index = from >> level;
        from += 1 << level;
        Some((u8::try_from(level).expect("a u64 has 64 bits"), index))
    })
}

fn read_cover<N: Nodes>(nodes: &mut N, from: u64, to: u64) -> Result<Vec<Hash>, N::Error> {
    cover(from, to).map(|(level, index)| nodes.node(level, index)).collect()
}

/// The root over the leaves `from..to`, which must be a subtree of the tree: `from` a multiple of every complete part.
fn subtree_root<N: Nodes>(nodes: &mut N, from: u64, to: u64) -> Result<Hash, N::Error> {
    Ok(bag(&read_cover(nodes, from, to)?))
}

/// Where a tree of `size` leaves, at least 2, splits: the largest power of two below it.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The root of the tree as it was when it had `size` leaves. Reads at most 64 nodes.
///
/// # Errors
/// Those of `nodes`.
///
/// # Standards
/// RFC 9162 section 2.1.1.
pub fn root_at<N: Nodes>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    subtree_root(nodes, 0, size)
}

/// The proof that leaf `index` is in the tree of `size` leaves, the leaf's sibling first.
///
/// An index outside the tree has no proof: the answer is empty, and [`verify_inclusion`] refuses it.
///
/// # Errors
/// Those of `nodes`.
///
/// # Standards
/// RFC 9162 section 2.1.3.1.
pub fn inclusion_proof<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::new();
    if index >= size {
        return Ok(proof);
    }
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            proof.push(subtree_root(nodes, middle, to)?);
            to = middle;
        } else {
            proof.push(subtree_root(nodes, from, middle)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `new` leaves extends the tree of `old` leaves.
///
/// It is empty if `old` is 0 or equals `new`; also if `old` is above `new`, which [`verify_consistency`] refuses.
///
/// # Errors
/// Those of `nodes`.
///
/// # Standards
/// RFC 9162 section 2.1.4.1; C2SP tlog-witness for `old` = 0.
pub fn consistency_proof<N: Nodes>(nodes: &mut N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut from, mut to) = (0, new);
    // SUBPROOF(m, D[from:to], from == 0) of the RFC, with m = old - from.
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(subtree_root(nodes, middle, to)?);
            to = middle;
        } else {
            proof.push(subtree_root(nodes, from, middle)?);
            from = middle;
        }
    }
    // A verifier has the old root already; only a part of the old tree must be named.
    if from > 0 {
        proof.push(subtree_root(nodes, from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// What surrounds the leaves `from..to` in a tree: with these leaves it gives the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeProof {
    /// The hashes of the largest complete aligned subtrees that make up `0..from`, from left to right. At most 64.
    pub left: Vec<Hash>,
    /// The same for `to..size`. At most 126.
    pub right: Vec<Hash>,
}

/// The proof for all leaves `from..to` of the tree of `size` leaves, for [`RangeVerifier`].
///
/// A range that runs backwards or leaves the tree has no proof: the answer is empty, and [`RangeVerifier::new`] refuses the range.
///
/// # Errors
/// Those of `nodes`.
pub fn range_proof<N: Nodes>(nodes: &mut N, from: u64, to: u64, size: u64) -> Result<RangeProof, N::Error> {
    if from > to || to > size {
        return Ok(RangeProof::default());
    }
    Ok(RangeProof { left: read_cover(nodes, 0, from)?, right: read_cover(nodes, to, size)? })
}

/// Checks that a leaf, given as its [`leaf_hash`], stands at `index` in the tree of `size` leaves with this root.
///
/// # Errors
/// [`ProofError::Index`], [`ProofError::Length`] or [`ProofError::Root`].
///
/// # Standards
/// RFC 9162 section 2.1.3.2.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if is_odd(node) || node == last {
            hash = node_hash(sibling, &hash);
            (node, last) = skip_lone_levels(node, last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `new` leaves with `new_root` extends the tree of `old` leaves with `old_root`.
///
/// Anything extends the empty tree, whose root must be [`empty_root`]; a tree extends itself with an empty proof.
///
/// # Errors
/// [`ProofError::Sizes`], [`ProofError::Length`] or [`ProofError::Root`].
///
/// # Standards
/// RFC 9162 section 2.1.4.2; C2SP tlog-witness for `old` = 0.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Sizes { old, new });
    }
    if old == 0 || old == new {
        let roots_hold = (old != 0 || *old_root == empty_root()) && (old != new || old_root == new_root);
        return match (proof.is_empty(), roots_hold) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    // If the old tree is one complete subtree, its root is where both walks start, and the proof leaves it out.
    let (start, rest) =
        if old.is_power_of_two() { (old_root, proof) } else { proof.split_first().ok_or(ProofError::Length)? };
    // Below 64, since old is not the largest u64.
    let complete = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> complete, (new - 1) >> complete);
    let (mut old_hash, mut new_hash) = (*start, *start);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if is_odd(node) || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            (node, last) = skip_lone_levels(node, last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

fn is_odd(n: u64) -> bool {
    n & 1 == 1
}

/// Skips the levels at which `node`, the last of its level or the right one of a pair, has no sibling. `node` is not 0: at 0, only
/// the root is last, and there the walk has ended.
fn skip_lone_levels(node: u64, last: u64) -> (u64, u64) {
    let lone = node.trailing_zeros();
    (node >> lone, last >> lone)
}

/// Checks all leaves `from..to` of a tree at once, in constant memory and one or two hashes a leaf.
///
/// Give each leaf in order, then compare [`Self::root`] with the root that a checkpoint names for the same size.
#[derive(Debug, Clone)]
pub struct RangeVerifier {
    edge: Edge,
    from: u64,
    to: u64,
    size: u64,
    given: u64,
    right: Vec<Hash>,
}

impl RangeVerifier {
    /// Starts to check the leaves `from..to` of a tree of `size` leaves. The range may be empty.
    ///
    /// # Errors
    /// [`ProofError::Range`] if there is no such range, [`ProofError::Length`] if the proof has not the number of hashes it needs.
    pub fn new(from: u64, to: u64, size: u64, proof: &RangeProof) -> Result<Self, ProofError> {
        if from > to || to > size {
            return Err(ProofError::Range { from, to, size });
        }
        // Before anything is copied: the proof may come from anybody, and be of any length.
        if proof.left.len() != cover(0, from).count() || proof.right.len() != cover(to, size).count() {
            return Err(ProofError::Length);
        }
        let edge = Edge { size: from, peaks: proof.left.clone() };
        Ok(Self { edge, from, to, size, given: 0, right: proof.right.clone() })
    }

    /// Takes the next leaf, as its [`leaf_hash`]. What comes after the last leaf of the range makes [`Self::root`] fail.
    pub fn push(&mut self, leaf: Hash) {
        self.given = self.given.saturating_add(1);
        if self.edge.size < self.to {
            self.edge.push(leaf);
        }
    }

    /// The root that these leaves and the proof lead to. It proves nothing until it was compared with a trusted one.
    ///
    /// # Errors
    /// [`ProofError::Leaves`] if more or fewer leaves were given than the range holds.
    pub fn root(mut self) -> Result<Hash, ProofError> {
        let expected = self.to - self.from;
        if self.given != expected {
            return Err(ProofError::Leaves { expected, given: self.given });
        }
        for ((level, _), hash) in cover(self.to, self.size).zip(self.right) {
            self.edge.append(level, hash);
        }
        Ok(self.edge.root())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const ONE: Hash = Hash([1; 32]);

    #[test]
    fn base64_has_one_spelling() {
        let text = empty_root().to_base64();
        assert_eq!(Hash::from_base64(&text), Some(empty_root()));
        assert_eq!(text, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        for bad in [
            "",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUA",
            "47A=xEKY/BwUmvv0yJlvuSQnrkHkZJuTTKSVmRt4UrhV",
        ] {
            assert_eq!(Hash::from_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_edge_survives_its_parts() {
        let mut edge = Edge::default();
        for size in 0..70 {
            assert_eq!(edge.size(), size);
            assert_eq!(Edge::from_parts(size, edge.parts().to_vec()), Some(edge.clone()));
            let mut more = edge.parts().to_vec();
            more.push(ONE);
            assert_eq!(Edge::from_parts(size, more), None);
            edge.push(leaf_hash(&size.to_be_bytes()));
        }
        assert_eq!(Edge::from_parts(u64::MAX, vec![ONE; 64]), None);
    }

    #[test]
    fn covers_are_short_and_complete_at_any_size() {
        for (from, to) in [(0, 0), (0, u64::MAX), (1, u64::MAX), (u64::MAX - 1, u64::MAX), (1, 1 << 63), (5, 7), (8, 8)]
        {
            let parts: Vec<_> = cover(from, to).collect();
            assert!(parts.len() <= 126, "{from}..{to}");
            let mut at = from;
            for (level, index) in parts {
                assert_eq!(u128::from(index) << level, u128::from(at));
                at += 1 << level;
            }
            assert_eq!(at, to);
        }
        assert_eq!(cover(7, 3).count(), 0);
    }

    #[test]
    fn hostile_sizes_neither_overflow_nor_loop() {
        let max = u64::MAX;
        for length in [0, 1, 62, 63, 64, 65, 1000] {
            let proof = vec![ONE; length];
            for index in [0, 1, max / 2, max - 2, max - 1, max] {
                assert!(verify_inclusion(&ONE, index, max, &proof, &ONE).is_err());
                assert!(verify_consistency(index, max, &ONE, &ONE, &proof).is_err() || (index == max && length == 0));
                assert!(verify_consistency(max, index, &ONE, &ONE, &proof).is_err() || (index == max && length == 0));
            }
        }
        let left = |from: u64| vec![ONE; from.count_ones() as usize];
        let right = |to: u64| vec![ONE; cover(to, max).count()];
        for (from, to) in [(0, 0), (0, 1), (max, max), (max - 1, max), (max / 2, max / 2 + 1), (1 << 63, (1 << 63) + 1)]
        {
            let proof = RangeProof { left: left(from), right: right(to) };
            let mut verifier = RangeVerifier::new(from, to, max, &proof).unwrap();
            (from..to).for_each(|_| verifier.push(ONE));
            assert!(verifier.root().is_ok(), "{from}..{to}");
        }
        // All the leaves there could be, none of them given.
        let verifier = RangeVerifier::new(0, max, max, &RangeProof::default()).unwrap();
        assert_eq!(verifier.root(), Err(ProofError::Leaves { expected: max, given: 0 }));
    }

    #[test]
    fn what_has_no_proof_is_refused_when_checked() {
        struct NoNodes;
        impl Nodes for NoNodes {
            type Error = ();
            fn node(&mut self, _: u8, _: u64) -> Result<Hash, ()> {
                Err(())
            }
        }
        let empty = Ok(Vec::new());
        assert_eq!(inclusion_proof(&mut NoNodes, 5, 5), empty);
        assert_eq!(verify_inclusion(&ONE, 5, 5, &[], &ONE), Err(ProofError::Index { index: 5, size: 5 }));
        assert_eq!(consistency_proof(&mut NoNodes, 6, 5), empty);
        assert_eq!(verify_consistency(6, 5, &ONE, &ONE, &[]), Err(ProofError::Sizes { old: 6, new: 5 }));
        for (from, to, size) in [(2, 1, 5), (1, 6, 5)] {
            let proof = range_proof(&mut NoNodes, from, to, size).unwrap();
            assert_eq!(RangeVerifier::new(from, to, size, &proof).unwrap_err(), ProofError::Range { from, to, size });
        }
        assert_eq!(root_at(&mut NoNodes, 0), Ok(empty_root()));
        assert_eq!(root_at(&mut NoNodes, 1), Err(()));
    }

    #[test]
    fn the_empty_tree_has_one_root_and_anything_extends_it() {
        let empty = empty_root();
        for (name, new, old_root, new_root, proof, want) in [
            ("first growth", 5, empty, ONE, &[][..], Ok(())),
            ("nothing new", 0, empty, empty, &[], Ok(())),
            ("a root that is not the empty one", 5, ONE, ONE, &[], Err(ProofError::Root)),
            ("nothing new, another root", 0, empty, ONE, &[], Err(ProofError::Root)),
            ("a proof where none is needed", 5, empty, ONE, &[ONE], Err(ProofError::Length)),
        ] {
            assert_eq!(verify_consistency(0, new, &old_root, &new_root, proof), want, "{name}");
        }
    }
}
