"""The signers, which authenticate requests; one file each."""
