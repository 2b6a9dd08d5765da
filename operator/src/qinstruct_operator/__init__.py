"""Plan a run, build what the cluster needs for it, and say how it goes.

Rooms: `api` (the CRD's models), `core` (pure: plan, checks, build), `cli` (the command
`qinstruct`, local mode included). Nothing here ever imports torch.
"""
