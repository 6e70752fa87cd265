"""Measures model servers on loopback: side by side, under overload, and for as many requests as a day brings."""
