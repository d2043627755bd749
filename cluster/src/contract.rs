//! What every [`Cluster`] and every [`Metrics`] promises: the tests of each implementation call these functions.
//!
//! The promises are those of the Kubernetes API that Chiron relies on, so they must be true of a real API server as of a
//! simulated one. Each makes a namespace of its own and looks only at what it made, for a real cluster keeps objects of
//! its own everywhere. No workload runs: a world without nodes is enough, and where a pod must serve, the promise writes
//! its status.

mod account;
mod apply;
mod budget;
mod create;
mod custom;
mod delete;
mod ground;
mod list;
mod metrics;
mod owner;
mod patch;
mod quota;
mod read;
mod refusal;
mod rollout;
mod secret;
mod subresource;
mod validation;
mod watch;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Cluster, MetricQuery, Metrics};

/// A world to run the promises in.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The cluster under test, as Chiron meets it.
    fn cluster(&self) -> Arc<dyn Cluster>;

    /// The same cluster with every right: it makes namespaces, secrets and what else a promise needs. May be the same
    /// value as `cluster`.
    fn admin(&self) -> Arc<dyn Cluster>;

    /// The same cluster as a service account meets it, which `admin` made: with the rights that roles give it.
    async fn account(&self, namespace: &str, name: &str) -> Arc<dyn Cluster>;

    /// Lets so many seconds pass, virtual or real, so that controllers and caches come to rest.
    async fn settle(&mut self, seconds: u32);
}

/// One promise of [`Cluster`]: panics, with a sentence, where it is not kept.
pub type Promise = for<'a> fn(&'a mut dyn Fixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One promise of [`Metrics`]: panics, with a sentence, where it is not kept.
pub type MetricsPromise =
    for<'a> fn(&'a dyn Metrics, &'a MetricQuery) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

macro_rules! promises {
    ($($module:ident: $($name:ident),+;)+) => {
        &[$($((stringify!($name), |world| Box::pin($module::$name(world))),)+)+]
    };
}

/// Every promise of [`Cluster`] by name, in the order in which [`check_cluster`] runs them.
pub const PROMISES: &[(&str, Promise)] = promises! {
    read:
        an_absent_object_is_not_found,
        a_created_object_is_found,
        a_uid_names_one_incarnation,
        a_cached_read_catches_up,
        an_unknown_kind_shows_nothing,
        logs_of_an_unknown_pod_are_refused,
        permissions_are_answered;
    list:
        a_list_holds_what_was_made_in_order_of_name,
        a_list_keeps_to_its_namespace,
        a_list_of_all_namespaces_holds_each,
        a_list_selects_by_labels,
        a_list_selects_by_expressions,
        an_empty_list_is_no_failure,
        pages_are_bounded_and_lose_nothing,
        pages_show_one_moment,
        a_token_that_is_none_is_refused;
    create:
        a_new_object_gets_uid_version_and_time,
        what_only_the_cluster_may_say_is_not_taken_from_a_client,
        a_name_that_is_taken_is_a_conflict,
        one_name_serves_two_kinds_and_two_namespaces,
        an_object_made_again_is_another_one,
        an_unknown_namespace_takes_no_object,
        a_dry_run_makes_nothing_and_answers_as_if,
        a_dry_run_meets_a_taken_name,
        a_new_deployment_starts_at_generation_one_without_status,
        a_deployment_gets_its_defaults,
        a_service_gets_its_defaults,
        the_agent_is_accepted,
        a_generated_name_is_a_new_one,
        a_lease_is_made_by_one_only;
    validation:
        bad_names_are_refused,
        bad_labels_are_refused,
        an_object_of_another_namespace_is_refused,
        config_data_must_be_text,
        a_deployment_must_select_its_own_pods,
        a_deployment_must_have_containers,
        containers_have_names_of_their_own,
        replicas_are_not_negative,
        the_selector_of_a_deployment_stays,
        service_ports_must_be_ports,
        an_immutable_config_map_keeps_its_data,
        an_object_keeps_its_name,
        a_refused_change_changes_nothing,
        the_address_of_a_service_stays,
        a_secret_keeps_its_type,
        a_pod_keeps_all_but_its_images,
        config_data_has_a_bound,
        annotations_have_a_bound,
        an_owner_has_a_uid;
    patch:
        a_merge_patch_changes_what_it_names,
        a_merge_patch_removes_with_null,
        a_merge_patch_replaces_lists_whole,
        a_json_patch_changes_what_it_names,
        a_json_patch_with_a_failed_test_changes_nothing,
        a_json_patch_that_does_not_fit_is_refused,
        a_strategic_patch_merges_containers_and_variables_by_name,
        a_strategic_patch_removes_by_directive,
        labels_and_annotations_are_patched,
        a_patch_of_an_absent_object_meets_absence,
        a_patch_answers_with_what_is_stored,
        every_change_gives_a_new_version,
        a_patch_without_a_change_keeps_the_version,
        a_stale_version_is_a_conflict,
        a_stale_uid_is_a_conflict,
        a_stale_version_within_the_patch_is_a_conflict,
        preconditions_that_hold_let_the_change_through,
        a_dry_run_patch_stores_nothing_and_answers_as_if,
        generation_counts_changes_of_the_spec_only,
        a_lease_is_taken_by_one_only,
        the_time_of_birth_stays;
    apply:
        apply_makes_what_is_not_there,
        apply_sets_what_it_names_and_leaves_the_rest,
        apply_of_what_another_owns_is_a_conflict,
        a_conflict_of_apply_names_fields_and_managers,
        a_conflict_within_a_list_names_the_element,
        apply_of_the_same_value_is_no_conflict,
        what_is_no_longer_applied_goes,
        what_is_no_longer_applied_stays_where_another_owns_it,
        apply_again_changes_nothing,
        apply_tells_containers_and_variables_apart_by_name,
        an_applied_change_counts_in_the_generation,
        apply_leaves_the_status_alone,
        a_dry_run_of_apply_stores_nothing,
        apply_holds_preconditions,
        apply_refuses_what_is_not_valid;
    owner:
        who_makes_an_object_owns_its_fields,
        who_changes_a_field_owns_it,
        who_applies_owns_what_is_applied,
        an_applier_owns_elements_by_their_keys,
        the_status_has_managers_of_its_own,
        what_is_removed_is_owned_by_nobody;
    subresource:
        the_status_is_not_changed_beside_its_subresource,
        the_status_subresource_changes_the_status_only,
        the_scale_subresource_sets_replicas,
        the_scale_subresource_refuses_what_is_negative,
        the_scale_subresource_holds_preconditions,
        the_scale_of_an_absent_object_is_absent,
        a_replica_set_is_scaled_too,
        a_dry_run_of_a_scale_stores_nothing,
        what_has_no_scale_is_not_scaled,
        the_status_holds_preconditions,
        the_status_of_a_pod_is_written;
    delete:
        a_deleted_object_is_absent,
        deletion_of_an_absent_object_meets_absence,
        deletion_with_a_stale_uid_is_a_conflict,
        deletion_with_a_stale_version_is_a_conflict,
        a_dry_run_deletes_nothing,
        owned_objects_go_with_their_owner,
        a_finalizer_holds_an_object_until_it_is_removed,
        a_namespace_takes_its_objects_with_it,
        eviction_of_an_absent_pod_meets_absence,
        what_is_held_can_still_be_changed,
        what_is_going_takes_no_new_finalizer,
        a_held_object_can_be_deleted_again,
        the_last_of_two_finalizers_lets_go,
        an_object_of_a_lost_owner_is_collected,
        an_object_of_two_owners_stays_with_the_second,
        what_the_owned_own_goes_too,
        a_namespace_that_is_going_takes_nothing_new;
    budget:
        eviction_takes_a_pod,
        a_budget_tells_how_many_pods_may_go,
        a_budget_keeps_the_last_pod,
        a_budget_keeps_nothing_from_being_deleted,
        a_pod_that_never_ran_is_evicted_past_its_budget,
        a_dry_run_evicts_nothing,
        eviction_with_a_stale_uid_is_a_conflict;
    quota:
        a_quota_tells_what_is_used,
        a_quota_refuses_what_exceeds_it,
        a_quota_leaves_changes_and_other_kinds_alone,
        a_quota_has_room_again_after_a_deletion,
        a_quota_counts_objects_of_any_kind,
        a_quota_adds_up_what_pods_ask_for,
        a_pod_must_say_what_a_quota_counts;
    account:
        an_account_without_a_role_may_nothing,
        a_role_allows_what_it_lists_and_no_more,
        a_dry_run_needs_the_same_rights,
        a_role_holds_in_its_namespace_only,
        a_cluster_role_bound_in_a_namespace_holds_there,
        a_role_for_names_holds_for_those,
        a_subresource_is_a_right_of_its_own,
        what_an_account_may_is_answered,
        a_revoked_role_is_worth_nothing;
    refusal:
        what_is_not_valid_is_told_with_field_and_reason,
        a_taken_name_is_told,
        a_stale_version_is_told,
        an_unreadable_object_is_a_bad_request_or_not_valid;
    custom:
        a_definition_makes_a_kind,
        custom_objects_are_listed_and_told,
        custom_objects_count_changes_of_all_but_their_status,
        the_status_of_a_custom_object_is_its_subresource,
        custom_objects_take_no_strategic_patch,
        custom_objects_are_applied,
        custom_objects_own_and_are_owned,
        a_kind_without_a_definition_takes_nothing,
        objects_go_with_their_definition;
    rollout:
        a_deployment_gets_a_replica_set_of_its_template,
        another_template_is_another_revision,
        a_deployment_makes_pods_that_its_set_owns,
        pods_that_serve_make_a_deployment_available,
        a_deployment_that_goes_takes_its_pods,
        a_lost_pod_is_replaced,
        the_pods_of_a_service_become_its_endpoints;
    watch:
        changes_come_in_order_and_each_once,
        changes_go_on_where_the_last_one_ended,
        changes_keep_to_their_namespace_and_kind,
        what_changes_nothing_is_not_told,
        deletions_tell_the_last_state,
        an_unreadable_version_is_refused,
        changes_of_all_namespaces_hold_each,
        a_mark_of_deletion_is_told_as_a_change,
        changes_of_the_status_are_told,
        what_is_applied_is_told,
        a_list_is_where_changes_go_on_when_they_are_forgotten;
    secret:
        no_value_of_a_secret_comes_through,
        equal_values_have_equal_digests_and_others_do_not,
        a_change_beside_the_values_keeps_them;
};

/// Every promise of [`Metrics`] by name, in the order in which [`check_metrics`] runs them.
pub const METRIC_PROMISES: &[(&str, MetricsPromise)] = &[
    ("what_is_not_measured_is_absent", |metrics, known| {
        Box::pin(metrics::what_is_not_measured_is_absent(metrics, known))
    }),
    ("series_come_in_order_and_each_once", |metrics, known| {
        Box::pin(metrics::series_come_in_order_and_each_once(metrics, known))
    }),
    ("samples_carry_the_labels_asked_for", |metrics, known| {
        Box::pin(metrics::samples_carry_the_labels_asked_for(metrics, known))
    }),
    ("a_label_without_a_match_gives_nothing", |metrics, known| {
        Box::pin(metrics::a_label_without_a_match_gives_nothing(metrics, known))
    }),
    ("a_window_is_answered_for_the_same_series", |metrics, known| {
        Box::pin(metrics::a_window_is_answered_for_the_same_series(metrics, known))
    }),
];

/// Checks every promise of [`Cluster`].
///
/// # Panics
/// At the first promise that is not kept, with its sentence. To check them one by one, call those of [`PROMISES`].
pub async fn check_cluster(world: &mut dyn Fixture) {
    for (_, promise) in PROMISES {
        promise(world).await;
    }
}

/// Checks every promise of [`Metrics`]; `known` must be answered with two series or more in this world.
///
/// # Panics
/// At the first promise that is not kept, with its sentence.
pub async fn check_metrics(metrics: &dyn Metrics, known: &MetricQuery) {
    for (_, promise) in METRIC_PROMISES {
        promise(metrics, known).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_promise_has_a_name_of_its_own() {
        let names: BTreeSet<_> = PROMISES.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), PROMISES.len());
        assert!(PROMISES.len() >= 120, "{}", PROMISES.len());
    }
}
