//! Runs a model or a bank over labelled files.
