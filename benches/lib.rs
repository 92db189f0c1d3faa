//! Benchmarks of pgreach.
