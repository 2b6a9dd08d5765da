"""What each rank computes in step k.

`order` numbers the records, `packed` lets them share rows, which `layout` fills, and `loader`
decodes their batches. May import `data` and the contract.
"""
