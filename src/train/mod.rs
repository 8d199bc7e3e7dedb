//! Trains a SimBERT: pairs, losses, schedule, loop, checkpoints, report.
