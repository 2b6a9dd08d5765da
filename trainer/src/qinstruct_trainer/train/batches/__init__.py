"""What each rank computes in step k: `order` numbers the records, `loader` decodes their batches.

May import `data` and the contract.
"""
