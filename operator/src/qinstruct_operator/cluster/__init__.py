"""The API server behind a small port; the only room that speaks its protocol.

`port` says what the rest may ask, `kinds` names what exists, `kube` answers over
`kubernetes.aio` and `refusals` words its errors, `connect` finds the server and the credentials
and `proxy` the way there. The tests' in-memory server passes the same contract suite as a real
one. May import constants and errors, nothing of core.
"""
