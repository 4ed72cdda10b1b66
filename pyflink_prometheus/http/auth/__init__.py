"""The signers: what authenticates a request, a file each."""
