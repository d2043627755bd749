use std::collections::BTreeSet;

use cluster::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, MetricQuery, Metrics, Object, ObjectRef,
};
use workflow::{Fact, Facts, Predicate, fact};

use crate::ReadLimits;

/// Reads from the cluster and the metrics source within a call budget, and records what could not be read.
pub(super) struct Reader<'a> {
    pub(super) cluster: &'a dyn Cluster,
    metrics: &'a dyn Metrics,
    limits: &'a ReadLimits,
    pub(super) objects: Vec<Object>,
    pub(super) missing: Vec<String>,
    pub(super) api_calls: u32,
}

/// The object was not read, so it may or may not exist. [`Reader::missing`] says why.
pub(super) struct ReadError;

impl<'a> Reader<'a> {
    pub(super) fn new(
        cluster: &'a dyn Cluster,
        metrics: &'a dyn Metrics,
        limits: &'a ReadLimits,
    ) -> Self {
        Self { cluster, metrics, limits, objects: Vec::new(), missing: Vec::new(), api_calls: 0 }
    }

    /// Takes one call from the budget. Returns false if the budget is used up.
    fn take_call(&mut self, what: &str) -> bool {
        if self.api_calls >= self.limits.calls {
            self.missing.push(format!(
                "{what} was not read: the limit of {} read calls per incident is reached",
                self.limits.calls
            ));
            return false;
        }
        self.api_calls += 1;
        true
    }

    /// Reads all objects of a kind in a namespace.
    pub(super) async fn list(&mut self, kind: &str, namespace: &str) {
        let kind = Kind::builtin(kind).expect("only built-in kinds are listed");
        let mut query = ListQuery::latest(kind.clone(), Some(namespace));
        let mut left = self.limits.objects_per_list;
        loop {
            if !self.take_call(&kind.kind) {
                return;
            }
            query.limit = Some(left);
            let page = match self.cluster.list(&query).await {
                Ok(page) => page,
                Err(failure) => {
                    return self
                        .missing
                        .push(format!("{} objects were not read: {failure}", kind.kind));
                }
            };
            left = left.saturating_sub(page.items.len());
            self.objects.extend(page.items);
            query.continue_token = page.continue_token;
            if query.continue_token.is_none() {
                return;
            }
            if left == 0 {
                return self.missing.push(format!(
                    "only the first {} {} objects were read",
                    self.limits.objects_per_list, kind.kind
                ));
            }
        }
    }

    /// Reads one object, unless it was read before.
    pub(super) async fn get(&mut self, object: &ObjectRef) -> Result<Option<Object>, ReadError> {
        if let Some(seen) =
            self.objects.iter().find(|seen| seen.reference(self.cluster.name()).is_same(object))
        {
            return Ok(Some(seen.clone()));
        }
        if !self.take_call(&object.kind) {
            return Err(ReadError);
        }
        match self.cluster.get(object, Consistency::Latest).await {
            Ok(Some(found)) => {
                self.objects.push(found.clone());
                Ok(Some(found))
            }
            Ok(None) => Ok(None),
            Err(failure) => {
                self.missing.push(format!("{object} was not read: {failure}"));
                Err(ReadError)
            }
        }
    }

    /// Reads the Secrets that the workloads around the target reference; the ConfigMaps are listed already.
    pub(super) async fn read_secrets(&mut self, target: &ObjectRef) {
        let names: BTreeSet<String> = self
            .objects
            .iter()
            .filter(|object| {
                fact::is_workload(object)
                    && (target.kind == "Service" || object.name() == target.name)
            })
            .flat_map(|workload| {
                fact::key_references(workload)
                    .into_iter()
                    .filter(|read| read.kind == "Secret")
                    .map(|read| read.name.to_string())
                    .collect::<Vec<_>>()
            })
            .collect();
        for name in names.into_iter().take(8) {
            let secret = ObjectRef::builtin(
                self.cluster.name(),
                "Secret",
                target.namespace.as_deref(),
                &name,
            );
            // A failed read is recorded in `missing` by `get`.
            if let Ok(None) = self.get(&secret).await {
                self.missing.push(format!("{secret} is referenced but does not exist"));
            }
        }
    }

    /// Adds a `reachable` fact, from the request error rate, for each Service without one.
    ///
    /// A Service is reachable unless practically all of its requests fail.
    pub(super) async fn measure_reachability(&mut self, facts: &mut Facts) {
        if !self.take_call("the request error rate") {
            return;
        }
        let query = MetricQuery {
            metric: "http_request_error_ratio".into(),
            labels: Default::default(),
            window_seconds: 0,
        };
        let samples = match self.metrics.query(&query).await {
            Ok(samples) => samples,
            Err(failure) => {
                return self
                    .missing
                    .push(format!("the request error rate was not read: {failure}"));
            }
        };
        let mut measured = Vec::new();
        for service in self.objects.iter().filter(|object| object.kind().kind == "Service") {
            let reference = service.reference(self.cluster.name());
            if facts.value(&reference, Predicate::Reachable, "").is_some() {
                continue;
            }
            let is_of = |labels: &std::collections::BTreeMap<String, String>| {
                labels.get("service").map(String::as_str) == Some(service.name())
                    && labels.get("namespace").map(String::as_str) == service.namespace()
            };
            if let Some(sample) = samples.iter().find(|sample| is_of(&sample.labels)) {
                measured.push(Fact {
                    subject: reference,
                    predicate: Predicate::Reachable,
                    key: String::new(),
                    value: (sample.value < 0.99).into(),
                });
            }
        }
        facts.extend(measured);
    }

    /// Reads the last log lines of a container.
    pub(super) async fn logs(&mut self, query: &LogQuery) -> Vec<String> {
        if !self.take_call("a container log") {
            return Vec::new();
        }
        match self.cluster.logs(query).await {
            Ok(lines) => lines,
            Err(failure) => {
                self.missing.push(format!("the log of {} was not read: {failure}", query.pod));
                Vec::new()
            }
        }
    }
}
