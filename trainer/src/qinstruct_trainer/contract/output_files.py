"""Names of the files and folders in a run's output folder (on a cluster: the output claim)."""

from typing import Final

PREP_CONFIG: Final = "prep.json"
"""`PrepConfig`. Local mode writes it here; on a cluster it is a key of the run's ConfigMap."""

RUN_CONFIG: Final = "run.json"
"""`RunConfig`, in the same places."""

PREPARED: Final = "prepared.json"
"""`Prepared`, the result of prep."""

LEASE: Final = "lease"
"""The lease of the training that writes here; its files are `lease.<number>`."""

METRICS: Final = "metrics.jsonl"
"""The step events, one a line."""

CHECKPOINTS: Final = "checkpoints"
"""Folder of the checkpoints."""

QUARANTINE: Final = "quarantine"
"""Folder below `CHECKPOINTS` for the newest damaged checkpoint."""

MODEL: Final = "model"
"""Folder of the exported model; it is there only when it is complete."""

PARTIAL_MODEL: Final = "model.partial"
"""Folder of the model while it is being written."""

IDENTITY: Final = "identity.json"
"""The identity of the run that exported the model."""

EVALUATION: Final = "evaluation.json"
"""`Evaluation`: accuracy on the held-out questions."""

LOSS_CURVE: Final = "loss.png"
"""Picture of the loss over the steps."""

RECORD: Final = "record.json"
"""What is needed to make the model again."""

LOGS: Final = "logs"
"""Folder of the logs in local mode."""
