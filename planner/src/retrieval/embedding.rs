use cluster::digest_of_parts;

/// Number of dimensions of an embedding.
pub const DIMENSIONS: usize = 256;

/// Embeds the words of a signature by feature hashing.
///
/// Each word adds ±1 and each of its parts ±0.5 in the dimension that its digest selects. The result has L2 norm 1, or
/// is all zeros if there are no words. Words that share parts (`waiting:ImagePullBackOff`, `waiting:ErrImagePull`) have
/// similar embeddings. There are no trained weights; the only seed is the label that is hashed with each word.
///
/// # Source
/// Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009.
pub fn embed(words: &[String]) -> [f32; DIMENSIONS] {
    let mut sum = [0.0_f32; DIMENSIONS];
    for word in words {
        add(&mut sum, word, 1.0);
        for part in parts(word) {
            add(&mut sum, &part, 0.5);
        }
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        for x in &mut sum {
            *x /= length;
        }
    }
    sum
}

fn add(sum: &mut [f32; DIMENSIONS], word: &str, weight: f32) {
    let digest = digest_of_parts(&["chiron-embedding-1", word]);
    let bytes = digest.bytes();
    let sign = if bytes[1] & 1 == 0 { 1.0 } else { -1.0 };
    sum[usize::from(bytes[0])] += sign * weight;
}

/// Splits the part of a word after the colon at capital letters and prefixes each piece with the part before the colon:
/// `waiting:ErrImagePull` gives `waiting/err`, `waiting/image` and `waiting/pull`.
fn parts(word: &str) -> Vec<String> {
    let Some((class, rest)) = word.split_once(':') else { return Vec::new() };
    let mut pieces: Vec<String> = Vec::new();
    for c in rest.chars() {
        if c.is_uppercase() || !c.is_alphanumeric() || pieces.is_empty() {
            pieces.push(String::new());
        }
        if let Some(last) = pieces.last_mut().filter(|_| c.is_alphanumeric()) {
            last.extend(c.to_lowercase());
        }
    }
    pieces.retain(|piece| piece.len() > 1);
    pieces.into_iter().map(|piece| format!("{class}/{piece}")).collect()
}

/// Returns the dot product of `a` and `b`.
///
/// Eight independent partial sums let the compiler vectorise the loop; their fixed order keeps the result reproducible.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}
