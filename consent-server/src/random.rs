//! Randomness from the operating system.

/// So many random bytes.
///
/// # Panics
/// If the operating system has no randomness to give: nothing secret can be made then, and nothing may be guessed instead.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}
