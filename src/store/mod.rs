//! Every byte of a bank on disk, in sled.
