use sha2::{Digest as _, Sha256};

/// Where the salts of payload digests come from: given when a store is opened, never derived from anything kept.
#[derive(Clone, Debug)]
pub enum Salts {
    /// From the operating system, under wall time.
    System,
    /// From a seed, under simulated time, so that the same world gives the same record. Protects nothing.
    Seeded([u8; 32]),
}

impl Salts {
    /// Salts that derive from `seed`.
    pub fn seeded(seed: &str) -> Self {
        Self::Seeded(Sha256::digest(seed.as_bytes()).into())
    }

    /// The salt of record `seq`.
    pub(crate) fn draw(&self, seq: u64) -> [u8; 16] {
        let mut salt = [0; 16];
        match self {
            Self::System => {
                getrandom::fill(&mut salt).expect("the operating system gives random bytes")
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
