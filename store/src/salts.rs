use sha2::{Digest as _, Sha256};

/// Source of the salts of payload digests. Passed when a store is opened, never derived from stored data.
#[derive(Clone, Debug)]
pub enum Salts {
    /// Random bytes of the operating system. Used with wall time.
    System,
    /// Derived from a seed, so that a simulated world produces the same record each time. Provides no secrecy.
    Seeded([u8; 32]),
}

impl Salts {
    /// Derives the salts from `seed`.
    pub fn seeded(seed: &str) -> Self {
        Self::Seeded(Sha256::digest(seed.as_bytes()).into())
    }

    /// Returns the salt of record `seq`.
    pub(crate) fn for_record(&self, seq: u64) -> [u8; 16] {
        let mut salt = [0; 16];
        match self {
            Self::System => {
                getrandom::fill(&mut salt).expect("the operating system provides random bytes")
            }
            Self::Seeded(seed) => {
                let digest =
                    Sha256::new().chain_update(seed).chain_update(seq.to_be_bytes()).finalize();
                salt.copy_from_slice(&digest[..16]);
            }
        }
        salt
    }
}
