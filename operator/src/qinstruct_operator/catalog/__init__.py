"""Published facts as data: recipes, sizes, GPUs, sources.

Each fact is written here once; the API's choices and descriptions, the CRD's rules and the plan
are made from it. May import `constants` and the trainer's contract.
"""
