//! Examples of pgreach.
