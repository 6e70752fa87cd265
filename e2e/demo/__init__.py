"""`make demo`: real models are trained, registered, released and taken back on real pods while clients watch."""
