"""Bad documents by name: (document, field that the sentence names, text that it contains).

Each is wrong in one way that a person gets wrong. The command line's tests reuse the table.
"""

from typing import Any, Final

from support.operator_documents import document

BadSpec = tuple[dict[str, Any], str, str]


def _spec(field: str, text: str, /, **spec: Any) -> BadSpec:
    return document(**spec), f"spec.{field}", text


def _without(*path: str) -> dict[str, Any]:
    made = document()
    holder = made
    for part in path[:-1]:
        holder = holder[part]
    del holder[path[-1]]
    return made


def _source(name: str, text: str, /, **override: Any) -> BadSpec:
    (key,) = [key for key in ("url", "sha256", "revision") if key in override]
    return _spec(f"data.sources.{name}.{key}", text, data={"sources": {name: override}})


def _tiny(field: str, text: str, /, **spec: Any) -> BadSpec:
    return document(size="Tiny", **spec), f"spec.{field}", text


BAD_SPECS: Final[dict[str, BadSpec]] = {
    # The document itself.
    "wrong apiVersion": (
        document() | {"apiVersion": "qinstruct.dev/v1"},
        "apiVersion",
        "qinstruct.dev/v1alpha1",
    ),
    "no apiVersion": (_without("apiVersion"), "apiVersion", "missing"),
    "wrong kind": (document() | {"kind": "Pod"}, "kind", "QInstructTraining"),
    "no kind": (_without("kind"), "kind", "missing"),
    "no metadata": (_without("metadata"), "metadata", "required"),
    "no name": (_without("metadata", "name"), "metadata.name", "required"),
    "upper-case name": (document("Run_1"), "metadata.name", "lower-case"),
    "long name": (document("r" * 49), "metadata.name", "48"),
    "name with a dot": (document("run.1"), "metadata.name", "lower-case"),
    "name starting with a digit": (document("7b"), "metadata.name", "letter"),
    "no spec": (_without("spec"), "spec", "required"),
    "spec is a list": (document() | {"spec": []}, "spec", "mapping"),
    "unknown top-level field": (document() | {"specs": {}}, "specs", "did you mean spec"),
    # Required fields and choices.
    "no size": (_without("spec", "size"), "spec.size", "required"),
    "no strategy": (_without("spec", "strategy"), "spec.strategy", "required"),
    "unknown size": _spec("size", "34B", size="34B"),
    "size in lower case": _spec("size", "did you mean 13B", size="13b"),
    "size as a number": _spec("size", "7B", size=7),
    "unknown strategy": _spec("strategy", "did you mean after", strategy="aftr"),
    "unknown packing": _spec("training.packing", "prefix", training={"packing": "dense"}),
    "unknown backend": _spec("backend", "PyTorchJob", backend="MPIJob"),
    "zero stage four": _spec("training.zeroStage", "1, 2 or 3", training={"zeroStage": 4}),
    # Misspelt fields.
    "misspelt group": _spec("trainings", "did you mean training", trainings={"epochs": 1}),
    "misspelt field": _spec(
        "training.learningrate", "did you mean learningRate", training={"learningrate": 1e-5}
    ),
    "snake case": _spec(
        "training.micro_batch_size", "did you mean microBatchSize", training={"micro_batch_size": 8}
    ),
    "misspelt field in a list": _spec(
        "scheduling.tolerations[0].kay",
        "did you mean key",
        scheduling={"tolerations": [{"kay": "gpu", "operator": "Exists"}]},
    ),
    "misspelt source": _spec(
        "data.sources", "did you mean q-instruct-labels", data={"sources": {"q-instruct-label": {}}}
    ),
    "misspelt field of a source": _spec(
        "data.sources.q-instruct-labels.sha265",
        "did you mean sha256",
        data={"sources": {"q-instruct-labels": {"sha265": "0" * 64}}},
    ),
    # Types and bounds.
    "empty group": _spec("training", "no value", training=None),
    "group is text": _spec("gpu", "mapping", gpu="A100"),
    "text for a number": _spec("training.epochs", "whole number", training={"epochs": "one"}),
    "fraction of an epoch": _spec("training.epochs", "whole number", training={"epochs": 0.5}),
    "text for a truth value": _spec("output.retain", "true or false", output={"retain": "yes"}),
    "no epochs": _spec("training.epochs", "at least 1", training={"epochs": 0}),
    "negative learning rate": _spec(
        "training.learningRate", "greater than 0", training={"learningRate": -1e-5}
    ),
    "learning rate is not a number": _spec(
        "training.learningRate", "number", training={"learningRate": "fast"}
    ),
    "infinite learning rate": _spec(
        "training.learningRate", "finite", training={"learningRate": float("inf")}
    ),
    "warm-up of everything": _spec(
        "training.warmupRatio", "less than 1", training={"warmupRatio": 1.0}
    ),
    "batch of nothing": _spec(
        "training.globalBatchSize", "at least 1", training={"globalBatchSize": 0}
    ),
    "sequence beyond the model": _spec(
        "training.maxLength", "at most 4096", training={"maxLength": 8192}
    ),
    "keep nothing": _spec("checkpoint.keep", "at least 1", checkpoint={"keep": 0}),
    "never save": _spec(
        "checkpoint.everyMinutes", "greater than 0", checkpoint={"everyMinutes": 0}
    ),
    "size without unit": _spec("output.size", "wrong form", output={"size": "500"}),
    "claim name with a slash": _spec("output.claimName", "wrong form", output={"claimName": "a/b"}),
    "claim name with an empty part": _spec(
        "data.claimName", "wrong form", data={"claimName": "my..claim"}
    ),
    "queue name longer than a label": _spec(
        "scheduling.queueName", "63 characters", scheduling={"queueName": "q" * 64}
    ),
    "label key longer than a label's": _spec(
        "scheduling.nodeSelector",
        "not a valid key",
        scheduling={"nodeSelector": {"example.org/" + "k" * 64: "x"}},
    ),
    "label value with a blank": _spec(
        "scheduling.nodeSelector.zone", "wrong form", scheduling={"nodeSelector": {"zone": "a b"}}
    ),
    "no GPU": _spec("gpu.perNode", "at least 1", gpu={"perNode": 0}),
    "unknown product": _spec("gpu.product", "NVIDIA-H100", gpu={"product": "NVIDIA-V100"}),
    # Cross-field rules.
    "13B on 40 GB": (
        document(size="13B", gpu={"product": "NVIDIA-A100-SXM4-40GB"}),
        "spec.gpu.product",
        "26.0 GB",
    ),
    "13B on two GPUs": (
        document(size="13B", gpu={"perNode": 2}),
        "spec.training.microBatchSize",
        "104.1 GB model states",
    ),
    "7B with a batch that does not fit": _spec(
        "training.microBatchSize",
        "of 40 GB",
        training={"microBatchSize": 32, "globalBatchSize": 256},
    ),
    "7B without recomputation": _spec(
        "training.microBatchSize",
        "activationCheckpointing",
        training={"activationCheckpointing": False},
    ),
    "micro-batch that does not divide": _spec(
        "training.microBatchSize", "not a multiple", training={"microBatchSize": 7}
    ),
    "micro-batch larger than the batch": _spec(
        "training.microBatchSize",
        "not a multiple",
        training={"microBatchSize": 16, "globalBatchSize": 8},
    ),
    "global batch that does not divide": _spec(
        "training.globalBatchSize", "not a multiple of 8", training={"globalBatchSize": 100}
    ),
    "sequence shorter than an image": _spec(
        "training.maxLength", "576", training={"maxLength": 512}
    ),
    "maxMissing without Drop": _spec("data.maxMissing", "Drop", data={"maxMissing": 10}),
    "strict and a product label": _spec(
        "scheduling.nodeSelector.nvidia.com/gpu.product",
        "gpu.strict",
        gpu={"strict": True},
        scheduling={"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}},
    ),
    "strict but not larger": _spec(
        "gpu.allowLarger", "strict", gpu={"strict": True, "allowLarger": False}
    ),
    "product but not larger": _spec(
        "gpu.allowLarger", "exact", gpu={"product": "NVIDIA-H200", "allowLarger": False}
    ),
    "own claim with a size": _spec(
        "output.size", "claimName", output={"claimName": "mine", "size": "1Ti"}
    ),
    "output too small": _spec("output.size", "use at least 365Gi", output={"size": "364Gi"}),
    "output on the cache": _spec(
        "output.claimName", "other runs share", output={"claimName": "qinstruct-cache"}
    ),
    "output on one's own cache": _spec(
        "output.claimName",
        "other runs share",
        data={"claimName": "mine"},
        output={"claimName": "mine"},
    ),
    "Exists with a value": _spec(
        "scheduling.tolerations[0].value",
        "Exists",
        scheduling={"tolerations": [{"key": "sku", "operator": "Exists", "value": "gpu"}]},
    ),
    "a value for Exists, of prep": _spec(
        "prep.tolerations[0].value",
        "Exists",
        prep={"tolerations": [{"key": "sku", "operator": "Exists", "value": "cpu"}]},
    ),
    "no number of CPUs": _spec(
        "prep.resources.cpu", "wrong form", prep={"resources": {"cpu": "0.5"}}
    ),
    "memory without unit": _spec(
        "prep.resources.memory", "wrong form", prep={"resources": {"memory": "64"}}
    ),
    "Equal without a key": _spec(
        "scheduling.tolerations[0].key",
        "operator Equal",
        scheduling={"tolerations": [{"effect": "NoSchedule"}]},
    ),
    "time for a taint that does not evict": _spec(
        "scheduling.tolerations[0].tolerationSeconds",
        "NoExecute",
        scheduling={"tolerations": [{"key": "sku", "operator": "Exists", "tolerationSeconds": 60}]},
    ),
    "revision of a folder": _spec(
        "model.revision", "hub repository", model={"base": "/models/llava", "revision": "main"}
    ),
    "model that is nothing": _spec("model.base", "owner/name", model={"base": "llava"}),
    "Tiny with GPUs": _tiny("gpu", "CPUs", gpu={"perNode": 1}),
    "Tiny with flash attention": _tiny(
        "training.attention", "sdpa", training={"attention": "flash_attention_2"}
    ),
    "Tiny with labels alone": _tiny(
        "data.sources.q-instruct-images",
        "together",
        data={"sources": {"q-instruct-labels": {"url": "file:///data/labels.json"}}},
    ),
    # Addresses.
    "web page": _source(
        "q-instruct-labels",
        "/resolve/main/",
        url="https://huggingface.co/datasets/q-future/Q-Instruct-DB/blob/main/cleaned_labels.json",
    ),
    "bucket": _source("q-instruct-labels", "names no object", url="s3://labels.json"),
    "hub address": _source("q-instruct-images", "names no file", url="hf://q-future/x.tar"),
    "path instead of address": _source("q-instruct-labels", "file:///", url="/data/labels.json"),
    "relative file address": _source("q-instruct-labels", "file:///", url="file://labels.json"),
    "address with a password": _source(
        "q-instruct-labels", "password", url="https://me:secret@example.org/labels.json"
    ),
    "short digest": _source("q-instruct-labels", "64", sha256="abc"),
    "revision of a plain file": _spec(
        "data.sources.q-instruct-labels.revision",
        "sha256",
        data={
            "sources": {
                "q-instruct-labels": {"url": "https://example.org/labels.json", "revision": "v2"}
            }
        },
    ),
    "source that after does not use": _spec(
        "data.sources.coco", "not used", data={"sources": {"coco": {"sha256": "0" * 64}}}
    ),
    "prefix with flash-attn": _spec(
        "training.attention",
        "cannot share a prefix",
        training={"packing": "prefix", "attention": "flash_attention_2"},
    ),
    "suspended in a queue": _spec(
        "suspend", "beside a queueName", suspend=True, scheduling={"queueName": "gpus"}
    ),
    # Fields whose behaviour comes later.
    "two nodes": _spec("gpu.nodes", "not supported yet", gpu={"nodes": 2}),
    "push": _spec(
        "output.push",
        "not supported yet",
        output={"push": {"repo": "me/model", "secretRef": {"name": "hub"}}},
    ),
    "token": _spec(
        "data.tokenSecretRef.name",
        "does not begin with qinstruct-",
        data={"tokenSecretRef": {"name": "hub"}},
    ),
    "clean-up before anybody looks": _spec(
        "scheduling.ttlSecondsAfterFinished",
        "must be at least 60",
        scheduling={"ttlSecondsAfterFinished": 59},
    ),
    "clean-up before another attempt": _spec(
        "scheduling.ttlSecondsAfterFinished",
        "use at least 660, or lower maxBackoffSeconds",
        scheduling={"ttlSecondsAfterFinished": 659},
    ),
    "TensorBoard": _spec(
        "tracking.tensorboard", "not supported yet", tracking={"tensorboard": True}
    ),
    "Q-Bench": _spec("evaluation.qbench", "not supported yet", evaluation={"qbench": {}}),
    "a watchdog": _spec("recovery.stallFactor", "not supported yet", recovery={"stallFactor": 9}),
    "a first wait that is longer than the longest": _spec(
        "recovery.backoffSeconds",
        "is longer than maxBackoffSeconds 600",
        recovery={"backoffSeconds": 700},
    ),
    "budget": _spec("budget.maxGpuHours", "not supported yet", budget={"maxGpuHours": 10}),
    "other backend": _spec("backend", "not supported yet", backend="JobSet"),
    "patches": _spec(
        "patches", "not supported yet", patches=[{"target": "Prep", "patch": {"spec": {}}}]
    ),
}
