//! Nearest neighbours by inner product of unit vectors: exact and HNSW behind one trait.
