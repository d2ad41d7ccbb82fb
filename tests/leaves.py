"""Which test saw each leaf of a specification work: the other half of `podling.apiserver.gaps`.

By kind: path → test, `FOLDER/FILE.py::FUNCTION`, or `…::FUNCTION[CASE]` where the case is a row of `tests/e2e/test_given.py`.
A path stands for all that is below it; a longer one goes before a shorter one. Containers of all three lists are made by
the same code, and `test_every_kind_of_container_is_given_the_same` holds that: what one of them was seen with stands in
`CONTAINER` for all, and what only some of them may have is said in `ONLY`.

`tests/unit/test_leaves.py` walks the schema with this: no leaf without a line here, in the gaps, or among the alpha
fields that are dropped; no line without a leaf; no test that is not there or does not name the leaf.
"""

from __future__ import annotations

from collections.abc import Mapping

_ARMOR = "unit/kubelet/test_security.py::test_apparmor_profiles_are_asked_for_where_the_kernel_has_them"
_GIVEN = "e2e/test_given.py::test_a_pod_is_given_what_it_asks_for"
_HOOKS = "scenario/test_pod_hooks.py"
_PROBES = "scenario/test_probes.py"
_CHECKS = "unit/kubelet/test_probe_checks.py"
_LATER = "machine/lifecycle/test_later_rules.py"
_OTHERS = "machine/placement/test_other_pods.py"

_ACTIONS: Mapping[str, str] = {
    "exec": f"{_PROBES}::test_liveness_restarts",
    "grpc": f"{_CHECKS}::test_grpc_health",
    "httpGet.host": f"{_CHECKS}::test_what_is_sent",
    "httpGet.httpHeaders[]": f"{_CHECKS}::test_what_is_sent",
    "httpGet.path": f"{_PROBES}::test_liveness_restarts",
    "httpGet.port": f"{_PROBES}::test_named_ports_and_missing_ones",
    "httpGet.scheme": f"{_CHECKS}::test_https_asks_for_no_certificate",
    "tcpSocket.host": f"{_CHECKS}::test_nobody_listens",
    "tcpSocket.port": f"{_PROBES}::test_a_tcp_probe_that_is_refused",
}
_PROBE: Mapping[str, str] = {
    **_ACTIONS,
    "failureThreshold": "machine/lifecycle/test_probes.py::test_failures_in_a_row_end_a_container",
    "initialDelaySeconds": f"{_PROBES}::test_liveness_restarts",
    "periodSeconds": f"{_PROBES}::test_liveness_restarts",
    "successThreshold": "machine/lifecycle/test_probes.py::test_successes_in_a_row_make_ready",
    "terminationGracePeriodSeconds": f"{_PROBES}::test_a_probe_has_a_grace_of_its_own",
    "timeoutSeconds": f"{_PROBES}::test_a_probe_that_hangs_fails_at_its_timeout",
}
_FIELD: Mapping[str, str] = {
    "fieldRef": f"{_GIVEN}[fields]",
    "resourceFieldRef.containerName": f"{_GIVEN}[all-amounts]",
    "resourceFieldRef": f"{_GIVEN}[amounts]",
}

CONTAINER: Mapping[str, str] = {
    "args": f"{_GIVEN}[expansion]",
    "command": f"{_GIVEN}[expansion]",
    "env[].name": f"{_GIVEN}[expansion]",
    "env[].value": f"{_GIVEN}[expansion]",
    "env[].valueFrom.configMapKeyRef": f"{_GIVEN}[references]",
    "env[].valueFrom.secretKeyRef": f"{_GIVEN}[references]",
    "env[].valueFrom.fileKeyRef": f"{_GIVEN}[file-variables]",
    **{f"env[].valueFrom.{path}": test for path, test in _FIELD.items()},
    "envFrom[]": f"{_GIVEN}[references]",
    "image": f"{_GIVEN}[defaults]",
    "imagePullPolicy": "e2e/test_registry.py::test_policies_ask_as_much_as_they_must",
    "lifecycle.postStart.exec": "e2e/test_lifecycle.py::test_post_start_that_fails",
    "lifecycle.postStart.sleep": f"{_HOOKS}::test_post_start_holds_up_the_containers_after_it",
    "lifecycle.preStop.sleep": f"{_HOOKS}::test_pre_stop_and_sigterm_share_the_grace",
    "lifecycle.preStop.exec": "e2e/test_lifecycle.py::test_pre_stop_and_sigterm_share_the_grace",
    **{
        f"lifecycle.{hook}.{path}": test
        for hook in ("postStart", "preStop")
        for path, test in {
            "httpGet": "unit/kubelet/test_hook_actions.py::test_an_http_hook_asks_as_it_is_told",
            "tcpSocket": "unit/kubelet/test_hook_actions.py::test_a_tcp_hook_is_refused_as_upstream_does",
        }.items()
    },
    "lifecycle.stopSignal": "e2e/test_lifecycle.py::test_a_signal_of_its_own",
    **{
        f"{probe}.{path}": test
        for probe in ("livenessProbe", "readinessProbe", "startupProbe")
        for path, test in _PROBE.items()
    },
    "name": f"{_GIVEN}[defaults]",
    "ports[].containerPort": f"{_PROBES}::test_named_ports_and_missing_ones",
    "ports[].name": f"{_PROBES}::test_named_ports_and_missing_ones",
    "ports[].hostIP": "machine/placement/test_filters.py::test_ports",
    "ports[].hostPort": "e2e/test_services.py::test_host_ports",
    "ports[].protocol": "machine/placement/test_filters.py::test_ports",
    "resizePolicy[]": f"{_LATER}::test_which_resize_restarts",
    "resources.limits{}": "e2e/test_resources.py::test_the_tree_of_control_groups",
    "resources.requests{}": "e2e/test_resources.py::test_the_tree_of_control_groups",
    "restartPolicy": "e2e/test_lifecycle.py::test_sidecars_begin_first_and_end_last",
    "restartPolicyRules[]": "e2e/test_lifecycle.py::test_all_containers_begin_anew",
    "securityContext.allowPrivilegeEscalation": f"{_GIVEN}[no-escalation]",
    "securityContext.appArmorProfile": _ARMOR,
    "securityContext.capabilities": f"{_GIVEN}[capable]",
    "securityContext.privileged": f"{_GIVEN}[privileged]",
    "securityContext.procMount": "e2e/test_security.py::test_a_container_may_do_this_and_not_that",
    "securityContext.readOnlyRootFilesystem": f"{_GIVEN}[read-only]",
    "securityContext.runAsGroup": f"{_GIVEN}[nobody]",
    "securityContext.runAsNonRoot": f"{_GIVEN}[non-root]",
    "securityContext.runAsUser": f"{_GIVEN}[nobody]",
    "securityContext.seccompProfile.type": "e2e/test_security.py::test_a_container_may_do_this_and_not_that",
    "securityContext.seccompProfile.localhostProfile": "e2e/test_security.py::test_profiles_lie_below_the_nodes_folder",
    "stdin": f"{_GIVEN}[terminal]",
    "stdinOnce": "e2e/test_given.py::test_input_is_given_once",
    "terminationMessagePath": "e2e/test_given.py::test_a_container_leaves_a_message",
    "terminationMessagePolicy": "e2e/test_given.py::test_a_container_leaves_a_message",
    "tty": f"{_GIVEN}[terminal]",
    "volumeMounts[].mountPath": f"{_GIVEN}[shared]",
    "volumeMounts[].mountPropagation": "e2e/test_volumes.py::test_mounts_propagate_as_far_as_they_are_asked_to",
    "volumeMounts[].name": f"{_GIVEN}[shared]",
    "volumeMounts[].readOnly": f"{_GIVEN}[read-only-mount]",
    "volumeMounts[].recursiveReadOnly": "e2e/test_volumes.py::test_read_only_down_to_the_last_mount",
    "volumeMounts[].subPath": f"{_GIVEN}[sub-path]",
    "volumeMounts[].subPathExpr": f"{_GIVEN}[sub-path]",
    "workingDir": f"{_GIVEN}[directory]",
}
"""Paths of a container of any list."""

ONLY: Mapping[str, Mapping[str, str]] = {
    "spec.ephemeralContainers[]": {
        "targetContainerName": "e2e/test_given.py::test_every_kind_of_container_is_given_the_same",
        **dict.fromkeys(
            (
                "lifecycle",
                "livenessProbe",
                "ports[]",
                "readinessProbe",
                "resizePolicy[]",
                "resources",
                "restartPolicy",
                "restartPolicyRules[]",
                "startupProbe",
            ),
            "unit/api/validation/test_pod_update.py::test_ephemeral_containers_may_not_have_all",
        ),
        **dict.fromkeys(
            ("volumeMounts[].subPath", "volumeMounts[].subPathExpr"),
            "unit/api/validation/test_pod_update.py::test_ephemeral_containers_mount_volumes_whole",
        ),
    },
}
"""What one list of containers has of its own, or is refused."""

_TERM: Mapping[str, str] = {
    "labelSelector.matchExpressions[]": f"{_OTHERS}::test_terms_select_by_every_operator",
    "labelSelector.matchLabels{}": f"{_OTHERS}::test_affinity_needs_a_pod_of_all_terms_in_each_topology",
    "matchLabelKeys[]": "unit/apiserver/test_pod_subresources.py::test_label_keys_become_requirements",
    "mismatchLabelKeys[]": "unit/apiserver/test_pod_subresources.py::test_label_keys_become_requirements",
    "namespaceSelector.matchExpressions[]": f"{_OTHERS}::test_terms_select_by_every_operator",
    "namespaceSelector.matchLabels{}": f"{_OTHERS}::test_affinity_across_namespaces",
    "namespaces[]": f"{_OTHERS}::test_affinity_across_namespaces",
    "topologyKey": f"{_OTHERS}::test_affinity_needs_a_pod_of_all_terms_in_each_topology",
}
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_FILES: Mapping[str, Mapping[str, str]] = {
    "configMap": {
        "items[]": f"{_GIVEN}[config-map-items]",
        "name": f"{_GIVEN}[config-map]",
        "optional": f"{_GIVEN}[config-map-optional]",
    },
    "secret": {"items[]": f"{_GIVEN}[secret-items]", "optional": f"{_GIVEN}[secret-optional]"},
    "downwardAPI": {
        "items[].path": f"{_GIVEN}[downward]",
        "items[].mode": f"{_GIVEN}[downward-modes]",
        "items[].fieldRef": f"{_GIVEN}[downward-modes]",
        "items[].resourceFieldRef": f"{_GIVEN}[downward-modes]",
    },
}  # fmt: skip

POD: Mapping[str, str] = {
    **{
        f"spec.affinity.{affinity}.{path}": test
        for affinity in ("podAffinity", "podAntiAffinity")
        for path, test in {
            **{f"{_REQUIRED}[].{path}": test for path, test in _TERM.items()},
            **{f"{_PREFERRED}[].podAffinityTerm.{path}": test for path, test in _TERM.items()},
            f"{_PREFERRED}[].weight": f"{_OTHERS}::test_preferences_weigh_both_ways",
        }.items()
    },
    f"spec.affinity.nodeAffinity.{_REQUIRED}": "machine/placement/test_filters.py::test_node_affinity_operators",
    f"spec.affinity.nodeAffinity.{_PREFERRED}[]": "machine/placement/test_scores.py::test_preferred_affinity",
    "spec.activeDeadlineSeconds": "machine/lifecycle/test_plan.py::test_active_deadline_fails_the_pod",
    "spec.automountServiceAccountToken": f"{_GIVEN}[no-token]",
    "spec.dnsConfig": f"{_GIVEN}[resolver]",
    "spec.dnsPolicy": f"{_GIVEN}[resolver]",
    "spec.enableServiceLinks": f"{_GIVEN}[not-linked]",
    "spec.hostAliases[]": f"{_GIVEN}[hosts]",
    "spec.hostIPC": f"{_GIVEN}[host-ipc]",
    "spec.hostNetwork": f"{_GIVEN}[host-network]",
    "spec.hostPID": f"{_GIVEN}[host-processes]",
    "spec.hostUsers": "e2e/test_security.py::test_pods_with_users_of_their_own_live_like_others",
    "spec.hostname": f"{_GIVEN}[hosts]",
    "spec.hostnameOverride": f"{_GIVEN}[overridden]",
    "spec.imagePullSecrets[]": "e2e/test_registry.py::test_who_has_no_right_is_told_so",
    "spec.nodeName": "scenario/test_pod_lives.py::test_waits_for_a_node_that_fits",
    "spec.nodeSelector{}": "machine/placement/test_filters.py::test_node_selection",
    "spec.os.name": "machine/lifecycle/test_admission.py::test_a_pod_of_another_system_is_refused",
    "spec.overhead{}": "e2e/test_given.py::test_overhead_is_part_of_what_a_pod_gets",
    "spec.preemptionPolicy": "scenario/test_preemption.py::test_a_pod_that_never_preempts_waits",
    "spec.priority": "machine/placement/test_preemption.py::test_only_as_many_go_as_must",
    "spec.priorityClassName": "unit/apiserver/test_admission.py::test_priority_follows_from_the_class",
    "spec.readinessGates[]": "machine/lifecycle/test_rules.py::test_readiness_gates_hold_ready_back",
    "spec.resources.limits{}": f"{_GIVEN}[amounts-of-the-pod]",
    "spec.resources.requests{}": "e2e/test_resources.py::test_a_pod_is_resized_as_a_whole",
    "spec.restartPolicy": "machine/lifecycle/test_rules.py::test_restart_policy",
    "spec.runtimeClassName": "e2e/test_given.py::test_a_runtime_class_that_no_node_knows_is_waited_for",
    "spec.schedulerName": "unit/scheduler/test_scheduler.py::test_gates_other_schedulers_and_deleted_pods",
    "spec.schedulingGates[]": "scenario/test_preemption.py::test_gates_hold_a_pod_back",
    "spec.securityContext.appArmorProfile": _ARMOR,
    "spec.securityContext.fsGroup": f"{_GIVEN}[empty-group]",
    "spec.securityContext.fsGroupChangePolicy": f"{_GIVEN}[fsgroup-policy]",
    "spec.securityContext.runAsGroup": f"{_GIVEN}[user]",
    "spec.securityContext.runAsNonRoot": f"{_GIVEN}[non-root]",
    "spec.securityContext.runAsUser": f"{_GIVEN}[user]",
    "spec.securityContext.seccompProfile.type": "e2e/test_security.py::test_a_container_may_do_this_and_not_that",
    "spec.securityContext.seccompProfile.localhostProfile": "e2e/test_security.py::test_profiles_lie_below_the_nodes_folder",
    "spec.securityContext.supplementalGroups[]": f"{_GIVEN}[groups]",
    "spec.securityContext.supplementalGroupsPolicy": f"{_GIVEN}[strict-groups]",
    "spec.securityContext.sysctls[]": f"{_GIVEN}[sysctl]",
    "spec.serviceAccount": "unit/api/defaults/test_pod_defaults.py::test_the_deprecated_account_name_stays_equal_to_the_new_one",
    "spec.serviceAccountName": f"{_GIVEN}[token-for]",
    "spec.setHostnameAsFQDN": f"{_GIVEN}[fqdn]",
    "spec.shareProcessNamespace": f"{_GIVEN}[shared-processes]",
    "spec.subdomain": f"{_GIVEN}[fqdn]",
    "spec.terminationGracePeriodSeconds": f"{_HOOKS}::test_pre_stop_and_sigterm_share_the_grace",
    "spec.tolerations[]": "machine/placement/test_filters.py::test_taints",
    "spec.tolerations[].tolerationSeconds": "scenario/test_lost_node.py::test_pods_of_a_lost_node_go_when_their_tolerations_are_used_up",
    "spec.topologySpreadConstraints[].labelSelector.matchExpressions[]": f"{_OTHERS}::test_terms_select_by_every_operator",
    "spec.topologySpreadConstraints[].labelSelector.matchLabels{}": f"{_OTHERS}::test_spreading_counts_its_own_kind_alone",
    "spec.topologySpreadConstraints[].matchLabelKeys[]": f"{_OTHERS}::test_match_label_keys_part_generations",
    "spec.topologySpreadConstraints[].maxSkew": f"{_OTHERS}::test_hard_spreading",
    "spec.topologySpreadConstraints[].minDomains": f"{_OTHERS}::test_too_few_domains_count_as_an_empty_one",
    "spec.topologySpreadConstraints[].nodeAffinityPolicy": f"{_OTHERS}::test_spreading_over_nodes_that_the_pod_may_have",
    "spec.topologySpreadConstraints[].nodeTaintsPolicy": f"{_OTHERS}::test_spreading_over_nodes_that_the_pod_may_have",
    "spec.topologySpreadConstraints[].topologyKey": f"{_OTHERS}::test_hard_spreading",
    "spec.topologySpreadConstraints[].whenUnsatisfiable": f"{_OTHERS}::test_soft_spreading_only_weighs",
    **{f"spec.volumes[].{kind}.{path}": test for kind, paths in _FILES.items() for path, test in paths.items()},
    **{
        f"spec.volumes[].projected.sources[].{kind}.{path}": f"{_GIVEN}[projected-all]"
        for kind, paths in _FILES.items()
        for path in paths
    },
    "spec.volumes[].configMap.defaultMode": f"{_GIVEN}[config-map-mode]",
    "spec.volumes[].downwardAPI.defaultMode": f"{_GIVEN}[downward]",
    "spec.volumes[].emptyDir.medium": f"{_GIVEN}[memory]",
    "spec.volumes[].emptyDir.sizeLimit": f"{_GIVEN}[memory]",
    "spec.volumes[].hostPath": "e2e/test_volumes.py::test_host_paths_are_what_their_types_say",
    "spec.volumes[].image": f"{_GIVEN}[image-volume]",
    "spec.volumes[].name": f"{_GIVEN}[shared]",
    "spec.volumes[].projected.defaultMode": f"{_GIVEN}[projected]",
    "spec.volumes[].projected.sources[].serviceAccountToken": f"{_GIVEN}[token-for]",
    "spec.volumes[].projected.sources[].secret.name": f"{_GIVEN}[projected-all]",
    "spec.volumes[].secret.defaultMode": f"{_GIVEN}[secret-mode]",
    "spec.volumes[].secret.secretName": f"{_GIVEN}[secret-mode]",
}

_TEMPLATE = "spec.volumes[].ephemeral.volumeClaimTemplate"
_BINDING = "machine/controllers/test_volume_binding.py::test_the_best_volume_is_chosen"
_FOLDER = "machine/controllers/test_local_path.py::test_what_a_folder_cannot_be"

CLAIMS: Mapping[str, str] = {
    "spec.volumes[].persistentVolumeClaim.claimName":
        "e2e/test_storage.py::test_data_outlives_its_pod_and_goes_with_its_claim",
    "spec.volumes[].persistentVolumeClaim.readOnly": "e2e/test_storage.py::test_groups_parts_and_reading_only",
    f"{_TEMPLATE}.metadata":
        "unit/api/validation/test_volumes.py::test_a_claim_for_a_pod_brings_labels_and_annotations_alone",
    f"{_TEMPLATE}.metadata.labels{{}}": "scenario/test_volumes.py::test_ephemeral_volumes_live_with_their_pod",
    f"{_TEMPLATE}.metadata.annotations{{}}": "scenario/test_volumes.py::test_ephemeral_volumes_live_with_their_pod",
    f"{_TEMPLATE}.spec.accessModes[]": "e2e/test_storage.py::test_one_pod_at_a_time",
    f"{_TEMPLATE}.spec.dataSource": _FOLDER,
    f"{_TEMPLATE}.spec.dataSourceRef": _FOLDER,
    f"{_TEMPLATE}.spec.resources.requests{{}}": "e2e/test_storage.py::test_ephemeral_volumes",
    f"{_TEMPLATE}.spec.selector": _BINDING,
    f"{_TEMPLATE}.spec.storageClassName": "scenario/test_volumes.py::test_a_default_class_that_comes_late",
    f"{_TEMPLATE}.spec.volumeMode": _FOLDER,
    f"{_TEMPLATE}.spec.volumeName": _BINDING,
}  # fmt: skip
"""Claims that Pods name and those that are made for them."""

_POLICIES = "e2e/test_network_policy.py::test_who_reaches_whom_under_policies"
_SELECTED = ("matchLabels{}", "matchExpressions[].key", "matchExpressions[].operator", "matchExpressions[].values[]")

POLICY: Mapping[str, str] = {
    f"spec.{path}": _POLICIES
    for path in (
        *(f"podSelector.{part}" for part in _SELECTED),
        "policyTypes[]",
        *(
            f"{rules}.{path}"
            for rules, peers in (("ingress[]", "from[]"), ("egress[]", "to[]"))
            for path in (
                *(f"{peers}.podSelector.{part}" for part in _SELECTED),
                *(f"{peers}.namespaceSelector.{part}" for part in _SELECTED),
                f"{peers}.ipBlock.cidr",
                f"{peers}.ipBlock.except[]",
                "ports[].endPort",
                "ports[].port",
                "ports[].protocol",
            )
        ),
    )
}
"""One table of policies, tried with each caller and each callee of two nodes."""

_WAYS = "e2e/test_proxy_rules.py::test_every_way"
_LB = "scenario/test_load_balancers.py"

SERVICE: Mapping[str, str] = {
    "spec.allocateLoadBalancerNodePorts": "unit/apiserver/test_services.py::test_a_balancer_may_do_without_node_ports",
    "spec.clusterIP": _WAYS,
    "spec.clusterIPs[]": _WAYS,
    "spec.externalIPs[]": _WAYS,
    "spec.externalName": "e2e/test_dns.py::test_records_of_what_runs",
    "spec.externalTrafficPolicy": _WAYS,
    "spec.healthCheckNodePort": "e2e/test_services.py::test_balancers_are_told_whether_the_node_has_endpoints",
    "spec.internalTrafficPolicy": _WAYS,
    "spec.ipFamilies[]": "scenario/test_families.py::test_a_service_of_two_families_has_slices_of_each",
    "spec.ipFamilyPolicy": "e2e/test_services.py::test_a_service_of_both_families",
    "spec.loadBalancerClass": f"{_LB}::test_another_class_is_left_to_others",
    "spec.loadBalancerIP": f"{_LB}::test_a_wanted_address_is_given_or_refused_with_the_reason",
    "spec.loadBalancerSourceRanges[]": "e2e/test_proxy_rules.py::test_source_ranges",
    "spec.ports[].appProtocol": "machine/reach/test_endpoints.py::test_what_a_port_speaks_is_told",
    "spec.ports[].name": "machine/reach/test_selection.py::test_ports_go_by_name_and_protocol_and_slices_may_overlap",
    "spec.ports[].nodePort": "e2e/test_two_nodes.py::test_who_reaches_whom",
    "spec.ports[].port": "e2e/test_two_nodes.py::test_who_reaches_whom",
    "spec.ports[].protocol": _WAYS,
    "spec.ports[].targetPort": "machine/reach/test_endpoints.py::test_named_ports_are_each_pods_own",
    "spec.publishNotReadyAddresses": "machine/reach/test_endpoints.py::test_conditions",
    "spec.selector{}": "e2e/test_two_nodes.py::test_who_reaches_whom",
    "spec.sessionAffinity": "e2e/test_proxy_rules.py::test_affinity",
    "spec.sessionAffinityConfig.clientIP.timeoutSeconds": "e2e/test_proxy_rules.py::test_affinity",
    "spec.trafficDistribution": "machine/reach/test_endpoints.py::test_hints",
    "spec.type": "e2e/test_services.py::test_balancers_are_told_whether_the_node_has_endpoints",
}


SEEN: Mapping[str, Mapping[str, str]] = {
    "Pod": {
        **{
            f"{group}.{path}": test
            for group in ("spec.containers[]", "spec.initContainers[]", "spec.ephemeralContainers[]")
            for path, test in CONTAINER.items()
            if not any(path.startswith(own) for own in ONLY.get(group, ()))
        },
        **{f"{group}.{path}": test for group, paths in ONLY.items() for path, test in paths.items()},
        **POD,
        **CLAIMS,
    },
    "NetworkPolicy": POLICY,
    "Service": SERVICE,
}
"""By kind: path → test. A kind that is here is walked whole."""
