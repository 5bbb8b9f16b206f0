"""Why a pod is not ready, read from its status. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway_operator.crds.conditions import is_true

Object = dict[str, Any]
_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


@dataclass(frozen=True)
class Trouble:
    """What keeps a pod from being ready; `logs` names the container whose last words help."""

    text: str
    remedy: str
    logs: str = ""


def selector_of(workload: Object) -> str:
    """Return the label selector of a workload's pods."""
    labels = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def is_ready(pod: Object) -> bool:
    """Tell whether a pod takes traffic."""
    return is_true(pod, "Ready")


def pod_troubles(pod: Object) -> list[Trouble]:
    """Return what is wrong with a pod that isn't ready; nothing for one that is ready, done or going."""
    status = pod.get("status") or {}
    if is_ready(pod) or pod["metadata"].get("deletionTimestamp") or status.get("phase") == "Succeeded":
        return []
    conditions = {c.get("type"): c for c in status.get("conditions") or []}
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        remedy = "add nodes, or change requests, nodeSelector, tolerations or host ports"
        return [Trouble(f"no node takes it: {scheduled.get('message') or scheduled.get('reason')}", remedy)]
    if status.get("phase") == "Failed":
        return [Trouble(f"it failed: {status.get('message') or status.get('reason')}", "delete it; a new one comes")]
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    found = [trouble for c in containers if (trouble := _container(c))]
    if not found and (status.get("phase") == "Running" or not status.get("phase")):
        waits = [c["name"] for c in containers if not c.get("ready")]
        found = [Trouble(f"it runs and is not ready ({', '.join(waits) or 'no container'})", "see its readiness probe")]
    return found


def _container(status: Object) -> Trouble | None:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    name = status["name"]
    if reason in _PULL:
        text = f"the image {status.get('image') or ''} of container {name} can't be pulled ({reason}): {message}"
        return Trouble(text, "check name, tag and registry of the image, and imagePullSecrets")
    if reason in _CONFIG:
        return Trouble(f"container {name} can't be started ({reason}): {message}", "create what it refers to")
    if reason == "CrashLoopBackOff":
        last = (status.get("lastState") or {}).get("terminated") or {}
        why = f"{last.get('reason') or 'ended'}, exit code {last.get('exitCode', '?')}"
        text = f"container {name} ends again and again ({why}; {status.get('restartCount', 0)} restarts)"
        remedy = "give it more memory" if last.get("reason") == "OOMKilled" else "see its last words"
        return Trouble(text, remedy, logs=name)
    return None
