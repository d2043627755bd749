//! Chance as an argument: seeds that derive from what they are for.

use cluster::Digest;

/// The 32-byte seed for the draw that `label` names, made for the thing that `id` names.
///
/// The same label and id give the same seed on every machine, so that a replay makes the same choice.
pub fn seed(label: &str, id: &str) -> [u8; 32] {
    *cluster::digest_of_parts(&[label, id]).bytes()
}

/// A number in [0, 1) that derives from `label` and `id`, for places that need one draw and no stream.
pub fn unit(label: &str, id: &str) -> f64 {
    let bytes = seed(label, id);
    let high = u64::from_be_bytes(bytes[..8].try_into().expect("a seed has 32 bytes"));
    // 53 bits are what a double holds exactly.
    (high >> 11) as f64 / (1u64 << 53) as f64
}

/// A seed as it stands in the record.
pub fn written(seed: &[u8; 32]) -> String {
    Digest::from_bytes(*seed).hex()
}
