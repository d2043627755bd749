//! Deterministic randomness: seeds derived from the purpose and the id of the draw.

use cluster::Digest;

/// Returns the 32-byte seed for the draw named `label` of the entity `id`.
///
/// The same label and id give the same seed on every machine, so that a replay makes the same choices.
pub fn seed(label: &str, id: &str) -> [u8; 32] {
    *cluster::digest_of_parts(&[label, id]).bytes()
}

/// Returns a number in [0, 1) derived from `label` and `id`, for code that needs a single draw.
pub fn uniform01(label: &str, id: &str) -> f64 {
    let bytes = seed(label, id);
    let high = u64::from_be_bytes(bytes[..8].try_into().expect("a seed has 32 bytes"));
    // A double represents integers of up to 53 bits exactly.
    (high >> 11) as f64 / (1u64 << 53) as f64
}

/// Returns the seed in hex, as stored in the record.
pub fn to_hex(seed: &[u8; 32]) -> String {
    Digest::from_bytes(*seed).hex()
}
