"""Lowered programs that outlive their process: a later one with equal code reads them and traces nothing."""
