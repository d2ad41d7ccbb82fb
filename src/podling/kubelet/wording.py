"""What the kubelet says in Events: upstream's reasons and sentences, in one place.

Owns the words and the object each event points at. Knows no policy of repetition: that is the recorder's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from podling.api.durations import go_duration
from podling.lifecycle.probes import Outcome
from podling.lifecycle.specs import field_path, full_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Pod
    from podling.client.events import EventRecorder
    from podling.lifecycle.probes import Checked, ProbeKind
    from podling.lifecycle.resize import ResizeNews


class PodEvents:
    """Speaks of one Pod's life."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def pulling(self, pod: Pod, container: str, image: str) -> None:
        self._of(pod, container, "Normal", "Pulling", f'Pulling image "{image}"')

    def pulled(self, pod: Pod, container: str, image: str, *, pull: float, waited: float, size: int) -> None:
        message = (
            f'Successfully pulled image "{image}" in {go_duration(pull)} ({go_duration(waited)} including waiting). '
            f"Image size: {size} bytes."
        )
        self._of(pod, container, "Normal", "Pulled", message)

    def present(self, pod: Pod, container: str, image: str) -> None:
        message = f'Container image "{image}" already present on machine and can be accessed by the pod'
        self._of(pod, container, "Normal", "Pulled", message)

    def pull_failed(self, pod: Pod, container: str, image: str, why: str) -> None:
        self._of(pod, container, "Warning", "Failed", f'Failed to pull image "{image}": {why}')

    def inspect_failed(self, pod: Pod, container: str, message: str) -> None:
        self._of(pod, container, "Warning", "InspectFailed", message)

    def pull_secrets_missing(self, pod: Pod, names: Sequence[str]) -> None:
        message = (
            f"Unable to retrieve some image pull secrets ({', '.join(names)}); "
            "attempting to pull the image may not succeed."
        )
        self._whole(pod, "Warning", "FailedToRetrieveImagePullSecret", message)

    def never_pulled(self, pod: Pod, container: str, message: str) -> None:
        self._of(pod, container, "Warning", "ErrImageNeverPull", message)

    def backing_off_pull(self, pod: Pod, container: str, image: str) -> None:
        self._of(pod, container, "Normal", "BackOff", f'Back-off pulling image "{image}"')

    def failed(self, pod: Pod, container: str, message: str) -> None:
        self._of(pod, container, "Warning", "Failed", f"Error: {message}")

    def created(self, pod: Pod, container: str) -> None:
        self._of(pod, container, "Normal", "Created", "Container created")

    def started(self, pod: Pod, container: str) -> None:
        self._of(pod, container, "Normal", "Started", "Container started")

    def killing(self, pod: Pod, container: str, message: str) -> None:
        self._of(pod, container, "Normal", "Killing", message)

    def post_start_failed(self, pod: Pod, container: str) -> None:
        self._of(pod, container, "Warning", "FailedPostStartHook", "PostStartHook failed")

    def pre_stop_failed(self, pod: Pod, container: str) -> None:
        self._of(pod, container, "Warning", "FailedPreStopHook", "PreStopHook failed")

    def hook_fell_back(self, pod: Pod) -> None:
        message = "request to HTTPS lifecycle hook got HTTP response, retry with HTTP succeeded"
        self._whole(pod, "Warning", "LifecycleHTTPFallback", message)

    def probed(self, pod: Pod, container: str, kind: ProbeKind, checked: Checked) -> None:
        """Tell of a check that failed, warned, or could not be made."""
        output = checked.output
        if checked.outcome is Outcome.WARNING:
            self._of(pod, container, "Warning", "ProbeWarning", f"{kind.value} probe warning: {output}")
        elif checked.outcome is Outcome.ERROR:
            message = f"{kind.value} probe errored and resulted in unknown state: {output}"
            self._of(pod, container, "Warning", "Unhealthy", message)
        else:
            self._of(pod, container, "Warning", "Unhealthy", f"{kind.value} probe failed: {output}")

    def crash_loop(self, pod: Pod, container: str) -> None:
        message = f"Back-off restarting failed container {container} in pod {full_name(pod)}"
        self._of(pod, container, "Warning", "BackOff", message)

    def sandbox_changed(self, pod: Pod) -> None:
        self._whole(pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")

    def sandbox_failed(self, pod: Pod, why: str) -> None:
        self._whole(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {why}")

    def mount_failed(self, pod: Pod, why: str) -> None:
        self._whole(pod, "Warning", "FailedMount", why)

    def warning(self, pod: Pod, reason: str, message: str) -> None:
        self._whole(pod, "Warning", reason, message)

    def rejected(self, pod: Pod, reason: str, message: str) -> None:
        self._whole(pod, "Warning", reason, message)

    def deadline_exceeded(self, pod: Pod, message: str) -> None:
        self._whole(pod, "Normal", "DeadlineExceeded", message)

    def resized(self, pod: Pod, news: ResizeNews) -> None:
        self._recorder.event(pod, news.type, news.reason, news.message)

    def _of(self, pod: Pod, container: str, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Speak of a container, or of the Pod where none is named."""
        if container:
            self._recorder.event(pod, type_, reason, message, field_path=field_path(pod, container))
        else:
            self._whole(pod, type_, reason, message)

    def _whole(self, pod: Pod, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._recorder.event(pod, type_, reason, message)
