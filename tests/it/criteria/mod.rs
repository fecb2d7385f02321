//! The filter language against what is known of it: cases worked out by hand, a second reading of the specification
//! in another language, and definitions that were mangled.

mod allocations;
mod cases;
mod mangled;
pub mod mangling;
mod model;
pub mod scene;
