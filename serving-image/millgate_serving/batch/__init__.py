"""`millgate-serving score`: a file of rows in, a file of predictions out, by the rules of a request."""
