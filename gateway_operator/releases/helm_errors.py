"""What went wrong, from what helm printed: Helm has no error codes, only text, and it differs from version to version.

HelmError
├── RenderFailed, ValuesRefused, ObjectRefused, FieldConflict, ReleaseTooLarge    somebody has to change something
├── NotOwned, HelmForbidden, NamespaceMissing                                     or somebody else has
├── PendingOperation, Unreachable, HelmTimeout, HelmCancelled                     passes by itself
└── ReleaseNotFound, NoDeployedRelease                                            a state, not a fault
"""

from __future__ import annotations

import re

from gateway_operator.errors import GatewayOperatorError

MESSAGE_LIMIT = 1000


class HelmError(GatewayOperatorError):
    """A helm run failed; the text is helm's own reason, shortened."""

    word = "Failed"
    lasting = True  # the same inputs will fail again
    passing = False  # it has nothing to do with the release, not even after helm has written a revision


class RenderFailed(HelmError):
    """A template doesn't render with these values."""

    word = "RenderFailed"


class ValuesRefused(HelmError):
    """The values break the chart's values.schema.json."""

    word = "ValuesRefused"


class ObjectRefused(HelmError):
    """The API server refuses an object of the chart: it is invalid, or a field of it can't be changed."""

    word = "ObjectRefused"


class FieldConflict(HelmError):
    """Another field manager holds a field that the chart sets."""

    word = "FieldConflict"


class ReleaseTooLarge(HelmError):
    """The release record is beyond what a Secret can hold."""

    word = "ReleaseTooLarge"


class NotOwned(HelmError):
    """An object of this name exists and belongs to somebody else."""

    word = "NotOwned"
    lasting = False


class HelmForbidden(HelmError):
    """The operator lacks a right that the chart needs."""

    word = "Forbidden"
    lasting = False


class NamespaceMissing(HelmError):
    """The namespace is absent or being deleted."""

    word = "NamespaceMissing"
    lasting = False


class PendingOperation(HelmError):
    """Another helm run is at work on this release, or died."""

    word = "PendingOperation"
    lasting = False
    passing = True


class Unreachable(HelmError):
    """The API server can't be reached, or is not ready."""

    word = "Unreachable"
    lasting = False
    passing = True


class HelmTimeout(HelmError):
    """A run took longer than it may."""

    word = "Timeout"


class HelmCancelled(HelmError):
    """A run was stopped."""

    word = "Cancelled"
    lasting = False
    passing = True


class ReleaseNotFound(HelmError):
    """There is no such release."""

    word = "ReleaseNotFound"
    lasting = False


class NoDeployedRelease(HelmError):
    """There are records, but none that an upgrade could start from."""

    word = "NoDeployedRelease"
    lasting = False


# In this order: the first that matches decides. Each line is tested with what Helm 3 and Helm 4 print.
_RULES: tuple[tuple[str, type[HelmError]], ...] = (
    (r"etcdserver: ", Unreachable),
    (r"connection refused|no route to host|network is unreachable|i/o timeout|TLS handshake timeout", Unreachable),
    (r"cluster unreachable|connection reset by peer|EOF$|the server is currently unable", Unreachable),
    (r"another operation \(install/upgrade/rollback\) is in progress", PendingOperation),
    (r"release: already exists|cannot re-use a name that is still in use", PendingOperation),
    (r"context canceled|release \S+ failed, and has been", HelmCancelled),
    (r"don't meet the specifications of the schema", ValuesRefused),
    (r"execution error at|failed to render chart|parse error at|template: .*:\d+:|error calling", RenderFailed),
    (r"YAML parse error on|error converting YAML to JSON|Object 'Kind' is missing", RenderFailed),
    (r"exists and cannot be imported into the current release|cannot be owned", NotOwned),
    (r"namespaces \"[^\"]*\" not found|because it is being terminated", NamespaceMissing),
    (
        r"Request entity too large|Too long: (may not be more|must have at most)|etcd.*request is too large",
        ReleaseTooLarge,
    ),
    (r"is forbidden: |cannot (get|list|create|patch|update|delete|watch) resource", HelmForbidden),
    (r"conflict occurred while applying|conflicts? with \"", FieldConflict),
    (r"field is immutable|is invalid: |is invalid\b.*(Required|Invalid|Forbidden) value|unknown field", ObjectRefused),
    (r"failed to create typed patch object|field not declared in schema", ObjectRefused),
    (r"error validating data|admission webhook .* denied|no matches for kind|strict decoding error", ObjectRefused),
    (r"has no deployed releases|no revision for release", NoDeployedRelease),
    (r"release: not found|Release not loaded: .*not found|no release provided", ReleaseNotFound),
    (r"timed out waiting|context deadline exceeded|deadline exceeded", HelmTimeout),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE | re.MULTILINE), kind) for pattern, kind in _RULES)
_NOISE = re.compile(r"^(WARNING: |W\d{4} |I\d{4} |level=(WARN|INFO|DEBUG)|time=\S+ level=(WARN|INFO|DEBUG))")


def classify(stderr: str) -> HelmError:
    """Return the error that helm's words stand for."""
    text = shorten(stderr)
    kind = next((kind for pattern, kind in _COMPILED if pattern.search(text)), HelmError)
    return kind(text)


def shorten(stderr: str) -> str:
    """Return helm's reason without its warnings, in one line, cut to what fits into a condition."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _NOISE.match(line)]
    start = next((n for n, line in enumerate(lines) if line.startswith("Error: ")), 0)
    text = " ".join(lines[start:]).removeprefix("Error: ") or "helm said nothing"
    text = re.sub(r"^(UPGRADE|INSTALLATION) FAILED: ", "", text)
    return text if len(text) <= MESSAGE_LIMIT else f"{text[: MESSAGE_LIMIT - 1]}…"
