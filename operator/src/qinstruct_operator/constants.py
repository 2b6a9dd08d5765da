"""Names that several rooms share: version, API identity, labels, containers, condition types."""

from typing import Final

VERSION: Final = "0.1.0"
"""Version of the distribution; tags the images, so that operator and trainer always match."""

GROUP: Final = "qinstruct.dev"
"""API group of our custom resource."""

API_VERSION: Final = "qinstruct.dev/v1alpha1"
"""Group and version, as written in `apiVersion`."""

API_VERSION_NAME: Final = "v1alpha1"
"""The version alone, as the CRD lists it."""

KIND: Final = "QInstructTraining"
"""Kind of our custom resource."""

PLURAL: Final = "qinstructtrainings"
"""Resource name in URLs and in kubectl."""

SINGULAR: Final = "qinstructtraining"
"""Singular resource name."""

SHORT_NAME: Final = "qit"
"""`kubectl get qit`."""

FIELD_MANAGER: Final = "qinstruct-operator"
"""Field manager of every write; also the value of the managed-by label."""

LABEL_NAME: Final = "app.kubernetes.io/name"
"""Recommended label: always `qinstruct`."""

LABEL_COMPONENT: Final = "app.kubernetes.io/component"
"""Recommended label: `config`, `storage`, `prep` or `train`."""

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
"""Recommended label: always `FIELD_MANAGER`."""

LABEL_RUN: Final = "qinstruct.dev/run"
"""Name of the run that a child belongs to."""

LABEL_ATTEMPT: Final = "qinstruct.dev/attempt"
"""Number of the attempt, on a training workload and its pod."""

LABEL_USE: Final = "qinstruct.dev/use"
"""On a claim that runs did not make: what they may use it as, `cache` or `output`."""

SECRET_PREFIX: Final = "qinstruct-"
"""How the names of Secrets begin that a run may use: the operator reads none, so it is the name
that says for what a Secret is. The admission policy has it too."""

LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
"""Kueue's LocalQueue; on a workload and not on its pods, or those would be queued again."""

ANNOTATION_GENERATION: Final = "qinstruct.dev/generation"
"""Generation of the run's spec that a child was made from."""

ANNOTATION_TRAINER_IMAGE: Final = "qinstruct.dev/trainer-image"
"""On the prep Job: the image that trains on what it prepares."""

ANNOTATION_RETRIES: Final = "qinstruct.dev/retries"
"""On a training workload: how many attempts before it ended by a transient failure."""

ANNOTATION_DISRUPTIONS: Final = "qinstruct.dev/disruptions"
"""The same of disruptions."""

ANNOTATION_AVOIDED: Final = "qinstruct.dev/avoided-nodes"
"""On a training workload: the nodes that its pod is kept from, as its node affinity says."""

ANNOTATION_SUSPENDED: Final = "qinstruct.dev/suspended"
"""`true` on a workload that spec.suspend has suspended: only such a one is let go on again, not
what Kueue or a person holds. The admission policy has it too."""

ANNOTATION_ISTIO: Final = "sidecar.istio.io/inject"
"""`false`: a mesh sidecar never exits, so a pod with one never completes."""

ANNOTATIONS_STAY: Final = (
    ("karpenter.sh/do-not-disrupt", "true"),
    ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
)
"""What keeps Karpenter and the cluster-autoscaler from moving a pod to save a node."""

PREP_CONTAINER: Final = "prep"
"""Name of the container in the prep Job's pod."""

GPU_RESOURCE: Final = "nvidia.com/gpu"
"""Extended resource of the NVIDIA device plugin, and the key of the usual taint."""

GPU_PRODUCT_LABEL: Final = "nvidia.com/gpu.product"
"""Node label of GPU feature discovery: the product's name."""

ARCH_LABEL: Final = "kubernetes.io/arch"
"""Node label of the kubelet: the architecture, as Go names it."""

ARCH: Final = "amd64"
"""The architecture that our images are built for."""

USER_ID: Final = 1000
"""User and group of every process in our images; owns the files on the claims."""

DNS_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
"""What a namespace's name matches, of `MAX_DNS_LABEL` characters at most (RFC 1123)."""

DNS_NAME: Final = rf"{DNS_LABEL}(\.{DNS_LABEL})*"
"""What an object's name matches, a DNS subdomain."""

MAX_DNS_LABEL: Final = 63
"""Characters of a DNS label, and of a label's value."""

CONDITION_ACCEPTED: Final = "Accepted"
"""The spec is valid and the children's names are free."""

REASON_INVALID_SPEC: Final = "InvalidSpec"
"""Reason of that condition where the spec is not valid."""

CONDITION_PREPARED: Final = "Prepared"
"""Data and model are fetched, checked, merged and indexed."""

CONDITION_SCHEDULED: Final = "Scheduled"
"""The training pod has a node."""

CONDITION_RUNNING: Final = "Running"
"""The training container runs."""

CONDITION_COMPLETE: Final = "Complete"
"""The model is on the output claim."""

CONDITION_FAILED: Final = "Failed"
"""The run ended without a model, and nothing will be tried again."""
