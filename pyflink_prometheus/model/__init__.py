"""What a record is: names and labels, samples, and what may go with them."""
