//! Client certificates for pgreach.
