"""The contract between operator and trainer: configs, events, exit codes, batch arithmetic."""
