use cluster::digest_of_parts;

/// How many numbers an embedding has.
pub const DIMENSIONS: usize = 256;

/// Embeds the words of a signature: each word, and each of its parts, adds ±1 at a place that its digest names; the
/// result has length 1, or is 0 for no words.
///
/// Words that share parts (`waiting:ImagePullBackOff`, `waiting:ErrImagePull`) are alike. No weights but the seed in the
/// label of the digest.
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

/// The parts of a word: what stands before the colon, and the capitalised pieces behind it, each with the first.
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

/// The dot product. Eight sums in step, so that the loop runs on vector registers, and always in the same order.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}
