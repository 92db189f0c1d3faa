//! Connection pools for pgreach.
