//! Microsoft Entra tokens for pgreach.
