"""Why helm-operator fails a check, in words: what a failed assertion says is of little use to readers of a table.

Each entry was found by running the check against v1.42 and reading its log and source; a check that passes after all
shows no remark.
"""

from __future__ import annotations

PEER: dict[str, str] = {
    "test_t01_finalizer_comes_before_helm": "it sets its finalizer after the first install",
    "test_t01_ready_can_be_waited_for": "it has neither Ready nor observedGeneration",
    "test_t03_history_is_kept": "it deletes every revision but the deployed one",
    "test_t08_failed_install_is_told_and_leaves_nothing": "no finalizer until an install has succeeded",
    "test_t09_values_that_are_no_map": "the reason is in its log only, there is no status",
    "test_t10_overrides_have_types": "an override stays text, and the chart's schema refuses it",
    "test_t14_repair_without_the_right_to_patch": "told rightly, but other objects are not repaired meanwhile",
    "test_t19_selector": "the selector is ignored while all namespaces are watched",
    "test_t20_dependent_in_another_namespace": "repaired in the next period only",
    "test_t20_cluster_scoped_dependent": "repaired in the next period only",
    "test_t20_kept_dependent": "repaired in the next period only",
    "test_t23_period_of_a_resource": "a period that can't be read: retried for ever, nothing installed, no status",
    "test_t24_forbidden_list_is_told": "/readyz says ok whatever happens",
    "test_t27_deleted_outside": "it makes objects again without Helm's labels, and then refuses them",
    "test_t27_upgraded_outside": "the objects are put back, the record of the release is not",
    "test_t27_rolled_back_outside": "there is no older revision to go back to",
    "test_t28_release_of_another_chart": "the reason is in its log only, there is no status",
    "test_t29_edited_hook": "hooks are no part of what it compares",
    "test_t30_at_rest_nothing_is_written": "it sends patches that change nothing in each period",
    "test_t32_denied_repair_does_not_block_the_rest": "it stops at the first object that it can't repair",
    "test_t32_namespace_comes_before_what_is_in_it": "cluster-scoped objects are repaired in the next period only",
    "test_t35_long_name": "Helm refuses the name, and nothing shortens it",
    "test_t38_one_name_in_three_kinds": "the three kinds fight over one release",
    "test_t39_added_field_is_removed": "what somebody added stays, but for lists that are replaced whole",
    "test_t40_cluster_scoped_object_is_put_back": "cluster-scoped objects are repaired in the next period only",
    "test_t41_replicas_of_an_autoscaler_are_its_own": "it sets the replicas back",
    "test_t44_cold_start_over_many_releases": "a new process writes to releases that are as they should be",
    "test_t47_hook_that_never_ends": "there is no timeout: the worker is held, and the status never tells",
}
