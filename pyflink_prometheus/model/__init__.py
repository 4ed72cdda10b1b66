"""The data model of a record: metric names, labels, samples, histograms, exemplars and metadata."""
