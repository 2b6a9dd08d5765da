"""Published facts as data: `recipes`, `sizes`, `gpus`, `sources`.

Each fact is written once; the API's choices and descriptions, the CRD's rules and the plan are
made from it. May import `errors`, `constants` and the trainer's contract.
"""
