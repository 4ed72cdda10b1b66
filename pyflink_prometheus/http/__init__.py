"""One POST: the transport based on requests, and the classification of its response."""
