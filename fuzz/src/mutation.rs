//! Seeded mutations of byte strings.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Longest input, so that the time per input is bounded.
const MAX_BYTES: usize = 16_384;

/// Bytes that mean something in JSON, YAML, CEL and URLs.
const SYNTAX: &[u8] = b"{}[]()\"'`,:;.&|!?*-+/\\%=<>#@$~ \n\t0123456789aenx\0\x7f\x80\xc3\xff";

/// A deterministic stream of mutations of a corpus.
pub(crate) struct Mutations {
    rng: ChaCha8Rng,
    corpus: Vec<Vec<u8>>,
}

impl Mutations {
    /// Starts the stream of `seed`. The corpus must not be empty.
    pub(crate) fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        assert!(!corpus.is_empty(), "the corpus is empty");
        Self { rng: ChaCha8Rng::seed_from_u64(seed), corpus }
    }

    /// Returns the next input: a member of the corpus after one to eight random edits.
    pub(crate) fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.pick_input();
        for _ in 0..=self.below(8) {
            self.edit(&mut input);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn below(&mut self, bound: usize) -> usize {
        // The bias of a remainder does not matter here.
        (self.rng.next_u64() % bound.max(1) as u64) as usize
    }

    fn pick_input(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len());
        self.corpus[index].clone()
    }

    fn edit(&mut self, input: &mut Vec<u8>) {
        let (at, other) = (self.below(input.len() + 1), self.below(input.len() + 1));
        let (start, end) = (at.min(other), at.max(other));
        match self.below(7) {
            // Flip a bit.
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            // Overwrite a byte with syntax.
            1 if at < input.len() => input[at] = SYNTAX[self.below(SYNTAX.len())],
            // Insert syntax.
            2 => input.insert(at, SYNTAX[self.below(SYNTAX.len())]),
            // Remove a range of up to 16 bytes.
            3 => drop(input.drain(start..end.min(start + 16))),
            // Repeat a range: deep nesting and long tokens.
            4 => {
                let range = input[start..end.min(start + 64)].to_vec();
                let times = self.below(8);
                input.splice(at..at, range.repeat(times));
            }
            // Cut the end.
            5 => input.truncate(at),
            // Continue with the end of another member of the corpus.
            _ => {
                let more = self.pick_input();
                let from = self.below(more.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&more[from..]);
            }
        }
    }
}
