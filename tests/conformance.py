"""Which test shows what a case of upstream's conformance suite asks for: by section, name → tests.

Names are upstream's without its tags in brackets, of the sections that Podling's chapters are about; a test is
`FOLDER/FILE.py::FUNCTION`, or `…::FUNCTION[CASE]` where the case is a row of a table. What counts is what a case asks of
the cluster, not the images and helpers that it does it with. `NOT_SHOWN` has what no test goes through yet, and why.

`docs/conformance.md` is drawn from this by `make docs`; `tests/unit/test_conformance.py` holds that each test is there.
"""

from __future__ import annotations

from collections.abc import Mapping

RELEASE = "1.34"
"""The newest list of cases that was gone through."""

_ACCESS = "clients/test_in_cluster.py::test_a_pod_reads_itself_and_may_do_no_more_than_its_role"
_BATCH = "clients/test_batch_lifecycles.py"
_CASE = "e2e/test_conformance.py"
_CHECKS = "unit/kubelet/test_probe_checks.py"
_CRON = "scenario/test_cron_jobs.py"
_JOBS = "scenario/test_jobs.py"
_CONFINED = "e2e/test_security.py::test_a_container_may_do_this_and_not_that"
_ENDPOINTS = "scenario/test_endpoints.py"
_GIVEN = "e2e/test_given.py::test_a_pod_is_given_what_it_asks_for"
_HOOKED = "e2e/test_webhooks.py"
_HOOKS = "scenario/test_pod_hooks.py"
_ACTIONS = "unit/kubelet/test_hook_actions.py::test_an_http_hook_asks_as_it_is_told"
_INIT = "e2e/test_given.py::test_init_containers_hold_the_others_up"
_LIMITS = "unit/apiserver/test_limit_ranger.py"
_LIVES = "scenario/test_pod_lives.py"
_MACHINERY = "clients/test_machinery.py"
_MESSAGE = "e2e/test_given.py::test_a_container_leaves_a_message"
_PROBES = "scenario/test_probes.py"
_QUOTAS = "scenario/test_resource_quotas.py"
_CUSTOM = "unit/apiserver/test_custom_resources.py"
_DAEMONS = "scenario/test_daemon_sets.py"
_DEFINED = "unit/apiserver/test_custom_definitions.py"
_OPEN = "clients/test_custom_resources.py::test_kubectl_takes_what_a_schema_leaves_open"
_SETS = "scenario/test_replica_sets.py"
_STATEFUL = "scenario/test_stateful_sets.py"
_SHARED = "e2e/test_given.py"
_TAINTS = "scenario/test_lost_node.py"
_VERBS = "clients/test_api_operations.py::test_a_kind_answers_to_every_verb"
_VALID = "unit/api/validation/test_kinds.py"

_ALLOCATABLE = f"{_SHARED}::test_nodes_give_all_they_have_where_nothing_is_asked"
_FOLLOWS = f"{_SHARED}::test_volumes_follow_what_they_show"
_LEADS_OUT = f"{_SHARED}::test_sub_paths_that_lead_out_are_refused"
_NAMES = ("e2e/test_dns.py::test_records_of_what_runs", "e2e/test_dns.py::test_pods_find_each_other_by_name")
_REACH = "e2e/test_two_nodes.py::test_who_reaches_whom"
_TOGETHER = f"{_SHARED}::test_a_status_may_be_written_and_pods_deleted_together"
_TYPES = f"{_CASE}::test_a_service_becomes_an_alias_and_back"
_LIFE = "clients/test_workload_lifecycles.py"
_ROLLS = "scenario/test_deployments.py"
_VICTIMS = "scenario/test_preemption.py::test_victims_leave_gracefully_and_then_the_pod_comes"
_WEBSOCKET = "unit/kubelet/server/test_old_clients.py::test_every_version_over_websocket"

Tests = tuple[str, ...] | str

NETWORK: Mapping[str, Tests] = {
    "DNS should provide /etc/hosts entries for the cluster": f"{_GIVEN}[hosts]",
    "DNS should provide DNS for ExternalName services": (_NAMES[0], f"{_CASE}::test_an_alias_is_told_as_it_changes"),
    "DNS should provide DNS for pods for Hostname": _NAMES,
    "DNS should provide DNS for pods for Subdomain": _NAMES,
    "DNS should provide DNS for services": _NAMES,
    "DNS should provide DNS for the cluster": _NAMES,
    "DNS should resolve DNS of partial qualified names for services": _NAMES,
    "DNS should support configurable pod DNS nameservers": f"{_GIVEN}[resolver]",
    "EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service": f"{_CASE}::test_endpoints_of_named_ports",
    "EndpointSlice should create and delete Endpoints and EndpointSlices for a Service with a selector specified": f"{_CASE}::test_endpoints_of_named_ports",
    "EndpointSlice should have Endpoints and EndpointSlices pointing to API Server": (f"{_CASE}::test_the_api_servers_endpoints", _ACCESS),
    "EndpointSlice should support creating EndpointSlice API operations": f"{_VERBS}[discovery.k8s.io/endpointslices]",
    "EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete": (
        f"{_ENDPOINTS}::test_hand_written_endpoints_are_mirrored", "clients/test_kubectl_services.py::test_hand_written_endpoints"),
    "HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol": f"{_CASE}::test_one_host_port_of_three_pods",
    "Ingress API should support creating Ingress API operations": f"{_VERBS}[networking.k8s.io/ingresses]",
    "IngressClass API should support creating IngressClass API operations": f"{_VERBS}[networking.k8s.io/ingressclasses]",
    "Networking Granular Checks: Pods should function for intra-pod communication: http": _REACH,
    "Networking Granular Checks: Pods should function for intra-pod communication: udp": _REACH,
    "Networking Granular Checks: Pods should function for node-pod communication: http": _REACH,
    "Networking Granular Checks: Pods should function for node-pod communication: udp": _REACH,
    "Proxy version v1 A set of valid responses are returned for both pod and service Proxy": f"{_CASE}::test_every_method_comes_through",
    "Proxy version v1 A set of valid responses are returned for both pod and service ProxyWithPath": f"{_CASE}::test_every_method_comes_through",
    "Proxy version v1 should proxy through a service and a pod": f"{_CASE}::test_ports_are_reached_through_services_and_pods",
    "Service endpoints latency should not be very high": f"{_CASE}::test_endpoints_of_many_services_are_there_soon",
    "ServiceCIDR and IPAddress API should support IPAddress API operations": f"{_VERBS}[networking.k8s.io/ipaddresses]",
    # Its steps are on the range that there is: read, annotated, updated, listed and watched. None is made.
    "ServiceCIDR and IPAddress API should support ServiceCIDR API operations": "unit/apiserver/test_service_ips.py::test_the_ranges_are_shown_and_cannot_be_changed",
    "Services should be able to change the type from ClusterIP to ExternalName": _TYPES,
    "Services should be able to change the type from ExternalName to ClusterIP": _TYPES,
    "Services should be able to change the type from ExternalName to NodePort": _TYPES,
    "Services should be able to change the type from NodePort to ExternalName": _TYPES,
    "Services should be able to create a functioning NodePort service": ("e2e/test_services.py::test_a_service_is_reached_from_pods_and_from_the_node", _TYPES),
    "Services should be able to switch session affinity for NodePort service": f"{_CASE}::test_affinity_comes_and_goes",
    "Services should be able to switch session affinity for service with type clusterIP": f"{_CASE}::test_affinity_comes_and_goes",
    "Services should complete a service status lifecycle": f"{_CASE}::test_the_status_of_a_service",
    "Services should delete a collection of services": (f"{_CASE}::test_services_are_found_and_deleted_together", f"{_VERBS}[services]"),
    "Services should find a service from listing all namespaces": f"{_CASE}::test_services_are_found_and_deleted_together",
    "Services should have session affinity work for NodePort service": f"{_CASE}::test_affinity_comes_and_goes",
    "Services should have session affinity work for service with type clusterIP": f"{_CASE}::test_affinity_comes_and_goes",
    "Services should provide secure master service": (f"{_CASE}::test_services_are_found_and_deleted_together", _ACCESS),
    "Services should serve a basic endpoint from pods": f"{_ENDPOINTS}::test_endpoints_follow_readiness_and_deletion",
    "Services should serve endpoints on same port and different protocols": f"{_CASE}::test_one_port_of_two_protocols",
    "Services should serve multiport endpoints from pods": f"{_CASE}::test_endpoints_of_pods_with_a_port_each",
    "Services should test the lifecycle of an Endpoint": f"{_VERBS}[endpoints]",
}  # fmt: skip

NODE: Mapping[str, Tests] = {
    "ConfigMap should be consumable via environment variable": f"{_GIVEN}[references]",
    "ConfigMap should be consumable via the environment": f"{_GIVEN}[references]",
    "ConfigMap should fail to create ConfigMap with empty key": f"{_VALID}::test_refusals",
    "ConfigMap should run through a ConfigMap lifecycle": f"{_VERBS}[configmaps]",
    "Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart exec hook properly": f"{_CASE}::test_hooks_are_heard",
    "Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart http hook properly": (f"{_CASE}::test_hooks_are_heard", _ACTIONS),
    "Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop exec hook properly": f"{_CASE}::test_hooks_are_heard",
    "Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop http hook properly": (f"{_CASE}::test_hooks_are_heard", _ACTIONS),
    "Container Runtime blackbox test on terminated container should report termination message as empty when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set": f"{_MESSAGE}[no-need]",
    "Container Runtime blackbox test on terminated container should report termination message from file when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set": f"{_MESSAGE}[file-first]",
    "Container Runtime blackbox test on terminated container should report termination message from log output if TerminationMessagePolicy FallbackToLogsOnError is set": f"{_MESSAGE}[log]",
    "Container Runtime blackbox test on terminated container should report termination message if TerminationMessagePath is set as non-root user and at a non-default path": f"{_MESSAGE}[own-file]",
    "Container Runtime blackbox test when starting a container that exits should run with the expected status": f"{_LIVES}::test_ends",
    "Containers should be able to override the image's default arguments (container cmd)": f"{_GIVEN}[defaults]",
    "Containers should be able to override the image's default command (container entrypoint)": f"{_GIVEN}[expansion]",
    "Containers should be able to override the image's default command and arguments": f"{_GIVEN}[expansion]",
    "Containers should use the image defaults if command and args are blank": f"{_GIVEN}[defaults]",
    "Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars": f"{_GIVEN}[amounts]",
    "Downward API should provide default limits.cpu/memory from node allocatable": _ALLOCATABLE,
    "Downward API should provide host IP as an env var": f"{_GIVEN}[fields]",
    "Downward API should provide hostIPs as an env var": f"{_GIVEN}[fields]",
    "Downward API should provide pod UID as env vars": f"{_GIVEN}[fields]",
    "Downward API should provide pod name, namespace and IP address as env vars": f"{_GIVEN}[fields]",
    "Ephemeral Containers should update the ephemeral containers in an existing pod": "unit/apiserver/test_pod_subresources.py::test_containers_are_added_to_debug_with",
    "Ephemeral Containers will start an ephemeral container in an existing pod": "e2e/test_lifecycle.py::test_debug",
    "InitContainer should invoke init containers on a RestartAlways pod": _INIT,
    "InitContainer should invoke init containers on a RestartNever pod": _INIT,
    "InitContainer should not start app containers and fail the pod if init containers fail on a RestartNever pod": _INIT,
    "InitContainer should not start app containers if init containers fail on a RestartAlways pod": _INIT,
    "Kubelet when scheduling a busybox command in a pod should print the output to logs": "clients/test_kubectl.py::test_logs_and_follow",
    "Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete": "scenario/test_pod_ends.py::test_a_pod_goes_from_every_phase",
    "Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason": f"{_LIVES}::test_ends",
    "Kubelet when scheduling a read only busybox container should not write to root filesystem": f"{_GIVEN}[read-only]",
    "Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts": f"{_GIVEN}[hosts]",
    "KubeletManagedEtcHosts should test kubelet managed /etc/hosts file": (f"{_GIVEN}[hosts]", f"{_GIVEN}[host-network]", f"{_GIVEN}[own-hosts]"),
    "Lease lease API should be available": f"{_VERBS}[coordination.k8s.io/leases]",
    "NoExecuteTaintManager Multiple Pods evicts pods with minTolerationSeconds": f"{_TAINTS}::test_a_taint_that_is_taken_back_drives_nobody_out",
    "NoExecuteTaintManager Single Pod removing taint cancels eviction": f"{_TAINTS}::test_a_taint_that_is_taken_back_drives_nobody_out",
    "Node Lifecycle should run through the lifecycle of a node": f"{_VERBS}[nodes]",
    "PodTemplates should delete a collection of pod templates": f"{_VERBS}[podtemplates]",
    "PodTemplates should replace a pod template": f"{_VERBS}[podtemplates]",
    "PodTemplates should run the lifecycle of PodTemplates": f"{_VERBS}[podtemplates]",
    "Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for memory and cpu": ("unit/apiserver/test_writes.py::test_a_created_pod_is_complete", "machine/lifecycle/test_rules.py::test_qos_class"),
    "Pods should allow activeDeadlineSeconds to be updated": f"{_SHARED}::test_a_deadline_may_be_set_while_the_pod_runs",
    "Pods should be submitted and removed": "clients/test_python_client.py::test_a_pods_life",
    "Pods should be updated": (f"{_VERBS}[pods]", "clients/test_kubectl.py::test_label_annotate_and_patch"),
    "Pods should contain environment variables for services": f"{_GIVEN}[linked]",
    "Pods should delete a collection of pods": _TOGETHER,
    "Pods should get a host IP": f"{_GIVEN}[fields]",
    "Pods should patch a pod status": _TOGETHER,
    "Pods should run through the lifecycle of Pods and PodStatus": (_TOGETHER, f"{_VERBS}[pods]"),
    "Pods should support remote command execution over websockets": _WEBSOCKET,
    "Pods should support retrieving logs from the container over websockets": "unit/kubelet/server/test_kubectl.py::test_logs_over_websocket",
    "PreStop should call prestop when killing a pod": f"{_CASE}::test_hooks_are_heard",
    "Probing container should *not* be restarted with a /healthz http liveness probe": (f"{_PROBES}::test_readiness_follows_the_probe", f"{_CHECKS}::test_which_statuses_are_good"),
    "Probing container should *not* be restarted with a GRPC liveness probe": f"{_CHECKS}::test_grpc_health",
    'Probing container should *not* be restarted with a exec "cat /tmp/health" liveness probe': "e2e/test_lifecycle.py::test_liveness_restarts",
    "Probing container should *not* be restarted with a tcp:8080 liveness probe": "e2e/test_lifecycle.py::test_a_startup_probe_gates_readiness",
    "Probing container should be restarted with a /healthz http liveness probe": f"{_PROBES}::test_liveness_restarts",
    "Probing container should be restarted with a GRPC liveness probe": (f"{_PROBES}::test_a_probe_that_hangs_fails_at_its_timeout", f"{_CHECKS}::test_grpc_health"),
    'Probing container should be restarted with a exec "cat /tmp/health" liveness probe': "e2e/test_lifecycle.py::test_liveness_restarts",
    "Probing container should have monotonically increasing restart count": f"{_LIVES}::test_the_row_of_restarts",
    "Probing container with readiness probe should not be ready before initial delay and never restart": f"{_PROBES}::test_readiness_follows_the_probe",
    "Probing container with readiness probe that fails should never be ready and never restart": f"{_PROBES}::test_readiness_follows_the_probe",
    "RuntimeClass should reject a Pod requesting a deleted RuntimeClass": "unit/apiserver/test_admission.py::test_runtime_classes_add_overhead_and_constraints",
    "RuntimeClass should reject a Pod requesting a non-existent RuntimeClass": f"{_SHARED}::test_the_api_refuses_what_no_node_could_give[runtime-class]",
    "RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead": f"{_SHARED}::test_overhead_is_part_of_what_a_pod_gets",
    "RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead": f"{_GIVEN}[class]",
    "RuntimeClass should support RuntimeClasses API operations": f"{_VERBS}[node.k8s.io/runtimeclasses]",
    "Secrets should be consumable from pods in env vars": f"{_GIVEN}[references]",
    "Secrets should be consumable via the environment": f"{_GIVEN}[references]",
    "Secrets should fail to create secret due to empty secret key": f"{_VALID}::test_refusals",
    "Secrets should patch a secret": f"{_VERBS}[secrets]",
    "Security Context When creating a container with runAsUser should run the container with uid 65534": f"{_GIVEN}[nobody]",
    "Security Context When creating a pod with privileged should run the container as unprivileged when false": f"{_GIVEN}[usual]",
    "Security Context When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs when readOnlyRootFilesystem=false": f"{_GIVEN}[writable]",
    "Security Context should support container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup": f"{_GIVEN}[nobody]",
    "Security Context should support pod.Spec.SecurityContext.RunAsUser And pod.Spec.SecurityContext.RunAsGroup": f"{_GIVEN}[user]",
    "Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false": (f"{_GIVEN}[no-escalation]", f"{_CONFINED}[set-uid-refused]"),
    "Sysctls should reject invalid sysctls": f"{_SHARED}::test_the_api_refuses_what_no_node_could_give[sysctls]",
    "Sysctls should support sysctls": f"{_GIVEN}[sysctl]",
    "Variable Expansion should allow composing env vars into new env vars": f"{_GIVEN}[expansion]",
    "Variable Expansion should allow substituting values in a container's args": f"{_GIVEN}[expansion]",
    "Variable Expansion should allow substituting values in a container's command": f"{_GIVEN}[expansion]",
    "Variable Expansion should allow substituting values in a volume subpath": f"{_GIVEN}[sub-path]",
    "Variable Expansion should fail substituting values in a volume subpath with absolute path": f"{_LEADS_OUT}[absolute]",
    "Variable Expansion should fail substituting values in a volume subpath with backticks": f"{_LEADS_OUT}[backsteps]",
    "Variable Expansion should succeed in writing subpaths in container": f"{_GIVEN}[sub-path]",
    "Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle of a container": f"{_SHARED}::test_a_sub_path_that_failed_may_come_right",
}  # fmt: skip

SCHEDULING: Mapping[str, Tests] = {
    "LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied.": (f"{_LIMITS}::test_containers_get_the_defaults_of_their_namespace", f"{_LIMITS}::test_pods_out_of_bounds"),
    "LimitRange should list, patch and delete a LimitRange by collection": f"{_VERBS}[limitranges]",
    "SchedulerPredicates validates resource limits of pods that are allowed to run": "unit/scheduler/test_scheduler.py::test_many_pods_are_all_placed_within_capacity",
    "SchedulerPredicates validates that NodeSelector is respected if matching": f"{_LIVES}::test_waits_for_a_node_that_fits",
    "SchedulerPredicates validates that NodeSelector is respected if not matching": f"{_LIVES}::test_waits_for_a_node_that_fits",
    "SchedulerPredicates validates that there exists conflict between pods with same hostPort and protocol but one using 0.0.0.0 hostIP": "machine/placement/test_filters.py::test_ports",
    "SchedulerPreemption PreemptionExecutionPath runs ReplicaSets to verify preemption running path": "scenario/test_preemption.py::test_pods_of_replica_sets_make_room_and_are_made_again",
    "SchedulerPreemption PriorityClass endpoints verify PriorityClass endpoints can be operated with different HTTP methods": (f"{_VERBS}[scheduling.k8s.io/priorityclasses]", f"{_VALID}::test_changes_that_are_refused"),
    "SchedulerPreemption validates basic preemption works": _VICTIMS,
    "SchedulerPreemption validates lower priority pod preemption by critical pod": (_VICTIMS, "unit/apiserver/test_admission.py::test_priority_follows_from_the_class"),
    "SchedulerPreemption validates pod disruption condition is added to the preempted pod": _VICTIMS,
}  # fmt: skip

_EMPTY = {
    f"EmptyDir volumes should support ({who},0{mode},{'tmpfs' if where == 'memory' else 'default'})": f"{_GIVEN}[empty-{case}-{where}]"
    for who, mode, where, case in (
        ("root", 644, "memory", "root-644"), ("root", 644, "disk", "root-644"), ("non-root", 666, "memory", "1000-666"),
        ("non-root", 777, "disk", "1000-777"), ("non-root", 644, "disk", "1000-644"), ("non-root", 644, "memory", "1000-644"),
        ("non-root", 666, "disk", "1000-666"), ("non-root", 777, "memory", "1000-777"), ("root", 666, "disk", "root-666"),
        ("root", 666, "memory", "root-666"), ("root", 777, "disk", "root-777"), ("root", 777, "memory", "root-777"),
    )
}  # fmt: skip
_AMOUNTS = {
    f"{kind} should provide {what}": tests
    for kind, case in (("Downward API volume", "downward-amounts"), ("Projected downwardAPI", "projected-amounts"))
    for what, tests in {
        **dict.fromkeys(
            (f"container's {resource} {of}" for resource in ("cpu", "memory") for of in ("limit", "request")),
            f"{_GIVEN}[{case}]",
        ),
        **{
            f"node allocatable ({resource}) as default {resource} limit if the limit is not set": _ALLOCATABLE
            for resource in ("cpu", "memory")
        },
        "podname only": f"{_GIVEN}[{case}]",
    }.items()
}
STORAGE: Mapping[str, Tests] = {
    "CSIInlineVolumes should support CSIVolumeSource in Pod API": "clients/test_conformance_kubectl.py::test_a_pod_names_a_volume_of_a_driver",
    "CSIInlineVolumes should run through the lifecycle of a CSIDriver": f"{_VERBS}[storage.k8s.io/csidrivers]",
    "CSINodes CSI Conformance should run through the lifecycle of a csinode": f"{_VERBS}[storage.k8s.io/csinodes]",
    "CSIStorageCapacity should support CSIStorageCapacities API operations": f"{_VERBS}[storage.k8s.io/csistoragecapacities]",
    "ConfigMap binary data should be reflected in volume": f"{_GIVEN}[config-map-binary]",
    "ConfigMap optional updates should be reflected in volume": _FOLLOWS,
    "ConfigMap should be consumable from pods in volume": f"{_GIVEN}[config-map]",
    "ConfigMap should be consumable from pods in volume as non-root": f"{_GIVEN}[config-map-items]",
    "ConfigMap should be consumable from pods in volume with defaultMode set": f"{_GIVEN}[config-map-mode]",
    "ConfigMap should be consumable from pods in volume with mappings": f"{_GIVEN}[config-map-items]",
    "ConfigMap should be consumable from pods in volume with mappings and Item mode set": f"{_GIVEN}[config-map-items]",
    "ConfigMap should be consumable from pods in volume with mappings as non-root": f"{_GIVEN}[config-map-items]",
    "ConfigMap should be consumable in multiple volumes in the same pod": f"{_GIVEN}[many-volumes]",
    "ConfigMap should be immutable if `immutable` field is set": f"{_VALID}::test_changes_that_are_refused",
    "ConfigMap updates should be reflected in volume": _FOLLOWS,
    "Downward API volume should set DefaultMode on files": f"{_GIVEN}[downward]",
    "Downward API volume should set mode on item file": f"{_GIVEN}[downward-modes]",
    "Downward API volume should update annotations on modification": _FOLLOWS,
    "Downward API volume should update labels on modification": _FOLLOWS,
    **_AMOUNTS,
    "EmptyDir volumes pod should support shared volumes between containers": f"{_GIVEN}[shared]",
    **_EMPTY,
    "EmptyDir volumes volume on default medium should have the correct mode": f"{_GIVEN}[empty-root-644-disk]",
    "EmptyDir volumes volume on tmpfs should have the correct mode": f"{_GIVEN}[empty-root-644-memory]",
    "EmptyDir wrapper volumes should not cause race condition when used for configmaps": f"{_GIVEN}[many-volumes]",
    "EmptyDir wrapper volumes should not conflict": f"{_GIVEN}[in-memory]",
    "PersistentVolumes CSI Conformance should apply changes to a pv/pvc status": (f"{_VERBS}[persistentvolumes]", f"{_VERBS}[persistentvolumeclaims]"),
    "PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC": (f"{_VERBS}[persistentvolumes]", f"{_VERBS}[persistentvolumeclaims]"),
    "Projected combined should project all components that make up the projection API": f"{_GIVEN}[projected-all]",
    "Projected configMap optional updates should be reflected in volume": _FOLLOWS,
    "Projected configMap should be consumable from pods in volume": f"{_GIVEN}[projected-twice]",
    "Projected configMap should be consumable from pods in volume as non-root": f"{_GIVEN}[projected-user]",
    "Projected configMap should be consumable from pods in volume with mappings as non-root": f"{_GIVEN}[projected-user]",
    "Projected configMap should be consumable in multiple volumes in the same pod": f"{_GIVEN}[projected-twice]",
    "Projected configMap should be consumable from pods in volume with defaultMode set": f"{_GIVEN}[projected-all]",
    "Projected configMap should be consumable from pods in volume with mappings": f"{_GIVEN}[projected]",
    "Projected configMap should be consumable from pods in volume with mappings and Item mode set": f"{_GIVEN}[projected]",
    "Projected configMap updates should be reflected in volume": _FOLLOWS,
    "Projected downwardAPI should set DefaultMode on files": f"{_GIVEN}[projected]",
    "Projected downwardAPI should set mode on item file": f"{_GIVEN}[projected-all]",
    "Projected downwardAPI should update annotations on modification": _FOLLOWS,
    "Projected downwardAPI should update labels on modification": _FOLLOWS,
    "Projected secret optional updates should be reflected in volume": _FOLLOWS,
    "Projected secret should be consumable from pods in volume": f"{_GIVEN}[projected-twice]",
    "Projected secret should be consumable from pods in volume as non-root with defaultMode and fsGroup set": f"{_GIVEN}[projected-user]",
    "Projected secret should be consumable in multiple volumes in a pod": f"{_GIVEN}[projected-twice]",
    "Projected secret should be consumable from pods in volume with defaultMode set": f"{_GIVEN}[projected]",
    "Projected secret should be consumable from pods in volume with mappings": f"{_GIVEN}[projected]",
    "Projected secret should be consumable from pods in volume with mappings and Item Mode set": f"{_GIVEN}[projected-all]",
    "Secrets optional updates should be reflected in volume": _FOLLOWS,
    "Secrets should be able to mount in a volume regardless of a different secret existing with same name in different namespace": f"{_GIVEN}[twice]",
    "Secrets should be consumable from pods in volume": f"{_GIVEN}[twice]",
    "Secrets should be consumable from pods in volume as non-root with defaultMode and fsGroup set": f"{_GIVEN}[secret-group]",
    "Secrets should be consumable from pods in volume with defaultMode set": f"{_GIVEN}[secret-mode]",
    "Secrets should be consumable from pods in volume with mappings": f"{_GIVEN}[secret-items]",
    "Secrets should be consumable from pods in volume with mappings and Item Mode set": f"{_GIVEN}[secret-items]",
    "Secrets should be consumable in multiple volumes in a pod": f"{_GIVEN}[twice]",
    "Secrets should be immutable if `immutable` field is set": f"{_VALID}::test_changes_that_are_refused",
    "StorageClasses CSI Conformance should run through the lifecycle of a StorageClass": f"{_VERBS}[storage.k8s.io/storageclasses]",
    "Subpath Atomic writer volumes should support subpaths with configmap pod": f"{_GIVEN}[sub-path]",
    "Subpath Atomic writer volumes should support subpaths with configmap pod with mountPath of existing file": f"{_GIVEN}[sub-paths]",
    "Subpath Atomic writer volumes should support subpaths with downward pod": f"{_GIVEN}[sub-paths]",
    "Subpath Atomic writer volumes should support subpaths with projected pod": f"{_GIVEN}[sub-paths]",
    "Subpath Atomic writer volumes should support subpaths with secret pod": f"{_GIVEN}[sub-paths]",
    "VolumeAttachment Conformance should apply changes to a volumeattachment status": f"{_VERBS}[storage.k8s.io/volumeattachments]",
    "VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment": f"{_VERBS}[storage.k8s.io/volumeattachments]",
}  # fmt: skip

APPS: Mapping[str, Tests] = {
    "ControllerRevision should manage the lifecycle of a ControllerRevision": (f"{_LIFE}::test_the_life_of_a_revision", f"{_VERBS}[apps/controllerrevisions]", "unit/apiserver/test_stateful_sets.py::test_what_a_revision_recorded_stays", f"{_BATCH}::test_the_life_of_a_daemon_set", f"{_DAEMONS}::test_a_second_revision_of_the_same_template_restarts_nothing"),
    "CronJob should not schedule jobs when suspended": f"{_CRON}::test_none_while_it_rests",
    "CronJob should not schedule new jobs when ForbidConcurrent": f"{_CRON}::test_what_still_runs_at_the_next_time",
    "CronJob should replace jobs when ReplaceConcurrent": f"{_CRON}::test_what_still_runs_at_the_next_time",
    "CronJob should schedule multiple jobs concurrently": f"{_CRON}::test_what_still_runs_at_the_next_time",
    "CronJob should support CronJob API operations": (f"{_VERBS}[batch/cronjobs]", "unit/apiserver/test_cron_jobs.py::test_the_operations_of_the_suite"),
    "Daemon set should list and delete a collection of DaemonSets": (f"{_VERBS}[apps/daemonsets]", f"{_BATCH}::test_the_life_of_a_daemon_set"),
    "Daemon set should retry creating failed daemon pods": (f"{_DAEMONS}::test_a_failed_pod_is_replaced_ever_later", f"{_BATCH}::test_the_life_of_a_daemon_set"),
    "Daemon set should rollback without unnecessary restarts": (f"{_DAEMONS}::test_a_rollback_restarts_only_what_was_changed", "clients/test_kubectl_daemon_sets.py::test_a_daemon_set_is_rolled_out_and_back"),
    "Daemon set should run and stop complex daemon": f"{_DAEMONS}::test_a_daemon_for_chosen_nodes",
    "Daemon set should run and stop simple daemon": f"{_DAEMONS}::test_a_pod_on_every_node",
    "Daemon set should update pod when spec was updated and update strategy is RollingUpdate": f"{_DAEMONS}::test_a_rolling_update_goes_node_by_node",
    "Daemon set should verify changes to a daemon set status": (f"{_DAEMONS}::test_conditions_and_revisions_of_others_are_left_alone", f"{_BATCH}::test_the_life_of_a_daemon_set"),
    "Deployment Deployment should have a working scale subresource": (f"{_LIFE}::test_from_creation_to_deletion", "unit/apiserver/test_deployments.py::test_it_is_scaled_by_its_scale"),
    "Deployment RecreateDeployment should delete old pods and create new ones": (f"{_ROLLS}::test_recreate_makes_nothing_before_the_last_old_pod_is_gone", "clients/test_kubectl_rollout.py::test_apply_turns_a_rolling_update_into_recreate"),
    "Deployment RollingUpdateDeployment should delete old pods and create new ones": (f"{_ROLLS}::test_a_set_that_was_there_is_taken_over", f"{_ROLLS}::test_a_rolling_update_keeps_between_its_bounds"),
    "Deployment deployment should delete old replica sets": f"{_ROLLS}::test_none_are_kept_where_none_are_wanted",
    "Deployment deployment should support proportional scaling": f"{_ROLLS}::test_a_stuck_rollout_is_scaled_in_proportion",
    "Deployment deployment should support rollover": f"{_ROLLS}::test_a_newer_template_rolls_over_one_that_is_stuck",
    "Deployment should run the lifecycle of a Deployment": f"{_LIFE}::test_from_creation_to_deletion",
    "Deployment should validate Deployment Status endpoints": f"{_LIFE}::test_conditions_of_others_in_the_status",
    "DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a collection of PodDisruptionBudgets": f"{_VERBS}[policy/poddisruptionbudgets]",
    "DisruptionController should block an eviction until the PDB is updated to allow it": ("clients/test_kubectl_drain.py::test_drain_waits_for_the_budget", f"{_SETS}::test_a_budget_by_percentage_is_of_what_is_wanted"),
    "DisruptionController should create a PodDisruptionBudget": f"{_VERBS}[policy/poddisruptionbudgets]",
    "DisruptionController should observe PodDisruptionBudget status updated": "scenario/test_drain.py::test_a_drain_goes_as_fast_as_the_budget_lets_it",
    "DisruptionController should update/patch PodDisruptionBudget status": f"{_VERBS}[policy/poddisruptionbudgets]",
    "Job should adopt matching orphans and release non-matching pods": (f"{_JOBS}::test_orphans_are_adopted_and_strangers_released", f"{_BATCH}::test_an_orphan_is_adopted_and_a_stranger_released"),
    "Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition": f"{_JOBS}::test_a_disruption_may_be_ignored",
    "Job should allow to use the pod failure policy on exit code to fail the job early": f"{_JOBS}::test_a_failure_policy_judges_exit_codes",
    "Job should apply changes to a job status": f"{_BATCH}::test_the_status_of_a_job",
    "Job should create pods for an Indexed job with completion indexes and specified hostname": (f"{_JOBS}::test_an_indexed_job_gives_each_pod_its_index", "clients/test_kubectl_jobs.py::test_an_indexed_job_tells_each_pod_its_number"),
    "Job should delete a job": (f"{_BATCH}::test_a_deleted_job_waits_for_its_pods", f"{_JOBS}::test_a_deleted_job_lets_its_pods_go"),
    "Job should execute all indexes despite some failing when using backoffLimitPerIndex": f"{_JOBS}::test_each_index_has_its_own_limit",
    "Job should manage the lifecycle of a job": f"{_BATCH}::test_the_life_of_a_job",
    "Job should mark indexes as failed when the FailIndex action is matched in podFailurePolicy": f"{_JOBS}::test_an_index_may_fail_at_once",
    "Job should run a job to completion when tasks sometimes fail and are locally restarted": (f"{_JOBS}::test_containers_that_fail_now_and_then_are_restarted_in_place", f"{_BATCH}::test_tasks_fail_once_and_are_restarted_in_place"),
    "Job should terminate job execution when the number of failed indexes exceeds maxFailedIndexes": f"{_JOBS}::test_too_many_failed_indexes_end_a_job",
    "Job with successPolicy should succeeded when all indexes succeeded": f"{_JOBS}::test_a_success_policy_that_asks_for_all",
    "Job with successPolicy succeededCount rule should succeeded even when some indexes remain pending": f"{_JOBS}::test_a_success_policy_ends_a_job_early",
    "Job with successPolicy succeededIndexes rule should succeeded even when some indexes remain pending": f"{_JOBS}::test_a_success_policy_ends_a_job_early",
    "ReplicaSet Replace and Patch tests": f"{_LIFE}::test_from_creation_to_deletion",
    "ReplicaSet Replicaset should have a working scale subresource": f"{_SETS}::test_its_scale_is_what_it_is_scaled_by",
    "ReplicaSet should adopt matching pods on creation and release no longer matching pods": f"{_SETS}::test_a_pod_is_adopted_and_released",
    "ReplicaSet should list and delete a collection of ReplicaSets": (f"{_VERBS}[apps/replicasets]", f"{_LIFE}::test_from_creation_to_deletion"),
    "ReplicaSet should serve a basic image on each replica with a public image": f"{_LIFE}::test_each_replica_serves_its_own_name",
    "ReplicaSet should validate Replicaset Status endpoints": f"{_LIFE}::test_conditions_of_others_in_the_status",
    "ReplicationController should adopt matching pods on creation": f"{_SETS}::test_a_pod_is_adopted_and_released",
    "ReplicationController should get and update a ReplicationController scale": f"{_SETS}::test_its_scale_is_what_it_is_scaled_by",
    "ReplicationController should release no longer matching pods": f"{_SETS}::test_a_pod_is_adopted_and_released",
    "ReplicationController should serve a basic image on each replica with a public image": f"{_LIFE}::test_each_replica_serves_its_own_name",
    "ReplicationController should surface a failure condition on a common issue like exceeded quota": f"{_LIFE}::test_a_quota_that_is_used_up_is_a_condition",
    "ReplicationController should test the lifecycle of a ReplicationController": f"{_LIFE}::test_from_creation_to_deletion",
    "StatefulSet Basic StatefulSet functionality Burst scaling should run to completion even with unhealthy pods": f"{_STATEFUL}::test_a_burst_heeds_nobody",
    "StatefulSet Basic StatefulSet functionality Scaling should happen in predictable order and halt if any stateful pod is unhealthy": f"{_STATEFUL}::test_scaling_is_ordered_and_halts_at_a_pod_that_is_unwell",
    "StatefulSet Basic StatefulSet functionality Should recreate evicted statefulset": f"{_STATEFUL}::test_what_ended_is_made_anew",
    "StatefulSet Basic StatefulSet functionality should have a working scale subresource": (f"{_LIFE}::test_from_creation_to_deletion", "clients/test_kubectl_stateful_sets.py::test_it_is_scaled"),
    "StatefulSet Basic StatefulSet functionality should list, patch and delete a collection of StatefulSets": (f"{_LIFE}::test_from_creation_to_deletion", f"{_VERBS}[apps/statefulsets]"),
    "StatefulSet Basic StatefulSet functionality should perform canary updates and phased rolling updates of template modifications": f"{_STATEFUL}::test_a_canary_and_a_phased_update",
    "StatefulSet Basic StatefulSet functionality should perform rolling updates and roll backs of template modifications": (f"{_STATEFUL}::test_rolling_to_a_template_and_back", "clients/test_kubectl_stateful_sets.py::test_it_is_rolled_out_and_back"),
    "StatefulSet Basic StatefulSet functionality should validate Statefulset Status endpoints": f"{_LIFE}::test_conditions_of_others_in_the_status",
}  # fmt: skip

INSTRUMENTATION: Mapping[str, Tests] = {
    "Events API should delete a collection of events": f"{_VERBS}[events.k8s.io/events]",
    "Events API should ensure that an event can be fetched, patched, deleted, and listed": (f"{_VERBS}[events.k8s.io/events]", "unit/apiserver/test_events.py::test_only_the_series_of_an_event_changes"),
    "Events should delete a collection of events": f"{_VERBS}[events]",
    "Events should manage the lifecycle of an event": (f"{_VERBS}[events]", "unit/apiserver/test_events.py::test_a_series_goes_on"),
}  # fmt: skip

MACHINERY: Mapping[str, Tests] = {
    "AdmissionWebhook listing mutating webhooks should work": f"{_HOOKED}::test_configurations_are_listed_and_deleted_together",
    "AdmissionWebhook listing validating webhooks should work": f"{_HOOKED}::test_configurations_are_listed_and_deleted_together",
    "AdmissionWebhook patching/updating a mutating webhook should work": f"{_HOOKED}::test_a_configuration_is_changed",
    "AdmissionWebhook patching/updating a validating webhook should work": f"{_HOOKED}::test_a_configuration_is_changed",
    "AdmissionWebhook should be able to deny attaching pod": f"{_HOOKED}::test_attaching_is_refused",
    "AdmissionWebhook should be able to deny custom resource creation, update and deletion": f"{_HOOKED}::test_custom_resources_are_refused",
    "AdmissionWebhook should be able to deny pod and configmap creation": f"{_HOOKED}::test_pods_and_config_maps_are_refused",
    "AdmissionWebhook should deny crd creation": f"{_HOOKED}::test_definitions_are_refused",
    "AdmissionWebhook should honor timeout": f"{_HOOKED}::test_time_is_kept",
    "AdmissionWebhook should include webhook resources in discovery documents": f"{_HOOKED}::test_discovery_has_the_kinds",
    "AdmissionWebhook should mutate configmap": f"{_HOOKED}::test_config_maps_are_changed_in_stages",
    "AdmissionWebhook should mutate custom resource": f"{_HOOKED}::test_custom_resources_are_changed",
    "AdmissionWebhook should mutate custom resource with different stored version": f"{_HOOKED}::test_custom_resources_are_changed_while_the_stored_version_moves",
    "AdmissionWebhook should mutate custom resource with pruning": f"{_HOOKED}::test_custom_resources_are_changed",
    "AdmissionWebhook should mutate pod and apply defaults after mutation": f"{_HOOKED}::test_a_pod_is_changed_and_gets_defaults_after_that",
    "AdmissionWebhook should not be able to mutate or prevent deletion of webhook configuration objects": f"{_HOOKED}::test_configurations_are_out_of_reach",
    "AdmissionWebhook should unconditionally reject operations on fail closed webhook": f"{_HOOKED}::test_who_fails_closed_holds_up_everything",
    "API priority and fairness should support FlowSchema API operations": (
        "unit/apiserver/test_api_operations.py::test_a_kind_answers_to_every_verb",
        f"{_VERBS}[flowcontrol.apiserver.k8s.io/flowschemas]",
    ),
    "API priority and fairness should support PriorityLevelConfiguration API operations": (
        "unit/apiserver/test_api_operations.py::test_a_kind_answers_to_every_verb",
        f"{_VERBS}[flowcontrol.apiserver.k8s.io/prioritylevelconfigurations]",
    ),
    "AggregatedDiscovery should support aggregated discovery interface": f"{_MACHINERY}::test_what_is_found_is_found_in_every_way",
    "AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers": (
        f"{_MACHINERY}::test_what_is_found_is_found_in_every_way", "unit/apiserver/test_discovery.py::test_aggregated",
    ),
    "AggregatedDiscovery should support aggregated discovery interface for CRDs": f"{_CUSTOM}::test_discovery_follows",
    "AggregatedDiscovery should support raw aggregated discovery request for CRDs": f"{_CUSTOM}::test_discovery_follows",
    "CustomResourceDefinition Watch CustomResourceDefinition Watch watch on custom resource definition objects": f"{_CUSTOM}::test_a_watch_of_one_object",
    "CustomResourceDefinition resources Simple CustomResourceDefinition creating/deleting custom resource definition objects works": f"{_DEFINED}::test_a_kind_comes_and_goes",
    "CustomResourceDefinition resources Simple CustomResourceDefinition getting/updating/patching custom resource definition status sub-resource works": f"{_DEFINED}::test_conditions_of_anybody",
    "CustomResourceDefinition resources Simple CustomResourceDefinition listing custom resource definition objects works": f"{_VERBS}[apiextensions.k8s.io/customresourcedefinitions]",
    "CustomResourceDefinition resources custom resource defaulting for requests and from storage works": f"{_CUSTOM}::test_defaults_of_what_is_stored",
    "CustomResourceDefinition resources should include custom resource definition resources in discovery documents": f"{_VERBS}[apiextensions.k8s.io/customresourcedefinitions]",
    "CustomResourceFieldSelectors CustomResourceFieldSelectors MUST list and watch custom resources matching the field selector": f"{_CUSTOM}::test_fields_that_select",
    "CustomResourcePublishOpenAPI removes definition from spec when one version gets changed to not be served": f"{_CUSTOM}::test_openapi_follows_versions_and_kinds",
    "CustomResourcePublishOpenAPI updates the published spec when one version gets renamed": f"{_CUSTOM}::test_openapi_follows_versions_and_kinds",
    "CustomResourcePublishOpenAPI works for CRD preserving unknown fields at the schema root": f"{_OPEN}[at the root]",
    "CustomResourcePublishOpenAPI works for CRD preserving unknown fields in an embedded object": f"{_OPEN}[in a field]",
    "CustomResourcePublishOpenAPI works for CRD with validation schema": "clients/test_custom_resources.py::test_kubectl_explains_a_kind",
    "CustomResourcePublishOpenAPI works for CRD without validation schema": f"{_OPEN}[without a schema]",
    "CustomResourcePublishOpenAPI works for multiple CRDs of different groups": f"{_CUSTOM}::test_openapi_follows_versions_and_kinds",
    "CustomResourcePublishOpenAPI works for multiple CRDs of same group and version but different kinds": f"{_CUSTOM}::test_openapi_follows_versions_and_kinds",
    "CustomResourcePublishOpenAPI works for multiple CRDs of same group but different versions": f"{_CUSTOM}::test_openapi_follows_versions_and_kinds",
    "Discovery should locate the groupVersion and a resource within each APIGroup": f"{_MACHINERY}::test_what_is_found_is_found_in_every_way",
    "Discovery should validate PreferredVersion for each APIGroup": f"{_MACHINERY}::test_what_is_found_is_found_in_every_way",
    "FieldValidation should detect unknown and duplicate fields of a typed object": f"{_MACHINERY}::test_typed_objects_are_read_strictly",
    "FieldValidation should detect unknown metadata fields of a typed object": f"{_MACHINERY}::test_typed_objects_are_read_strictly",
    "Garbage collector should delete RS created by deployment when not orphaning": f"{_ROLLS}::test_what_becomes_of_its_sets",
    "Garbage collector should delete pods created by rc when not orphaning": f"{_SETS}::test_what_becomes_of_the_pods",
    "Garbage collector should keep the rc around until all its pods are deleted if the deleteOptions says so": (
        f"{_SETS}::test_what_becomes_of_the_pods", "unit/controllers/test_controllers.py::test_owner_waits_for_its_dependents",
    ),
    "Garbage collector should not be blocked by dependency circle": f"{_SETS}::test_owners_in_a_circle_do_not_hold_each_other_up",
    "Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted": (
        f"{_SETS}::test_a_second_owner_keeps_what_the_first_would_take_along"
    ),
    "Garbage collector should orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan": f"{_ROLLS}::test_what_becomes_of_its_sets",
    "Garbage collector should orphan pods created by rc if delete options say so": f"{_SETS}::test_what_becomes_of_the_pods",
    "Namespaces should apply a finalizer to a Namespace": f"{_MACHINERY}::test_a_namespace_is_patched_updated_and_finalized",
    "Namespaces should apply an update to a Namespace": f"{_MACHINERY}::test_a_namespace_is_patched_updated_and_finalized",
    "Namespaces should apply changes to a namespace status": f"{_MACHINERY}::test_the_status_of_a_namespace",
    "Namespaces should ensure that all pods are removed when a namespace is deleted": (
        "unit/controllers/test_controllers.py::test_deleting_a_namespace_deletes_what_is_in_it", f"{_MACHINERY}::test_pods_go_first",
    ),
    "Namespaces should ensure that all services are removed when a namespace is deleted": (
        "unit/controllers/test_controllers.py::test_deleting_a_namespace_deletes_what_is_in_it"
    ),
    "Namespaces should patch a Namespace": f"{_MACHINERY}::test_a_namespace_is_patched_updated_and_finalized",
    "OrderedNamespaceDeletion namespace deletion should delete pod first": f"{_MACHINERY}::test_pods_go_first",
    "ResourceQuota should apply changes to a resourcequota status": f"{_QUOTAS}::test_a_status_that_somebody_writes_stands_until_the_next_resync",
    "ResourceQuota should be able to update and delete ResourceQuota.": f"{_QUOTAS}::test_a_quota_is_updated_and_deleted",
    "ResourceQuota should create a ResourceQuota and capture the life of a configMap.": f"{_QUOTAS}::test_the_life_of_what_is_merely_counted",
    "ResourceQuota should create a ResourceQuota and capture the life of a pod.": f"{_QUOTAS}::test_the_life_of_a_pod",
    "ResourceQuota should create a ResourceQuota and capture the life of a replica set.": f"{_QUOTAS}::test_the_life_of_what_is_merely_counted",
    "ResourceQuota should create a ResourceQuota and capture the life of a replication controller.": f"{_QUOTAS}::test_the_life_of_what_is_merely_counted",
    "ResourceQuota should create a ResourceQuota and capture the life of a secret.": f"{_QUOTAS}::test_the_life_of_what_is_merely_counted",
    "ResourceQuota should create a ResourceQuota and capture the life of a service.": f"{_QUOTAS}::test_the_life_of_a_service",
    "ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated.": f"{_QUOTAS}::test_a_status_is_reckoned_at_once",
    "ResourceQuota should manage the lifecycle of a ResourceQuota": (
        f"{_QUOTAS}::test_the_lifecycle_of_a_quota", f"{_VERBS}[resourcequotas]",
    ),
    "ResourceQuota should verify ResourceQuota with best effort scope.": f"{_QUOTAS}::test_scopes",
    "ResourceQuota should verify ResourceQuota with terminating scopes.": f"{_QUOTAS}::test_scopes",
    "Servers with support for API chunking should return chunks of results for list calls": f"{_MACHINERY}::test_lists_come_in_chunks",
    "Servers with support for API chunking should support continue listing from the last key if the original version has been compacted away, though the list is inconsistent": (
        "unit/apiserver/test_reads.py::test_lists_come_in_pages_of_one_revision"
    ),
    "Servers with support for Table transformation should return a 406 for a backend which does not implement metadata": f"{_MACHINERY}::test_reviews_are_no_tables",
    "Watchers should be able to restart watching from the last resource version observed by the previous watch": f"{_MACHINERY}::test_watches_begin_where_they_are_told",
    "Watchers should be able to start watching from a specific resource version": f"{_MACHINERY}::test_watches_begin_where_they_are_told",
    "Watchers should observe add, update, and delete watch notifications on configmaps": f"{_MACHINERY}::test_watchers_of_different_selections_see_their_parts",
    "Watchers should observe an object deletion if it stops meeting the requirements of the selector": f"{_MACHINERY}::test_an_object_that_leaves_a_selection_is_gone_for_its_watcher",
    "Watchers should receive events on concurrent watches in same order": f"{_MACHINERY}::test_concurrent_watches_see_one_order",
    "server version should find the server version": f"{_MACHINERY}::test_what_is_found_is_found_in_every_way",
}  # fmt: skip

AUTH: Mapping[str, Tests] = {
    "Certificates API should support CSR API operations": (
        "unit/apiserver/test_certificate_requests.py::test_upstreams_case_of_api_operations",
        f"{_VERBS}[certificates.k8s.io/certificatesigningrequests]",
        "clients/test_kubectl_certificate.py::test_a_user_is_let_in_by_a_certificate",
    ),
    "SelfSubjectReview should support SelfSubjectReview API operations": "unit/apiserver/test_reviews.py::test_who_and_what_am_i",
    "ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer": (
        f"{_MACHINERY}::test_a_token_is_verified_by_what_its_issuer_publishes"
    ),
    "ServiceAccounts should allow opting out of API token automount": "clients/test_accounts.py::test_who_mounts_a_token_and_pulls_with_what",
    "ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace": f"{_MACHINERY}::test_the_root_certificate_is_in_every_namespace",
    "ServiceAccounts should mount an API token into pods": _ACCESS,
    "ServiceAccounts should mount projected service account token": _ACCESS,
    "ServiceAccounts should run through the lifecycle of a ServiceAccount": f"{_MACHINERY}::test_the_life_of_an_account",
    "ServiceAccounts should update a ServiceAccount": f"{_MACHINERY}::test_the_life_of_an_account",
    "SubjectReview should support SubjectReview API operations": "unit/apiserver/test_reviews.py::test_may_i_may_she",
}  # fmt: skip

_CLI = "clients/test_conformance_kubectl.py"
_KUBECTL = "clients/test_kubectl.py"

CLI: Mapping[str, Tests] = {
    "Kubectl client Kubectl api-versions should check if v1 is in available api versions": f"{_KUBECTL}::test_api_resources_and_versions",
    "Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info": f"{_CLI}::test_the_control_plane_is_told",
    "Kubectl client Kubectl describe should check if kubectl describe prints relevant information for rc and pods": f"{_CLI}::test_a_controller_and_what_belongs_to_it_are_described",
    "Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments": f"{_CLI}::test_diff_sees_another_image",
    "Kubectl client Kubectl expose should create services for rc": f"{_CLI}::test_a_controller_is_exposed_twice",
    "Kubectl client Kubectl label should update the label on a resource": f"{_KUBECTL}::test_label_annotate_and_patch",
    "Kubectl client Kubectl patch should add annotations for pods in rc": f"{_CLI}::test_pods_of_a_controller_are_patched",
    "Kubectl client Kubectl replace should update a single-container pod's image": f"{_CLI}::test_a_pod_runs_and_is_replaced",
    "Kubectl client Kubectl run pod should create a pod from an image when restart is Never": f"{_CLI}::test_a_pod_runs_and_is_replaced",
    "Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods": f"{_CLI}::test_a_pod_runs_and_is_replaced",
    "Kubectl client Kubectl version should check is all data is printed": f"{_CLI}::test_the_control_plane_is_told",
    "Kubectl client Proxy server should support --unix-socket=/path": f"{_CLI}::test_proxies_at_a_drawn_port_and_at_a_socket",
    "Kubectl client Proxy server should support proxy with --port 0": f"{_CLI}::test_proxies_at_a_drawn_port_and_at_a_socket",
    "Kubectl client Update Demo should create and stop a replication controller": f"{_CLI}::test_a_controller_is_scaled",
    "Kubectl client Update Demo should scale a replication controller": f"{_CLI}::test_a_controller_is_scaled",
    "Kubectl logs logs should be able to retrieve and filter logs": f"{_CLI}::test_logs_are_filtered",
}  # fmt: skip

ARCHITECTURE: Mapping[str, Tests] = {
    "Conformance Tests should have at least two untainted nodes": "e2e/test_two_nodes.py::test_each_node_is_itself",
}

SHOWN: Mapping[str, Mapping[str, Tests]] = {
    "sig-api-machinery": MACHINERY,
    "sig-auth": AUTH,
    "sig-cli": CLI,
    "sig-network": NETWORK,
    "sig-node": NODE,
    "sig-scheduling": SCHEDULING,
    "sig-storage": STORAGE,
    "sig-instrumentation": INSTRUMENTATION,
    "sig-apps": APPS,
    "sig-architecture": ARCHITECTURE,
}

_WEBHOOK_CONVERSION = "conversion webhooks are not called"
_APPLIED = "there is no server-side apply of custom resources"
_WEBHOOKS = "match conditions are not evaluated"
_UNSERVED = "the kinds are not served"

NOT_SHOWN: Mapping[str, Mapping[str, str]] = {
    "sig-api-machinery": {
        "AdmissionWebhook should be able to create and update mutating webhook configurations with match conditions": _WEBHOOKS,
        "AdmissionWebhook should be able to create and update validating webhook configurations with match conditions": _WEBHOOKS,
        "AdmissionWebhook should mutate everything except 'skip-me' configmaps": _WEBHOOKS,
        "AdmissionWebhook should reject mutating webhook configurations with invalid match conditions": _WEBHOOKS,
        "AdmissionWebhook should reject validating webhook configurations with invalid match conditions": _WEBHOOKS,
        "Aggregator Should be able to support the 1.17 Sample API Server using the current Aggregator": "no other API servers are aggregated",
        "CustomResourceConversionWebhook should be able to convert a non homogeneous list of CRs": _WEBHOOK_CONVERSION,
        "CustomResourceConversionWebhook should be able to convert from CR v1 to CR v2": _WEBHOOK_CONVERSION,
        "FieldValidation should create/apply a CR with unknown fields for CRD with no validation schema": _APPLIED,
        "FieldValidation should create/apply a valid CR for CRD with validation schema": _APPLIED,
        "FieldValidation should create/apply an invalid CR with extra properties for CRD with validation schema": _APPLIED,
        "FieldValidation should detect duplicates in a CR when preserving unknown fields": _APPLIED,
        "FieldValidation should detect unknown metadata fields in both the root and embedded object of a CR": _APPLIED,
        "ValidatingAdmissionPolicy should allow expressions to refer variables.": _UNSERVED,
        "ValidatingAdmissionPolicy should support ValidatingAdmissionPolicy API operations": _UNSERVED,
        "ValidatingAdmissionPolicy should support ValidatingAdmissionPolicyBinding API operations": _UNSERVED,
        "ValidatingAdmissionPolicy should validate against a Deployment": _UNSERVED,
    },  # fmt: skip
    "sig-cli": {
        "Kubectl client Guestbook application should create and stop a working application": "its images are not at hand",
    },
}
"""What no test goes through yet."""
