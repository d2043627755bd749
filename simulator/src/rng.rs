use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// The characters of Kubernetes' generated names. There are no vowels, so names do not spell words by accident.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A random number generator whose stream depends only on a label and an id, on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeededRng(ChaCha8Rng);

impl SeededRng {
    pub(crate) fn new(label: &str, id: &str) -> Self {
        Self(ChaCha8Rng::from_seed(workflow::seed::seed(label, id)))
    }

    /// Returns an integer in [0, `bound`); 0 for a `bound` of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of a remainder is below 2^-32 for the small bounds here.
        self.0.next_u64() % bound.max(1)
    }

    /// Returns a number in [0, 1).
    pub(crate) fn uniform01(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns one of `items`.
    ///
    /// # Panics
    /// If `items` is empty.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Returns the suffix of a generated name: `x7k2p`.
    pub(crate) fn suffix(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(*self.pick(LETTERS))).collect()
    }

    /// Returns a uid in the format of a random UUID.
    pub(crate) fn uid(&mut self) -> String {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// Returns the position in the stream, for digests.
    pub(crate) fn position(&self) -> String {
        format!("{}", self.0.get_word_pos())
    }
}

/// Returns the hash of a pod template in the format of ReplicaSet name suffixes: ten letters.
pub(crate) fn template_hash(template: &serde_json::Value) -> String {
    let digest = cluster::Digest::of(crate::world::canonical(template).as_bytes());
    digest.bytes()[..10]
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}
