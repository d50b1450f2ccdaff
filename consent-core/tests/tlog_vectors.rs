//! The evidence log against known answers, against the recursive definition of RFC 9162, and against other implementations.
#![cfg(feature = "evidence")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::LazyLock;

use consent_core::checkpoint::{Checkpoint, CheckpointError};
use consent_core::merkle::{
    Edge, Hash, Nodes, RangeProof, RangeVerifier, consistency_proof, empty_root, inclusion_proof, leaf_hash, node_hash,
    range_proof, root_at, verify_consistency, verify_inclusion,
};
use consent_core::note::{self, CosigningKey, KeyType, SigningKey, VerifyingKey};
use consent_core::receipt::TlogProof;
use consent_core::tile::{
    Place, TILE_WIDTH, Tile, TileLevel, bundle, bundle_path, from_bytes, node_in, tiles_for, to_bytes,
};
use data_encoding::{BASE64, HEXLOWER};
use proptest::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Leaves of the largest tree that the properties use.
const MAX: usize = 600;

mod known_answers {
    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Vectors {
        first_leaf_hashes: Vec<String>,
        roots: BTreeMap<usize, String>,
        inclusion: Vec<Inclusion>,
        consistency: Vec<Consistency>,
        invalid: Vec<Invalid>,
        tiles: BTreeMap<String, serde_json::Value>,
        note: NoteVector,
        note_cases: NoteCases,
        tlog_proof: ProofVector,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Inclusion {
        index: u64,
        size: u64,
        leaf_hash: String,
        root: String,
        proof: Vec<String>,
    }

    #[derive(Deserialize)]
    struct Consistency {
        size1: u64,
        size2: u64,
        root1: String,
        root2: String,
        proof: Vec<String>,
    }

    #[derive(Deserialize)]
    struct Invalid {
        mutation: String,
        #[serde(flatten)]
        proof: InvalidProof,
    }

    #[derive(Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum InvalidProof {
        Inclusion(Inclusion),
        Consistency(Consistency),
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct NoteVector {
        log_seed_hex: String,
        log_vkey: String,
        note_text: String,
        signed_note: String,
        witness_seed_hex: String,
        witness_vkey: String,
        cosignature_time: u64,
        cosigned_message: String,
        cosigned_note: String,
    }

    #[derive(Deserialize)]
    struct NoteCases {
        vkey: String,
        cases: Vec<NoteCase>,
    }

    #[derive(Deserialize)]
    struct NoteCase {
        name: String,
        note: String,
        accept: Option<bool>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ProofVector {
        leaf_hex: String,
        index: u64,
        size: u64,
        extra_utf8: String,
        file: String,
        vkey: String,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("data/tlog.json")).unwrap()
    }

    fn hash(hex: &str) -> Hash {
        Hash(HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap())
    }

    fn hashes(hex: &[String]) -> Vec<Hash> {
        hex.iter().map(|hex| hash(hex)).collect()
    }

    fn seed(hex: &str) -> [u8; 32] {
        hash(hex).0
    }

    impl Inclusion {
        fn holds(&self) -> bool {
            let (leaf, root) = (hash(&self.leaf_hash), hash(&self.root));
            verify_inclusion(&leaf, self.index, self.size, &hashes(&self.proof), &root).is_ok()
        }
    }

    impl Consistency {
        fn holds(&self) -> bool {
            let (old, new) = (hash(&self.root1), hash(&self.root2));
            verify_consistency(self.size1, self.size2, &old, &new, &hashes(&self.proof)).is_ok()
        }
    }

    /// Nothing in the file is left out of the tests above and below, and each kind is counted.
    #[test]
    fn every_kind_of_vector_has_its_test() {
        let file: BTreeMap<String, serde_json::Value> = serde_json::from_str(include_str!("data/tlog.json")).unwrap();
        let count = |kind: &str| match &file[kind] {
            serde_json::Value::Array(list) => list.len(),
            serde_json::Value::Object(fields) => fields.len(),
            _ => 1,
        };
        let kinds = [
            ("firstLeafHashes", 8),
            ("roots", 47),
            ("inclusion", 70),
            ("consistency", 60),
            ("invalid", 26),
            // Beside the size and what it is.
            ("tiles", 2 + 5),
            ("note", 9),
            ("noteCases", 2),
            ("tlogProof", 6),
        ];
        for (kind, want) in kinds {
            assert_eq!(count(kind), want, "{kind}");
        }
        let named: Vec<&str> =
            file.keys().map(String::as_str).filter(|key| !["format", "hash", "leafRule"].contains(key)).collect();
        let mut tested: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
        tested.sort_unstable();
        assert_eq!(named, tested);
        assert_eq!(file["noteCases"]["cases"].as_array().map(Vec::len), Some(14));
        println!(
            "tlog.json: 8 leaves, 47 roots, 70 inclusion and 60 consistency proofs, 26 refusals, 5 tiles and bundles, \
             1 note with its cosignature (4 texts), 14 cases of notes, 1 offline proof"
        );
    }

    #[test]
    fn leaves_and_roots() {
        let vectors = vectors();
        assert_eq!(vectors.first_leaf_hashes.len(), 8);
        for (i, hex) in vectors.first_leaf_hashes.iter().enumerate() {
            assert_eq!(leaf_hash(&entry(i)), hash(hex), "leaf {i}");
            assert_eq!(leaf_hash(&entry(i)).to_string(), *hex);
        }
        assert_eq!(vectors.roots.len(), 47);
        let mut edge = Edge::default();
        for size in 0..=300 {
            if let Some(hex) = vectors.roots.get(&size) {
                assert_eq!(edge.root(), hash(hex), "size {size}");
                assert_eq!(root_at(&mut Tree, size as u64), Ok(hash(hex)), "size {size}");
            }
            edge.push(leaf_hash(&entry(size)));
        }
        assert_eq!(vectors.roots[&0], empty_root().to_string());
    }

    #[test]
    fn inclusion_proofs() {
        let vectors = vectors();
        assert_eq!(vectors.inclusion.len(), 70);
        for v in &vectors.inclusion {
            assert!(v.holds(), "{} in {}", v.index, v.size);
            assert_eq!(inclusion_proof(&mut Tree, v.index, v.size), Ok(hashes(&v.proof)), "{} in {}", v.index, v.size);
        }
    }

    #[test]
    fn consistency_proofs() {
        let vectors = vectors();
        assert_eq!(vectors.consistency.len(), 60);
        for v in &vectors.consistency {
            assert!(v.holds(), "{} to {}", v.size1, v.size2);
            let made = consistency_proof(&mut Tree, v.size1, v.size2);
            assert_eq!(made, Ok(hashes(&v.proof)), "{} to {}", v.size1, v.size2);
        }
    }

    #[test]
    fn altered_proofs_fail() {
        let vectors = vectors();
        assert_eq!(vectors.invalid.len(), 26);
        for (i, v) in vectors.invalid.iter().enumerate() {
            let holds = match &v.proof {
                InvalidProof::Inclusion(proof) => proof.holds(),
                InvalidProof::Consistency(proof) => proof.holds(),
            };
            assert!(!holds, "invalid[{i}]: {}", v.mutation);
        }
    }

    #[test]
    fn tiles_and_bundles() {
        let mut vectors = vectors().tiles;
        let size = vectors.remove("size").and_then(|size| size.as_u64()).unwrap();
        vectors.remove("what");
        let mut made = BTreeMap::new();
        for tile in tiles_for(size).flat_map(TileLevel::tiles) {
            let bytes = to_bytes(&tile_hashes(tile));
            // The one tile of level 1 is so small that the vector is the tile itself.
            let bytes = if tile.level == 1 { bytes } else { Sha256::digest(bytes).to_vec() };
            made.insert(tile.path(), HEXLOWER.encode(&bytes).into());
            if tile.level == 0 {
                let start = usize::try_from(tile.index).unwrap() * usize::from(TILE_WIDTH);
                let entries = (start..start + usize::from(tile.width)).map(entry);
                let digest = Sha256::digest(bundle(entries).unwrap());
                made.insert(bundle_path(tile.index, tile.width), HEXLOWER.encode(&digest).into());
            }
        }
        assert_eq!(made, vectors);
    }

    #[test]
    fn a_note_is_the_same_both_ways() {
        let vector = vectors().note;
        let log = SigningKey::from_seed("log.example/consent", seed(&vector.log_seed_hex)).unwrap();
        assert_eq!(log.vkey().to_string(), vector.log_vkey);
        assert_eq!(log.sign(&vector.note_text), vector.signed_note);

        let head = Checkpoint::open(&vector.signed_note, &log.vkey()).unwrap();
        assert_eq!((head.origin.as_str(), head.size), ("log.example/consent", 8));
        assert_eq!(head.root, root(8));
        assert_eq!(head.text(), vector.note_text);
        assert_eq!(head.sign(&log), vector.signed_note);
    }

    #[test]
    fn a_cosigned_note_verifies_by_log_and_witness() {
        let vector = vectors().note;
        let log = VerifyingKey::parse(&vector.log_vkey).unwrap();
        let witness = VerifyingKey::parse(&vector.witness_vkey).unwrap();
        assert_eq!(witness.key_type(), KeyType::CosignatureV1);
        assert_eq!(witness.to_string(), vector.witness_vkey);
        let twin = SigningKey::from_seed("witness.example/w1", seed(&vector.witness_seed_hex)).unwrap().vkey();
        let public_key =
            |vkey: &str| BASE64.decode(vkey.splitn(3, '+').nth(2).unwrap().as_bytes()).unwrap()[1..].to_vec();
        assert_eq!(public_key(&twin.to_string()), public_key(&vector.witness_vkey));

        // Made, too: byte for byte.
        let key = CosigningKey::from_seed("witness.example/w1", seed(&vector.witness_seed_hex)).unwrap();
        assert_eq!(key.vkey().to_string(), vector.witness_vkey);
        let line = key.cosign(&vector.note_text, vector.cosignature_time);
        assert_eq!(vector.signed_note.clone() + &line, vector.cosigned_note);
        let message = format!("cosignature/v1\ntime {}\n{}", vector.cosignature_time, vector.note_text);
        assert_eq!(message, vector.cosigned_message);

        let both = note::verify(&vector.cosigned_note, &[witness.clone(), log.clone()]).unwrap();
        assert_eq!(both.text, vector.note_text);
        assert_eq!(both.signed_by, ["log.example/consent", "witness.example/w1"]);
        assert_eq!(
            note::verify(&vector.cosigned_note, std::slice::from_ref(&witness)).unwrap().signed_by,
            ["witness.example/w1"]
        );
        assert!(Checkpoint::open(&vector.cosigned_note, &log).is_ok());
        let origin = CheckpointError::Origin {
            expected: "witness.example/w1".to_owned(),
            found: "log.example/consent".to_owned(),
        };
        assert_eq!(Checkpoint::open(&vector.cosigned_note, &witness), Err(origin));

        // One second later.
        let altered = vector.cosigned_note.replacen("IDJKvgAAAABpVbkA", "IDJKvgAAAABpVbkB", 1);
        assert_ne!(altered, vector.cosigned_note);
        assert!(note::verify(&altered, &[witness]).is_err());
        assert!(note::verify(&altered, &[log]).is_ok());
    }

    #[test]
    fn good_and_bad_notes() {
        let NoteCases { vkey, cases } = vectors().note_cases;
        let key = VerifyingKey::parse(&vkey).unwrap();
        assert_eq!(cases.len(), 14);
        for case in &cases {
            let verified = note::verify(&case.note, std::slice::from_ref(&key));
            if let Some(accept) = case.accept {
                assert_eq!(verified.is_ok(), accept, "{}: {verified:?}", case.name);
            }
            let head = Checkpoint::open(&case.note, &key);
            if case.name == "text-with-empty-line" {
                assert_eq!(head, Err(CheckpointError::Malformed));
            } else {
                assert_eq!(head.is_ok(), verified.is_ok(), "{}: {head:?}", case.name);
            }
        }
    }

    #[test]
    fn an_offline_proof_is_the_same_both_ways() {
        let vector = vectors().tlog_proof;
        let key = VerifyingKey::parse(&vector.vkey).unwrap();
        let leaf = HEXLOWER.decode(vector.leaf_hex.as_bytes()).unwrap();
        let receipt = TlogProof::parse(&vector.file).unwrap();
        let head = receipt.verify(&leaf, &key).unwrap();
        assert_eq!((receipt.index, head.size, head.root), (vector.index, vector.size, root(8)));
        assert_eq!(receipt.to_string(), vector.file);

        let made = TlogProof {
            extra: Some(vector.extra_utf8.into_bytes()),
            index: vector.index,
            proof: inclusion_proof(&mut Tree, vector.index, vector.size).unwrap(),
            checkpoint: vector.file.split_once("\n\n").unwrap().1.to_owned(),
        };
        assert_eq!(made, receipt);
        assert!(receipt.verify(b"6", &key).is_err());
    }
}

/// Entry `i` of the tree that all tests use: the rule of the vectors.
fn entry(i: usize) -> Vec<u8> {
    i.to_string().into_bytes()
}

static LEAVES: LazyLock<Vec<Hash>> = LazyLock::new(|| (0..=MAX).map(|i| leaf_hash(&entry(i))).collect());

/// The tree, and every tree of fewer leaves. A node that no tree has would panic, so proofs never ask for one.
struct Tree;

impl Nodes for Tree {
    type Error = Infallible;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let range = index << level..(index + 1) << level;
        Ok(tree_hash(&LEAVES[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]))
    }
}

fn tile_hashes(tile: Tile) -> Vec<Hash> {
    let (level, range) = tile.nodes().unwrap();
    range.map(|index| Tree.node(level, index).unwrap()).collect()
}

/// MTH of RFC 9162 section 2.1.1, as it stands there: slow and plain.
fn tree_hash(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&tree_hash(left), &tree_hash(right))
        }
    }
}

fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// PATH of section 2.1.3.1.
fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, sibling) =
        if m < left.len() { (path(m, left), right) } else { (path(m - left.len(), right), left) };
    proof.push(tree_hash(sibling));
    proof
}

/// SUBPROOF of section 2.1.4.1.
fn subproof(m: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if known { Vec::new() } else { vec![tree_hash(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, other) = if m <= left.len() {
        (subproof(m, left, known), right)
    } else {
        (subproof(m - left.len(), right, false), left)
    };
    proof.push(tree_hash(other));
    proof
}

fn root(size: u64) -> Hash {
    tree_hash(&LEAVES[..usize::try_from(size).unwrap()])
}

fn leaf(index: u64) -> Hash {
    LEAVES[usize::try_from(index).unwrap()]
}

fn flip(hash: &Hash, bit: u8) -> Hash {
    let mut altered = *hash;
    altered.0[usize::from(bit / 8)] ^= 1 << (bit % 8);
    altered
}

/// Every list of hashes that differs from this one in one bit of one hash, by one hash missing, or by one too many.
fn alterations(proof: &[Hash], bit: u8) -> impl Iterator<Item = Vec<Hash>> {
    let flipped = (0..proof.len()).map(move |i| {
        let mut altered = proof.to_vec();
        altered[i] = flip(&altered[i], bit);
        altered
    });
    let missing = (0..proof.len()).map(|i| {
        let mut altered = proof.to_vec();
        altered.remove(i);
        altered
    });
    let more = (0..=proof.len()).map(|i| {
        let mut altered = proof.to_vec();
        altered.insert(i, empty_root());
        altered
    });
    flipped.chain(missing).chain(more)
}

fn range_root(from: u64, to: u64, size: u64, proof: &RangeProof, leaves: &[Hash]) -> Option<Hash> {
    let mut verifier = RangeVerifier::new(from, to, size, proof).ok()?;
    for leaf in leaves {
        verifier.push(*leaf);
    }
    verifier.root().ok()
}

/// (index, size) with index < size.
fn inside() -> impl Strategy<Value = (u64, u64)> {
    (1..=MAX as u64).prop_flat_map(|size| (0..size, Just(size)))
}

/// (from, to, size) with from ≤ to ≤ size.
fn ranges() -> impl Strategy<Value = (u64, u64, u64)> {
    (0..=MAX as u64)
        .prop_flat_map(|size| (0..=size, 0..=size, Just(size)))
        .prop_map(|(a, b, size)| (a.min(b), a.max(b), size))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edge_has_the_root_of_the_definition(size in 0..=MAX) {
        let mut edge = Edge::default();
        LEAVES[..size].iter().for_each(|leaf| edge.push(*leaf));
        prop_assert_eq!(edge.size(), size as u64);
        prop_assert_eq!(edge.root(), root(size as u64));
        prop_assert_eq!(root_at(&mut Tree, size as u64), Ok(root(size as u64)));

        let mut kept = Edge::from_parts(edge.size(), edge.parts().to_vec()).unwrap();
        kept.push(LEAVES[size]);
        edge.push(LEAVES[size]);
        prop_assert_eq!(kept, edge);
    }

    #[test]
    fn inclusion_proofs_hold_for_what_they_prove_only(
        (index, size) in inside(), bit: u8, other in 0..MAX as u64, other_size in 1..=MAX as u64,
    ) {
        let (leaf_hash, root_hash) = (leaf(index), root(size));
        let proof = inclusion_proof(&mut Tree, index, size).unwrap();
        prop_assert_eq!(&proof, &path(usize::try_from(index).unwrap(), &LEAVES[..usize::try_from(size).unwrap()]));
        prop_assert_eq!(verify_inclusion(&leaf_hash, index, size, &proof, &root_hash), Ok(()));

        for altered in alterations(&proof, bit) {
            prop_assert!(verify_inclusion(&leaf_hash, index, size, &altered, &root_hash).is_err());
        }
        prop_assert!(verify_inclusion(&flip(&leaf_hash, bit), index, size, &proof, &root_hash).is_err());
        prop_assert!(verify_inclusion(&leaf_hash, index, size, &proof, &flip(&root_hash, bit)).is_err());
        if other != index {
            prop_assert!(verify_inclusion(&leaf(other), index, size, &proof, &root_hash).is_err());
            prop_assert!(verify_inclusion(&leaf_hash, other, size, &proof, &root_hash).is_err());
        }
        if other_size != size {
            prop_assert!(verify_inclusion(&leaf_hash, index, other_size, &proof, &root(other_size)).is_err());
        }
    }

    #[test]
    fn consistency_proofs_hold_for_what_they_prove_only(
        (old, new) in inside(), bit: u8, other in 1..=MAX as u64,
    ) {
        let (old, new) = (old + 1, new);
        let (old_root, new_root) = (root(old), root(new));
        let proof = consistency_proof(&mut Tree, old, new).unwrap();
        prop_assert_eq!(&proof, &subproof(usize::try_from(old).unwrap(), &LEAVES[..usize::try_from(new).unwrap()], true));
        prop_assert_eq!(verify_consistency(old, new, &old_root, &new_root, &proof), Ok(()));

        for altered in alterations(&proof, bit) {
            prop_assert!(verify_consistency(old, new, &old_root, &new_root, &altered).is_err());
        }
        prop_assert!(verify_consistency(old, new, &flip(&old_root, bit), &new_root, &proof).is_err());
        prop_assert!(verify_consistency(old, new, &old_root, &flip(&new_root, bit), &proof).is_err());
        if old != new {
            prop_assert!(verify_consistency(old, new, &new_root, &old_root, &proof).is_err());
            prop_assert!(verify_consistency(new, old, &new_root, &old_root, &proof).is_err());
        }
        // A tree that says nothing false, but not what was proven.
        if other != old && old != new {
            prop_assert!(verify_consistency(other, new, &root(other), &new_root, &proof).is_err());
        }
        if other != new && old != new {
            prop_assert!(verify_consistency(old, other, &old_root, &root(other), &proof).is_err());
        }
    }

    #[test]
    fn range_proofs_hold_for_what_they_prove_only((from, to, size) in ranges(), bit: u8, pick: prop::sample::Index) {
        let leaves = &LEAVES[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
        let proof = range_proof(&mut Tree, from, to, size).unwrap();
        let whole = Some(root(size));
        prop_assert!(proof.left.len() <= 10 && proof.right.len() <= 20);
        prop_assert_eq!(range_root(from, to, size, &proof, leaves), whole);

        for left in alterations(&proof.left, bit) {
            let altered = RangeProof { left, ..proof.clone() };
            prop_assert_ne!(range_root(from, to, size, &altered, leaves), whole);
        }
        for right in alterations(&proof.right, bit) {
            let altered = RangeProof { right, ..proof.clone() };
            prop_assert_ne!(range_root(from, to, size, &altered, leaves), whole);
        }
        let mut longer = leaves.to_vec();
        longer.insert(pick.index(leaves.len() + 1), leaf(0));
        prop_assert_eq!(range_root(from, to, size, &proof, &longer), None);
        if !leaves.is_empty() {
            let i = pick.index(leaves.len());
            let mut altered = leaves.to_vec();
            altered[i] = flip(&altered[i], bit);
            prop_assert_ne!(range_root(from, to, size, &proof, &altered), whole);
            altered.remove(i);
            prop_assert_eq!(range_root(from, to, size, &proof, &altered), None);
            // Moved: the same leaves are claimed to stand elsewhere.
            for by in 1..4 {
                if to + by <= size {
                    prop_assert_ne!(range_root(from + by, to + by, size, &proof, leaves), whole);
                }
                if by <= from {
                    prop_assert_ne!(range_root(from - by, to - by, size, &proof, leaves), whole);
                }
            }
        }
        if leaves.len() > 1 {
            let mut swapped = leaves.to_vec();
            let i = pick.index(leaves.len() - 1);
            swapped.swap(i, i + 1);
            prop_assert_ne!(range_root(from, to, size, &proof, &swapped), whole);
        }
        // A proof of one size leads to the root of no other size.
        let other_size = pick.index(MAX + 1) as u64;
        if other_size != size {
            prop_assert_ne!(range_root(from, to, other_size, &proof, leaves), Some(root(other_size)));
        }
    }

    #[test]
    fn a_range_proof_says_what_inclusion_and_consistency_say((index, size) in inside()) {
        let one = range_proof(&mut Tree, index, index + 1, size).unwrap();
        prop_assert_eq!(range_root(index, index + 1, size, &one, &[leaf(index)]), Some(root(size)));
        // The left side alone is the edge of the older tree: what an export needs to follow an earlier one.
        let edge = Edge::from_parts(index, one.left).unwrap();
        prop_assert_eq!(edge.root(), root(index));
        prop_assert!(verify_consistency(
            index, size, &edge.root(), &root(size), &consistency_proof(&mut Tree, index, size).unwrap(),
        ).is_ok());
    }

    #[test]
    fn every_node_is_found_in_its_tile(size in 1..=MAX as u64, level in 0..10_u8, pick: prop::sample::Index) {
        let level = level.min(u8::try_from(size.ilog2()).unwrap());
        let nodes = size >> level;
        let index = pick.index(usize::try_from(nodes).unwrap()) as u64;
        let Place { tile, sub_level, index_in_tile } = Place::of(level, index, size).unwrap();
        prop_assert!(tile.is_in_tree(size));
        prop_assert!(tiles_for(size).flat_map(TileLevel::tiles).any(|of_tree| of_tree == tile));
        let bytes = to_bytes(&tile_hashes(tile));
        prop_assert_eq!(node_in(&from_bytes(&bytes).unwrap(), sub_level, index_in_tile), Tree.node(level, index).ok());
        prop_assert_eq!(Place::of(level, nodes, size), None);
    }

    #[test]
    fn receipts_survive_their_text(
        index: u64, extra in prop::option::of(prop::collection::vec(any::<u8>(), 1..80)), proof in 0..=64_usize,
    ) {
        let checkpoint = "any text\nwith lines\n\n".to_owned();
        let receipt = TlogProof { extra, index, proof: LEAVES[..proof].to_vec(), checkpoint };
        prop_assert_eq!(TlogProof::parse(&receipt.to_string()), Ok(receipt));
    }

    #[test]
    fn tile_paths_survive_their_text(level in 0..=63_u8, index: u64, width in 1..=TILE_WIDTH) {
        let tile = Tile { level, index, width };
        let path = tile.path();
        let (level, rest) = path.strip_prefix("tile/").unwrap().split_once('/').unwrap();
        prop_assert_eq!(Tile::parse_path(level, rest), Some(tile));
    }

    #[test]
    fn readers_never_panic(text in "[\\PC\n\u{2014} ]{0,200}", level in "[0-9]{0,3}", path in "[x0-9/.p]{0,24}") {
        let key = SigningKey::from_seed("log.example", [7; 32]).unwrap();
        let _ = note::verify(&text, &[key.vkey()]);
        let _ = Checkpoint::parse(&text);
        let _ = TlogProof::parse(&text);
        let _ = TlogProof::parse(&format!("c2sp.org/tlog-proof@v1\n{text}"));
        let _ = VerifyingKey::parse(&text);
        if let Some(tile) = Tile::parse_path(&level, &path) {
            prop_assert_eq!(tile.path(), format!("tile/{level}/{path}"));
        }
    }
}

/// `tlog_tiles`, a port of Go's `sumdb/tlog`, on the same trees.
mod against_tlog_tiles {
    use super::*;

    struct Stored;

    impl tlog_tiles::HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
            let read = |&stored| {
                let (level, index) = tlog_tiles::split_stored_hash_index(stored);
                theirs(&Tree.node(level, index).unwrap())
            };
            Ok(indexes.iter().map(read).collect())
        }
    }

    fn theirs(hash: &Hash) -> tlog_tiles::Hash {
        tlog_tiles::Hash(hash.0)
    }

    fn all_theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
        hashes.iter().map(theirs).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn hashes_and_proofs_are_the_same((index, size) in inside()) {
            prop_assert_eq!(theirs(&leaf(index)), tlog_tiles::record_hash(&entry(usize::try_from(index).unwrap())));
            prop_assert_eq!(theirs(&root_at(&mut Tree, size).unwrap()), tlog_tiles::tree_hash(size, &Stored).unwrap());
            let inclusion = inclusion_proof(&mut Tree, index, size).unwrap();
            prop_assert_eq!(all_theirs(&inclusion), tlog_tiles::prove_record(size, index, &Stored).unwrap());
            let consistency = consistency_proof(&mut Tree, index + 1, size).unwrap();
            prop_assert_eq!(all_theirs(&consistency), tlog_tiles::prove_tree(size, index + 1, &Stored).unwrap());
        }

        #[test]
        fn verdicts_are_the_same_on_anything(
            (index, size) in inside(), claimed in 0..MAX as u64, claimed_size in 1..=MAX as u64, which in 0..4_u8, bit: u8,
            pick: prop::sample::Index,
        ) {
            // Any claim at all with a good or an altered proof of something near it.
            let claimed = if which & 1 == 0 { index } else { claimed };
            let claimed_size = if which & 2 == 0 { size } else { claimed_size };
            let inclusion = inclusion_proof(&mut Tree, index, size).unwrap();
            let consistency = consistency_proof(&mut Tree, index + 1, size).unwrap();
            let altered = alterations(&inclusion, bit).nth(pick.index(3 * inclusion.len() + 1)).unwrap();
            for proof in [inclusion, altered] {
                prop_assert_eq!(
                    verify_inclusion(&leaf(index), claimed, claimed_size, &proof, &root(size)).is_ok(),
                    tlog_tiles::check_record(
                        &all_theirs(&proof), claimed_size, theirs(&root(size)), claimed, theirs(&leaf(index)),
                    ).is_ok()
                );
            }
            let altered = alterations(&consistency, bit).nth(pick.index(3 * consistency.len() + 1)).unwrap();
            for proof in [consistency, altered] {
                prop_assert_eq!(
                    verify_consistency(claimed + 1, claimed_size, &root(index + 1), &root(size), &proof).is_ok(),
                    tlog_tiles::check_tree(
                        &all_theirs(&proof), claimed_size, theirs(&root(size)), claimed + 1, theirs(&root(index + 1)),
                    ).is_ok()
                );
            }
        }

        #[test]
        fn tiles_are_the_same(size in 1..100_000_u64) {
            let ours: Vec<_> = tiles_for(size).flat_map(TileLevel::tiles).map(|tile| tile.path()).collect();
            let theirs: Vec<_> =
                tlog_tiles::Tile::new_tiles(8, 0, size).iter().map(|tile| tile.path().replacen("tile/8/", "tile/", 1)).collect();
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn tile_paths_are_read_alike(
            // Theirs panics on a width of 0 and on a level above 63; neither is in the standard.
            level in "0?[0-9]|[1-5][0-9]|6[0-3]", path in "(x[0-9]{3}/){0,3}[0-9]{3}(\\.p/(0?[1-9]|[1-9][0-9]{1,2}))?",
        ) {
            let ours = Tile::parse_path(&level, &path);
            let theirs = tlog_tiles::Tile::from_path(&format!("tile/8/{level}/{path}")).ok();
            prop_assert_eq!(ours.is_some(), theirs.is_some());
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                prop_assert_eq!((ours.level, ours.index), (theirs.level(), theirs.level_index()));
                prop_assert_eq!(u32::from(ours.width), theirs.width());
            }
        }

        #[test]
        fn nodes_in_tiles_are_the_same(size in 1..=MAX as u64, level in 0..9_u8, pick: prop::sample::Index) {
            let level = level.min(u8::try_from(size.ilog2()).unwrap());
            let index = pick.index(usize::try_from(size >> level).unwrap()) as u64;
            let Place { tile, sub_level, index_in_tile } = Place::of(level, index, size).unwrap();
            let hashes = tile_hashes(tile);
            let same = tlog_tiles::Tile::new(8, tile.level, tile.index, tile.width.into(), false);
            let found = same.hash_at_index(&to_bytes(&hashes), tlog_tiles::stored_hash_index(level, index)).unwrap();
            prop_assert_eq!(node_in(&hashes, sub_level, index_in_tile).map(|hash| theirs(&hash)), Some(found));
        }

        #[test]
        fn checkpoints_we_read_are_read_alike(size in 1..=u64::MAX, edits in prop::collection::vec(edit(), 0..2)) {
            let head = Checkpoint { origin: "log.example/consent".to_owned(), size, root: root(8) };
            let text = edited(&head.text(), &edits);
            if let Ok(ours) = Checkpoint::parse(&text) {
                let read = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
                prop_assert_eq!((ours.origin.as_str(), ours.size), (read.origin(), read.size()));
                prop_assert_eq!(theirs(&ours.root), *read.hash());
            }
        }
    }
}

/// `signed_note`, a port of Go's `sumdb/note`, on the same notes.
mod against_signed_note {
    use signed_note::{Note, Signer, StandardSigner, StandardVerifier, VerifierList};

    use super::*;

    fn their_signer(name: &str, seed: [u8; 32]) -> StandardSigner {
        let vkey = SigningKey::from_seed(name, seed).unwrap().vkey();
        let secret = BASE64.encode(&[&[1][..], &seed].concat());
        StandardSigner::new(&format!("PRIVATE+KEY+{name}+{:08x}+{secret}", vkey.key_id())).unwrap()
    }

    /// The text, if they accept the note.
    fn they_accept(note: &str, keys: &[VerifyingKey]) -> Option<String> {
        let verifiers = keys.iter().map(|key| Box::new(StandardVerifier::new(&key.to_string()).unwrap()) as Box<_>);
        let note = Note::from_bytes(note.as_bytes()).ok()?;
        note.verify(&VerifierList::new(verifiers.collect())).ok()?;
        Some(String::from_utf8(note.text().to_vec()).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn notes_are_the_same_both_ways(
            name in "[a-z]{1,8}(\\.example)?(/[a-z0-9]{1,5})?", seed: [u8; 32], text in "([ -~é—]{0,20}\n){1,4}",
        ) {
            let ours = SigningKey::from_seed(&name, seed).unwrap();
            let signer = their_signer(&name, seed);
            prop_assert_eq!(signer.key_id(), ours.vkey().key_id());
            let mut note = Note::new(text.as_bytes(), &[]).unwrap();
            note.add_sigs(&[&signer]).unwrap();
            let note = String::from_utf8(note.to_bytes()).unwrap();
            prop_assert_eq!(&ours.sign(&text), &note);
            prop_assert_eq!(note::verify(&note, &[ours.vkey()]).unwrap().text, text.clone());
            prop_assert_eq!(they_accept(&note, &[ours.vkey()]), Some(text));
        }

        #[test]
        fn verdicts_are_the_same_on_anything(edits in prop::collection::vec(edit(), 0..3), knows_both: bool) {
            let first = SigningKey::from_seed("log.example", [7; 32]).unwrap();
            let second = SigningKey::from_seed("second.example", [8; 32]).unwrap();
            let text = "log.example\n8\n\nmore\n";
            let signed = first.sign(text) + second.sign(text).rsplit_once("\n\n").unwrap().1;
            let note = edited(&signed, &edits);
            let keys = if knows_both { vec![first.vkey(), second.vkey()] } else { vec![first.vkey()] };
            prop_assert_eq!(note::verify(&note, &keys).ok().map(|verified| verified.text), they_accept(&note, &keys));
        }
    }
}

/// A change to one place of a text: a character removed (`None`), replaced or put in front.
type Edit = (prop::sample::Index, Option<char>, bool);

fn edit() -> impl Strategy<Value = Edit> {
    let character =
        prop::sample::select(vec!['\n', ' ', '+', '=', 'A', 'b', '0', '1', '9', '/', '-', '—', '\t', '\u{a0}']);
    (any::<prop::sample::Index>(), prop::option::of(character), any::<bool>())
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (position, character, insert) in edits {
        let i = position.index(chars.len());
        match character {
            Some(character) if *insert => chars.insert(i, *character),
            Some(character) => chars[i] = *character,
            None => {
                chars.remove(i);
            }
        }
    }
    chars.into_iter().collect()
}
