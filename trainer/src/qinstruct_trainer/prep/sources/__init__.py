"""Where bytes come from: a file over HTTP(S) or from a path, a repository of the hub."""
