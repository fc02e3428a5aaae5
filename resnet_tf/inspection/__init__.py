"""The data doctor: what is sound in a data set, what is odd, and what training could not use."""
