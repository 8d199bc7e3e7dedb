//! Pure functions over scores and ranks.
