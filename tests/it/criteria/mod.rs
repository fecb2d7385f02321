//! The filter language against what is known of it.

mod cases;
mod scene;
