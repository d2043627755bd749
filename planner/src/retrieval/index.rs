use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use workflow::outcome::Verdict;
use workflow::{PastExecution, Provenance};

use super::embedding::{DIMENSIONS, dot, embed};
use super::shape::{Shape, shape_of};
use super::{Neighbour, Retrieval};

/// Term saturation of BM25.
const K1: f64 = 1.2;

/// Length normalisation of BM25.
const B: f64 = 0.75;

/// Constant of reciprocal rank fusion.
const RRF_K: f64 = 60.0;

/// How deep each list goes into the fusion.
const DEPTH: usize = 200;

/// An exact hybrid index: dense dot products and BM25, fused by reciprocal ranks.
///
/// Nothing is approximated: every signature is scored against every other. Executions of the same signature share one
/// document, so that the scan grows with what happened differently, not with how often.
///
/// # Source
/// Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; Cormack, Clarke and Buettcher,
/// "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009.
#[derive(Clone, Debug, Default)]
pub struct HybridIndex {
    documents: Vec<Document>,
    by_signature: BTreeMap<Vec<String>, usize>,
    /// Embeddings of the documents, one after another.
    embeddings: Vec<f32>,
    postings: BTreeMap<String, Postings>,
    executions: usize,
    /// Words of all executions together.
    words: usize,
}

/// Where a word stands.
#[derive(Clone, Debug, Default)]
struct Postings {
    documents: Vec<u32>,
    /// How many executions these documents hold together.
    executions: usize,
}

#[derive(Clone, Debug)]
struct Document {
    words: usize,
    /// Latest first.
    executions: Vec<Kept>,
}

/// What is kept of an execution: nothing of its names and values.
#[derive(Clone, Debug)]
struct Kept {
    id: String,
    at: Timestamp,
    arm: String,
    verdict: Verdict,
    shape: Shape,
    origin: Provenance,
}

impl HybridIndex {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    fn cosines(&self, query: &[f32; DIMENSIONS]) -> Vec<f32> {
        self.embeddings.chunks_exact(DIMENSIONS).map(|document| dot(document, query)).collect()
    }

    fn bm25(&self, signature: &[String]) -> Vec<f64> {
        let mut scores = vec![0.0; self.documents.len()];
        let n = self.executions as f64;
        let average = self.words as f64 / n.max(1.0);
        for word in signature {
            let Some(postings) = self.postings.get(word) else { continue };
            let df = postings.executions as f64;
            let idf = (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
            for document in &postings.documents {
                let length = self.documents[*document as usize].words as f64;
                // A signature holds a word once, so the term frequency is 1.
                scores[*document as usize] +=
                    idf * (K1 + 1.0) / (1.0 + K1 * (1.0 - B + B * length / average));
            }
        }
        scores
    }
}

/// The best documents by `score`, at most `depth`, ties in the order in which they came.
fn ranked(scores: &[f64], depth: usize) -> Vec<usize> {
    let order = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    let mut documents: Vec<usize> =
        (0..scores.len()).filter(|document| scores[*document] > 0.0).collect();
    if documents.len() > depth {
        documents.select_nth_unstable_by(depth, order);
        documents.truncate(depth);
    }
    documents.sort_unstable_by(order);
    documents
}

impl Retrieval for HybridIndex {
    fn add(&mut self, execution: &PastExecution) {
        // What acted on something without a role cannot be carried over, and is still evidence of its arm.
        let shape = shape_of(execution).unwrap_or_default();
        let mut signature = execution.signature.clone();
        signature.sort();
        signature.dedup();
        self.executions += 1;
        self.words += signature.len();
        let next = self.documents.len();
        let at = *self.by_signature.entry(signature.clone()).or_insert(next);
        if at == next {
            self.embeddings.extend(embed(&signature));
            self.documents.push(Document { words: signature.len(), executions: Vec::new() });
        }
        for word in signature {
            let postings = self.postings.entry(word).or_default();
            postings.executions += 1;
            if at == next {
                postings.documents.push(u32::try_from(at).expect("fewer than 2^32 signatures"));
            }
        }
        let kept = Kept {
            id: execution.id.clone(),
            at: execution.at,
            arm: execution.features.arm.clone(),
            verdict: execution.verdict,
            shape,
            origin: execution.origin.clone(),
        };
        let executions = &mut self.documents[at].executions;
        let later = |a: &Kept, b: &Kept| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id));
        let place =
            executions.binary_search_by(|other| later(other, &kept)).unwrap_or_else(|place| place);
        executions.insert(place, kept);
    }

    fn similar(&self, signature: &[String], top_k: usize) -> Vec<Neighbour> {
        let mut words = signature.to_vec();
        words.sort();
        words.dedup();
        let cosines = self.cosines(&embed(&words));
        let dense: Vec<f64> = cosines.iter().map(|cosine| f64::from(*cosine)).collect();
        let mut fused: BTreeMap<usize, f64> = BTreeMap::new();
        for list in [ranked(&dense, DEPTH), ranked(&self.bm25(&words), DEPTH)] {
            for (rank, document) in list.into_iter().enumerate() {
                *fused.entry(document).or_default() += 1.0 / (RRF_K + rank as f64 + 1.0);
            }
        }
        let mut documents: Vec<(usize, f64)> = fused.into_iter().collect();
        documents.sort_by(|a, b| match b.1.total_cmp(&a.1) {
            Ordering::Equal => a.0.cmp(&b.0),
            order => order,
        });
        let all = documents
            .into_iter()
            .flat_map(|(at, _)| self.documents[at].executions.iter().map(move |kept| (at, kept)));
        all.take(top_k)
            .enumerate()
            .map(|(index, (at, kept))| Neighbour {
                execution: kept.id.clone(),
                arm: kept.arm.clone(),
                verdict: kept.verdict,
                shape: kept.shape.clone(),
                similarity: dense[at].clamp(f64::MIN_POSITIVE, 1.0),
                rank: index + 1,
                origin: kept.origin.clone(),
            })
            .collect()
    }

    fn len(&self) -> usize {
        self.executions
    }
}

#[cfg(test)]
mod tests;
