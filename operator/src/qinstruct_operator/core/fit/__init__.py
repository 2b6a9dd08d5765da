"""Compare a run's pods with a cluster's nodes: which could ever run them, and why not. Pure.

`nodes` reads nodes and compares taints and resources, `node_labels` selectors and affinity. May
import `catalog`, `constants`, and of the core `children`, `plan`, `backends`, `quantity` and
`untyped_json`; not `judge` or `decide`.
"""
