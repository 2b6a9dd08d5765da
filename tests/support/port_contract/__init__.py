"""What every implementation of `port.Cluster` must do: run against the fake and a real server."""
