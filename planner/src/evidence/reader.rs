use std::collections::BTreeSet;

use cluster::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, MetricQuery, Metrics, Object, ObjectRef,
};
use workflow::{Fact, Facts, Predicate, fact};

use crate::ReadLimits;

/// Reads within a budget, and remembers what could not be read.
pub(super) struct Reader<'a> {
    pub(super) cluster: &'a dyn Cluster,
    metrics: &'a dyn Metrics,
    limits: &'a ReadLimits,
    pub(super) objects: Vec<Object>,
    pub(super) gaps: Vec<String>,
    pub(super) calls: u32,
}

/// Nobody knows whether it is there: it was not read, and the gaps say why.
pub(super) struct Unread;

impl<'a> Reader<'a> {
    pub(super) fn new(
        cluster: &'a dyn Cluster,
        metrics: &'a dyn Metrics,
        limits: &'a ReadLimits,
    ) -> Self {
        Self { cluster, metrics, limits, objects: Vec::new(), gaps: Vec::new(), calls: 0 }
    }

    /// Whether one more call may be made; counts it if so.
    fn may_call(&mut self, what: &str) -> bool {
        if self.calls >= self.limits.calls {
            self.gaps.push(format!(
                "{what} was not read: the limit of {} calls is used up",
                self.limits.calls
            ));
            return false;
        }
        self.calls += 1;
        true
    }

    /// Reads all objects of a kind in a namespace.
    pub(super) async fn list(&mut self, kind: &str, namespace: &str) {
        let kind = Kind::builtin(kind).expect("only built-in kinds are listed");
        let mut query = ListQuery::latest(kind.clone(), Some(namespace));
        let mut left = self.limits.objects_per_list;
        loop {
            if !self.may_call(&kind.kind) {
                return;
            }
            query.limit = Some(left);
            let page = match self.cluster.list(&query).await {
                Ok(page) => page,
                Err(failure) => {
                    return self
                        .gaps
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
                return self.gaps.push(format!(
                    "only the first {} {} objects were read",
                    self.limits.objects_per_list, kind.kind
                ));
            }
        }
    }

    /// Reads one object that is not among those read already.
    pub(super) async fn get(&mut self, object: &ObjectRef) -> Result<Option<Object>, Unread> {
        if let Some(seen) =
            self.objects.iter().find(|seen| seen.reference(self.cluster.name()).is_same(object))
        {
            return Ok(Some(seen.clone()));
        }
        if !self.may_call(&object.kind) {
            return Err(Unread);
        }
        match self.cluster.get(object, Consistency::Latest).await {
            Ok(Some(found)) => {
                self.objects.push(found.clone());
                Ok(Some(found))
            }
            Ok(None) => Ok(None),
            Err(failure) => {
                self.gaps.push(format!("{object} was not read: {failure}"));
                Err(Unread)
            }
        }
    }

    /// Reads the Secrets that the workloads around the target ask for; ConfigMaps were listed.
    pub(super) async fn configuration(&mut self, target: &ObjectRef) {
        let names: BTreeSet<String> = self
            .objects
            .iter()
            .filter(|object| {
                fact::is_workload(object)
                    && (target.kind == "Service" || object.name() == target.name)
            })
            .flat_map(|workload| {
                fact::reads(workload)
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
            // What could not be read stands among the gaps already.
            if let Ok(None) = self.get(&secret).await {
                self.gaps.push(format!("{secret} is asked for and was not found"));
            }
        }
    }

    /// Says of Services of which objects alone say nothing whether requests arrive: not where all of them fail.
    pub(super) async fn unanswered(&mut self, facts: &mut Facts) {
        if !self.may_call("the errors of requests") {
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
                return self.gaps.push(format!("the errors of requests were not read: {failure}"));
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

    /// Reads the last lines that a container wrote.
    pub(super) async fn logs(&mut self, query: &LogQuery) -> Vec<String> {
        if !self.may_call("a log") {
            return Vec::new();
        }
        match self.cluster.logs(query).await {
            Ok(lines) => lines,
            Err(failure) => {
                self.gaps.push(format!("the log of {} was not read: {failure}", query.pod));
                Vec::new()
            }
        }
    }
}
