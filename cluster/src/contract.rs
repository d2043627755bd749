//! Contract tests for implementations of [`Cluster`] and [`Metrics`]; each implementation runs them in its own tests.
//!
//! The tests specify the behaviour of the Kubernetes API that Chiron relies on, so they have to pass against a real API
//! server as well as against a simulated one. Each test creates its own namespace and inspects only objects that it
//! created, because a real cluster contains other objects. No workload has to run: a cluster without nodes is sufficient,
//! and a test that needs a ready pod writes the status of the pod itself.

mod access;
mod apply;
mod budget;
mod create;
mod custom;
mod delete;
mod error_message;
mod field_manager;
mod list;
mod metrics;
mod patch;
mod quota;
mod read;
mod rollout;
mod secret;
mod subresource;
mod test_namespace;
mod validation;
mod watch;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Cluster, MetricQuery, Metrics};

/// The environment that an implementation provides for the contract tests.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Returns the cluster under test, with the permissions of Chiron.
    fn cluster(&self) -> Arc<dyn Cluster>;

    /// Returns the same cluster with all permissions, for the creation of namespaces, Secrets and other prerequisites. May
    /// be the same value as `cluster`.
    fn admin(&self) -> Arc<dyn Cluster>;

    /// Returns the same cluster with the permissions of a service account, which a test created through `admin`.
    async fn as_service_account(&self, namespace: &str, name: &str) -> Arc<dyn Cluster>;

    /// Waits `seconds` of virtual or real time, so that controllers and caches can catch up.
    async fn wait(&mut self, seconds: u32);
}

/// A contract test of [`Cluster`]; panics with a message if it fails.
pub type ContractTest =
    for<'a> fn(&'a mut dyn Fixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A contract test of [`Metrics`]; panics with a message if it fails.
pub type MetricsContractTest =
    for<'a> fn(&'a dyn Metrics, &'a MetricQuery) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Lists tests with these arguments by module and name. Two tests of the same name do not compile, and a test that is not
/// listed is unused code.
macro_rules! contract_tests {
    ($arguments:tt $($module:ident: $($name:ident),+;)+) => {{
        #[expect(dead_code, non_camel_case_types, reason = "the compiler compares the names")]
        enum UniqueNames { $($($name),+),+ }
        &[$($((stringify!($name), contract_test!($arguments $module $name)),)+)+]
    }};
}

macro_rules! contract_test {
    (($($argument:ident),+) $module:ident $name:ident) => {
        |$($argument),+| Box::pin($module::$name($($argument),+))
    };
}

/// All contract tests of [`Cluster`] with their names. Each needs a fixture; several may share one.
pub const CONTRACT_TESTS: &[(&str, ContractTest)] = contract_tests! { (fixture)
    read:
        get_missing_object_returns_none,
        get_returns_created_object,
        get_with_other_uid_returns_none,
        cached_get_eventually_returns_latest,
        reads_of_unknown_kind_are_refused,
        logs_of_missing_pod_are_refused,
        can_i_returns_own_permissions;
    list:
        list_returns_objects_sorted_by_name,
        list_is_limited_to_its_namespace,
        list_without_namespace_covers_all_namespaces,
        list_filters_by_label,
        list_filters_by_label_expression,
        list_without_matches_is_empty,
        list_pages_respect_limit_and_are_complete,
        list_pages_are_one_snapshot,
        list_rejects_invalid_continue_token;
    create:
        create_sets_uid_version_and_creation_time,
        create_ignores_server_assigned_metadata,
        create_of_existing_name_is_a_conflict,
        name_is_unique_per_kind_and_namespace,
        recreated_object_has_another_uid,
        create_in_unknown_namespace_is_not_found,
        dry_run_create_replies_without_storing,
        dry_run_create_of_existing_name_is_a_conflict,
        new_deployment_has_generation_one_and_no_status,
        create_sets_deployment_defaults,
        create_sets_service_defaults,
        user_agent_is_accepted,
        generate_name_creates_unique_names,
        only_one_client_creates_a_lease;
    validation:
        create_rejects_invalid_names,
        patch_rejects_invalid_labels,
        create_rejects_object_of_another_namespace,
        config_map_rejects_non_string_data,
        deployment_selector_must_match_template,
        deployment_requires_containers,
        container_names_must_be_unique,
        replicas_must_not_be_negative,
        deployment_selector_is_immutable,
        service_rejects_invalid_ports,
        immutable_config_map_rejects_changes,
        name_and_namespace_are_immutable,
        rejected_patch_stores_nothing,
        service_cluster_ip_is_immutable,
        secret_type_is_immutable,
        pod_spec_is_immutable_except_images,
        config_map_data_is_limited_to_1_mib,
        annotations_are_limited_to_256_kib,
        owner_reference_requires_uid;
    patch:
        merge_patch_sets_fields,
        merge_patch_null_removes_fields,
        merge_patch_replaces_lists,
        json_patch_applies_operations,
        json_patch_with_failed_test_stores_nothing,
        json_patch_with_missing_path_is_refused,
        strategic_patch_merges_lists_by_name,
        strategic_patch_delete_directive_removes_elements,
        merge_patch_changes_labels_and_annotations,
        patch_of_missing_object_is_not_found,
        patch_replies_with_stored_object,
        each_change_gets_a_new_resource_version,
        no_op_patch_keeps_resource_version,
        patch_with_stale_version_is_a_conflict,
        patch_with_other_uid_is_a_conflict,
        stale_version_in_patch_body_is_a_conflict,
        matching_preconditions_allow_the_patch,
        dry_run_patch_replies_without_storing,
        generation_counts_spec_changes_only,
        only_one_client_acquires_a_lease,
        creation_timestamp_is_immutable;
    apply:
        apply_creates_missing_object,
        apply_keeps_fields_of_other_managers,
        apply_of_field_with_other_manager_is_a_conflict,
        apply_conflict_names_fields_and_managers,
        apply_conflict_in_list_names_element,
        apply_of_same_value_shares_ownership,
        apply_removes_fields_no_longer_applied,
        apply_keeps_unapplied_field_of_other_manager,
        apply_is_idempotent,
        apply_merges_lists_by_name,
        apply_increments_generation,
        apply_ignores_status,
        dry_run_apply_stores_nothing,
        apply_checks_preconditions,
        apply_rejects_invalid_objects;
    field_manager:
        create_records_field_manager,
        update_takes_field_ownership,
        apply_records_field_manager,
        apply_owns_list_elements_by_key,
        status_update_has_its_own_manager_entry,
        removed_field_has_no_manager;
    subresource:
        patch_ignores_status,
        status_patch_changes_status_only,
        scale_patch_sets_replicas,
        scale_rejects_negative_replicas,
        scale_checks_preconditions,
        scale_of_missing_object_is_not_found,
        scale_works_for_replica_sets,
        dry_run_scale_stores_nothing,
        scale_of_kind_without_scale_is_not_found,
        status_patch_checks_preconditions,
        status_patch_updates_pod_status;
    delete:
        deleted_object_is_not_found,
        delete_of_missing_object_is_not_found,
        delete_with_other_uid_is_a_conflict,
        delete_with_stale_version_is_a_conflict,
        dry_run_delete_deletes_nothing,
        delete_collects_owned_objects,
        finalizer_delays_deletion,
        namespace_deletion_deletes_its_objects,
        eviction_of_missing_pod_is_not_found,
        terminating_object_can_be_patched,
        terminating_object_rejects_new_finalizers,
        delete_of_terminating_object_is_accepted,
        removing_last_finalizer_deletes_object,
        object_with_missing_owner_is_collected,
        object_with_remaining_owner_is_kept,
        garbage_collection_is_transitive,
        terminating_namespace_rejects_new_objects;
    budget:
        eviction_deletes_pod,
        disruption_budget_reports_allowed_disruptions,
        disruption_budget_blocks_eviction_of_last_pod,
        disruption_budget_does_not_block_delete,
        pending_pod_is_evicted_despite_budget,
        dry_run_evict_evicts_nothing,
        eviction_with_other_uid_is_a_conflict;
    quota:
        quota_reports_usage,
        quota_rejects_excess_objects,
        quota_ignores_updates_and_other_kinds,
        quota_is_released_by_deletion,
        quota_counts_objects_of_any_kind,
        quota_sums_pod_requests,
        quota_requires_pod_requests;
    access:
        unbound_service_account_is_forbidden,
        role_allows_only_listed_verbs,
        dry_run_requires_same_permissions,
        role_is_limited_to_its_namespace,
        role_binding_limits_cluster_role_to_namespace,
        resource_names_limit_role_to_named_objects,
        subresource_requires_its_own_permission,
        can_i_reflects_role,
        deleted_role_binding_revokes_permissions;
    error_message:
        invalid_error_names_field_and_cause,
        already_exists_error_names_object,
        version_conflict_error_names_object,
        malformed_object_is_bad_request_or_invalid;
    custom:
        crd_defines_a_kind,
        custom_resources_are_listed_and_watched,
        custom_resource_generation_counts_spec_changes,
        custom_resource_status_is_a_subresource,
        custom_resource_rejects_strategic_patch,
        custom_resource_supports_server_side_apply,
        custom_resource_can_own_objects,
        kind_without_crd_is_not_found,
        crd_deletion_deletes_custom_resources;
    rollout:
        deployment_creates_replica_set,
        template_change_creates_revision,
        replica_set_creates_and_owns_pods,
        ready_pods_make_deployment_available,
        deployment_deletion_deletes_its_pods,
        deleted_pod_is_replaced,
        service_pods_become_endpoints;
    watch:
        watch_delivers_each_change_once_in_order,
        watch_resumes_after_last_version,
        watch_is_limited_to_namespace_and_kind,
        watch_omits_no_ops_and_dry_runs,
        deleted_event_contains_last_state,
        watch_rejects_invalid_version,
        watch_without_namespace_covers_all_namespaces,
        watch_reports_deletion_timestamp_as_modified,
        watch_reports_status_changes,
        watch_reports_applied_changes,
        watch_resumes_from_list_after_expired_version;
    secret:
        secret_values_are_redacted,
        secret_digests_reflect_equality,
        metadata_patch_keeps_secret_values;
};

/// All contract tests of [`Metrics`] with their names, in the order in which [`check_metrics`] runs them.
pub const METRICS_CONTRACT_TESTS: &[(&str, MetricsContractTest)] = contract_tests! { (metrics, known)
    metrics:
        unknown_metric_returns_no_samples,
        samples_are_sorted_and_unique,
        samples_match_queried_labels,
        unmatched_label_returns_no_samples,
        window_query_returns_same_series;
};

/// Runs all contract tests of [`Metrics`]. `known` is a query that returns at least two series.
///
/// # Panics
/// At the first test that fails.
pub async fn check_metrics(metrics: &dyn Metrics, known: &MetricQuery) {
    for (_, test) in METRICS_CONTRACT_TESTS {
        test(metrics, known).await;
    }
}
