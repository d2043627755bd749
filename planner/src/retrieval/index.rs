use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use workflow::outcome::OutcomeStatus;
use workflow::{PastExecution, Provenance};

use super::embedding::{DIMENSIONS, dot, embed};
use super::skeleton::{PlanSkeleton, execution_skeleton};
use super::{Neighbour, Retrieval};

/// Term saturation of BM25.
const K1: f64 = 1.2;

/// Length normalisation of BM25.
const B: f64 = 0.75;

/// Constant of reciprocal rank fusion.
const RRF_K: f64 = 60.0;

/// Number of documents of each ranking that take part in the fusion.
const FUSION_DEPTH: usize = 200;

/// An exact hybrid index: dense dot products and BM25, combined by reciprocal rank fusion.
///
/// Nothing is approximated: a query is scored against every signature. Executions with the same signature share one
/// document, so the cost of a query grows with the number of distinct signatures, not with the number of executions.
///
/// # Source
/// Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; Cormack, Clarke and
/// Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009.
#[derive(Clone, Debug, Default)]
pub struct HybridIndex {
    documents: Vec<Document>,
    by_signature: BTreeMap<Vec<String>, usize>,
    /// Embeddings of the documents, one after another.
    embeddings: Vec<f32>,
    postings: BTreeMap<String, Postings>,
    executions: usize,
    /// Total number of words in the signatures of all executions.
    words: usize,
}

/// The documents that contain a word.
#[derive(Clone, Debug, Default)]
struct Postings {
    documents: Vec<u32>,
    /// Total number of executions in these documents.
    executions: usize,
}

#[derive(Clone, Debug)]
struct Document {
    words: usize,
    /// Latest first.
    executions: Vec<IndexedPlan>,
}

/// The part of an execution that the index keeps. Contains no object names and no values.
#[derive(Clone, Debug)]
struct IndexedPlan {
    id: String,
    at: Timestamp,
    arm: String,
    outcome: OutcomeStatus,
    skeleton: PlanSkeleton,
    origin: Provenance,
}

impl HybridIndex {
    /// Creates an empty index.
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
                // A signature contains each word once, so the term frequency is 1.
                scores[*document as usize] +=
                    idf * (K1 + 1.0) / (1.0 + K1 * (1.0 - B + B * length / average));
            }
        }
        scores
    }
}

/// Returns the `depth` documents with the highest positive scores. Ties are ordered by insertion.
fn top_documents(scores: &[f64], depth: usize) -> Vec<usize> {
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
        // A plan that acted on an object without a role cannot be adapted, but it still counts as evidence about its
        // arm.
        let skeleton = execution_skeleton(execution).unwrap_or_default();
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
        let kept = IndexedPlan {
            id: execution.id.clone(),
            at: execution.at,
            arm: execution.features.arm.clone(),
            outcome: execution.outcome,
            skeleton,
            origin: execution.origin.clone(),
        };
        let executions = &mut self.documents[at].executions;
        let later =
            |a: &IndexedPlan, b: &IndexedPlan| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id));
        let position = executions
            .binary_search_by(|other| later(other, &kept))
            .unwrap_or_else(|position| position);
        executions.insert(position, kept);
    }

    fn similar(&self, signature: &[String], top_k: usize) -> Vec<Neighbour> {
        let mut words = signature.to_vec();
        words.sort();
        words.dedup();
        let cosines = self.cosines(&embed(&words));
        let dense: Vec<f64> = cosines.iter().map(|cosine| f64::from(*cosine)).collect();
        let mut fused: BTreeMap<usize, f64> = BTreeMap::new();
        for list in
            [top_documents(&dense, FUSION_DEPTH), top_documents(&self.bm25(&words), FUSION_DEPTH)]
        {
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
                outcome: kept.outcome,
                skeleton: kept.skeleton.clone(),
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
