use cluster::ObjectRef;
use serde_json::json;
use workflow::{Facts, Features, Workflow, digest_of_parts};

use super::*;

fn execution(id: usize, words: &[String], verdict: OutcomeStatus) -> PastExecution {
    let workflow: Workflow = serde_json::from_value(json!({"apiVersion": "chiron.dev/v1alpha1", "kind": "RemediationWorkflow",
        "metadata": {"name": "w"}, "spec": {"steps": [{"id": "scale", "action": "scale", "arguments": {
            "target": {"kind": "Deployment", "namespace": "shop", "name": "cart"}, "replicas": 2}}]}}))
    .unwrap();
    PastExecution {
        id: format!("run-{id}"),
        alert: "A".into(),
        target: ObjectRef::builtin("c", "Deployment", Some("shop"), "cart"),
        facts: Facts::default(),
        signature: words.to_vec(),
        workflow,
        features: Features {
            schema: digest_of_parts(&[]),
            arm: "template/x".into(),
            values: Vec::new(),
            steps: Vec::new(),
        },
        outcome: verdict,
        reward: None,
        steps: Vec::new(),
        seconds_to_resolve: None,
        at: "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap()
            + jiff::SignedDuration::from_secs(id as i64),
        origin: workflow::Provenance::Live,
    }
}

/// Signatures of 3 to 7 words out of 40, drawn from the number alone.
fn words(number: usize) -> Vec<String> {
    let draw = |what: &str, of: u64| {
        let digest = digest_of_parts(&["words", &number.to_string(), what]);
        u64::from_be_bytes(digest.bytes()[..8].try_into().unwrap()) % of
    };
    let mut words: Vec<String> = (0..3 + draw("count", 5))
        .map(|i| format!("class{}:Word{}", i % 3, draw(&i.to_string(), 40)))
        .collect();
    words.sort();
    words.dedup();
    words
}

/// Computes the same ranking directly from the definitions, without shared documents or truncated lists.
fn brute_force(executions: &[PastExecution], query: &[String], top_k: usize) -> Vec<String> {
    let mut documents: Vec<Vec<String>> = Vec::new();
    for execution in executions {
        if !documents.contains(&execution.signature) {
            documents.push(execution.signature.clone());
        }
    }
    let n = executions.len() as f64;
    let average =
        executions.iter().map(|execution| execution.signature.len()).sum::<usize>() as f64 / n;
    let embedded = embed(query);
    let dense: Vec<f64> =
        documents.iter().map(|document| f64::from(dot(&embed(document), &embedded))).collect();
    let sparse: Vec<f64> = documents
        .iter()
        .map(|document| {
            let mut score = 0.0;
            for word in query.iter().filter(|word| document.contains(word)) {
                let df = executions
                    .iter()
                    .filter(|execution| execution.signature.contains(word))
                    .count() as f64;
                let idf = (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
                score += idf * 2.2 / (1.0 + 1.2 * (0.25 + 0.75 * document.len() as f64 / average));
            }
            score
        })
        .collect();
    let mut fused = vec![0.0; documents.len()];
    for scores in [&dense, &sparse] {
        let mut order: Vec<usize> =
            (0..documents.len()).filter(|document| scores[*document] > 0.0).collect();
        order.sort_by(|a, b| scores[*b].partial_cmp(&scores[*a]).unwrap().then(a.cmp(b)));
        for (rank, document) in order.into_iter().take(FUSION_DEPTH).enumerate() {
            fused[document] += 1.0 / (61.0 + rank as f64);
        }
    }
    let mut order: Vec<usize> =
        (0..documents.len()).filter(|document| fused[*document] > 0.0).collect();
    order.sort_by(|a, b| fused[*b].partial_cmp(&fused[*a]).unwrap().then(a.cmp(b)));
    let mut found = Vec::new();
    for document in order {
        let mut of_document: Vec<&PastExecution> =
            executions.iter().filter(|e| e.signature == documents[document]).collect();
        of_document.sort_by_key(|execution| std::cmp::Reverse(execution.at));
        found.extend(of_document.into_iter().map(|execution| execution.id.clone()));
    }
    found.truncate(top_k);
    found
}

#[test]
fn similar_matches_brute_force_ranking() {
    // Ids repeat modulo 600, so that some executions share a signature.
    let executions: Vec<PastExecution> =
        (0..1_500).map(|id| execution(id, &words(id % 600), OutcomeStatus::Resolved)).collect();
    let mut index = HybridIndex::new();
    for execution in &executions {
        index.add(execution);
    }
    for query in (0..40).map(|number| words(number * 37)) {
        let found: Vec<String> =
            index.similar(&query, 25).into_iter().map(|neighbour| neighbour.execution).collect();
        assert_eq!(found, brute_force(&executions, &query, 25), "{query:?}");
    }
}

#[test]
fn similar_ranks_identical_signature_first_and_latest_execution_first() {
    let mut index = HybridIndex::new();
    for id in 0..50 {
        index.add(&execution(
            id,
            &words(id % 10),
            if id % 2 == 0 { OutcomeStatus::Resolved } else { OutcomeStatus::NotResolved },
        ));
    }
    let found = index.similar(&words(3), 5);
    assert_eq!(
        found.iter().map(|n| n.execution.as_str()).collect::<Vec<_>>(),
        ["run-43", "run-33", "run-23", "run-13", "run-3"]
    );
    assert!(
        found
            .iter()
            .all(|n| (n.similarity - 1.0).abs() < 1e-6 && n.outcome == OutcomeStatus::NotResolved),
        "{found:?}"
    );
    assert_eq!(index.len(), 50);
}

#[test]
fn index_keeps_no_object_names_or_values() {
    let mut index = HybridIndex::new();
    index.add(&execution(1, &words(1), OutcomeStatus::Resolved));
    let text = serde_json::to_string(&index.similar(&words(1), 1)).unwrap();
    assert!(
        text.contains("scale")
            && text.contains("workload")
            && !text.contains("cart")
            && !text.contains("shop"),
        "{text}"
    );
    assert!(index.similar(&[], 5).is_empty());
}
