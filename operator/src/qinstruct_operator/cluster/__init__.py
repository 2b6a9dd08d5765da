"""The client of an API server, behind the small interface `port.Cluster`.

`kube` implements the port with one `transport`, which sends requests through `kubernetes.aio`;
`url_paths` makes their URLs, `refusals` turns failed ones into the `errors` that the port raises.
`connect` finds the server and the credentials, `http_proxy` the proxy. The tests' in-memory server
passes the same contract suite as a real one. May import `kinds`, `constants` and the trainer's
contract; not `core`.
"""
