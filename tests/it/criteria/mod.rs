//! The filter language against what is known of it: cases worked out by hand, a second reading of the specification
//! in another language, and definitions that were mangled.

mod cases;
mod mangled;
mod mangling;
mod model;
mod scene;
